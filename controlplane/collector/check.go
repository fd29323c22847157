package collector

import (
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Batches are strangers' input: they are held to these limits, which are far above what a
// relay counts in the time of a batch.
const (
	maxBatchBytes  = 1 << 20
	maxWindows     = 600
	maxCells       = 8192
	maxMetricCells = 16384
	maxRollouts    = 32
	maxTrips       = 256
	maxPredictions = 64 // labels of one metric
	maxBins        = 2048
	maxBinOffset   = 1 << 20

	maxInstance = 256 // bytes, as the sync protocol has it
	maxBoot     = 64
	maxName     = 256
	maxMetric   = 64
	maxSegment  = 256
	maxSequence = 1 << 46
	// maxCount bounds one number, so that sums of them do not overflow, nor lose precision as
	// floats.
	maxCount  = 1 << 40
	maxLength = time.Hour // of a window
)

// checkSender says why a batch's sender could not be answered.
func checkSender(s *telemetryv1.Sender) error {
	for _, f := range []struct {
		name, value string
		longest     int
	}{
		{"instance_id", s.GetInstanceId(), maxInstance},
		{"boot_id", s.GetBootId(), maxBoot},
	} {
		if err := checkText(f.value, f.longest); err != nil {
			return fmt.Errorf("%w: sender.%s: %w", ErrNoSender, f.name, err)
		}
	}
	if q := s.GetSequence(); q == 0 || q > maxSequence {
		return fmt.Errorf("%w: sender.sequence %d: want 1 for the first batch of a boot, one higher with each, at most %d", ErrNoSender, q, uint64(maxSequence))
	}
	return nil
}

// checkText says why a text is no name.
func checkText(s string, longest int) error {
	switch {
	case s == "":
		return errors.New("empty")
	case len(s) > longest:
		return fmt.Errorf("%d bytes: want at most %d", len(s), longest)
	case !utf8.ValidString(s):
		return errors.New("not UTF-8")
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%q: want printable characters", s)
		}
	}
	return nil
}

// checkBatch says where a batch makes no sense; nil: it does. The sender and the tally are looked at elsewhere.
func checkBatch(b *telemetryv1.Batch) error {
	if err := checkText(b.GetEnvironment(), maxName); err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	if b.GetCompleteTo() != nil {
		if err := checkTime(b.GetCompleteTo()); err != nil {
			return fmt.Errorf("complete_to: %w", err)
		}
	}
	if n := len(b.GetWindows()); n > maxWindows {
		return fmt.Errorf("windows: %d: want at most %d in a batch", n, maxWindows)
	}
	c := checker{rollouts: make(map[string]struct{})}
	for i, w := range b.GetWindows() {
		if err := c.window(w); err != nil {
			return fmt.Errorf("windows[%d].%w", i, err)
		}
	}
	for i, e := range b.GetEvaluations() {
		if err := checkEvaluations(e); err != nil {
			return fmt.Errorf("evaluations[%d].%w", i, err)
		}
	}
	if n := len(b.GetTrips()); n > maxTrips {
		return fmt.Errorf("trips: %d: want at most %d in a batch", n, maxTrips)
	}
	for i, t := range b.GetTrips() {
		if err := c.trip(t); err != nil {
			return fmt.Errorf("trips[%d].%w", i, err)
		}
	}
	return nil
}

func checkTime(t *timestamppb.Timestamp) error {
	if t == nil {
		return errors.New("not set")
	}
	if err := t.CheckValid(); err != nil {
		return err
	}
	return nil
}

// checkLength of a window: whole seconds.
func checkLength(d *durationpb.Duration) error {
	if d == nil {
		return errors.New("not set")
	}
	if err := d.CheckValid(); err != nil {
		return err
	}
	if l := d.AsDuration(); l < time.Second || l > maxLength || l%time.Second != 0 {
		return fmt.Errorf("%v: want whole seconds, 1 s to %v", l, maxLength)
	}
	return nil
}

func checkEvaluations(e *telemetryv1.Evaluations) error {
	if err := checkText(e.GetFlagKey(), maxName); err != nil {
		return fmt.Errorf("flag_key: %w", err)
	}
	if v := e.GetVariant(); v != "" {
		if err := checkText(v, maxName); err != nil {
			return fmt.Errorf("variant: %w", err)
		}
	}
	if e.GetCount() > maxCount {
		return fmt.Errorf("count %d: want at most %d", e.GetCount(), uint64(maxCount))
	}
	if e.GetLastAt() != nil {
		if err := checkTime(e.GetLastAt()); err != nil {
			return fmt.Errorf("last_at: %w", err)
		}
	}
	return nil
}
