// Package batchcheck says what a batch of telemetry may be. The collector holds to it whatever
// comes, as strangers' input; relays, before they pass on what comes from below; and the tests
// of who makes batches, what is made: a batch that is refused is lost as a whole.
package batchcheck

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// MaxBytes is how large a batch may be, encoded.
const MaxBytes = 1 << 20

// MaxCount bounds one number, so that sums of them do not overflow, nor lose precision as
// floats.
const MaxCount = 1 << 40

// MaxLength is how long a window may be.
const MaxLength = time.Hour

// Limits far above what a relay counts in the time of a batch.
const (
	maxWindows     = 600
	maxCells       = 8192
	maxMetricCells = 16384
	maxRollouts    = 32
	maxTrips       = 256
	maxKeyUses     = 4096
	maxPredictions = 64 // labels of one metric
	maxBins        = 2048
	maxBinOffset   = 1 << 20

	maxInstance = 256 // bytes, as the sync protocol has it
	maxBoot     = 64
	maxName     = 256
	maxMetric   = 64
	maxSegment  = 256
	maxSequence = 1 << 46
)

// Sender says why a batch's sender could not be answered; nil: it can.
func Sender(s *telemetryv1.Sender) error {
	for _, f := range []struct {
		name, value string
		longest     int
	}{
		{"instance_id", s.GetInstanceId(), maxInstance},
		{"boot_id", s.GetBootId(), maxBoot},
	} {
		if err := checkText(f.value, f.longest); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if q := s.GetSequence(); q == 0 || q > maxSequence {
		return fmt.Errorf("sequence %d: want 1 for the first of a boot, one higher with each, at most %d", q, uint64(maxSequence))
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
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%q: want text without control characters", s)
	}
	return nil
}

// Batch says where a batch makes no sense; nil: it does. The sender is for [Sender], and the
// tally, which follows on those before, for who has them.
func Batch(b *telemetryv1.Batch) error {
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
	if n := len(b.GetKeyUses()); n > maxKeyUses {
		return fmt.Errorf("key_uses: %d: want at most %d in a batch", n, maxKeyUses)
	}
	for i, u := range b.GetKeyUses() {
		if err := checkText(u.GetKeyId(), maxName); err != nil {
			return fmt.Errorf("key_uses[%d].key_id: %w", i, err)
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
	if l := d.AsDuration(); l < time.Second || l > MaxLength || l%time.Second != 0 {
		return fmt.Errorf("%v: want whole seconds, 1 s to %v", l, MaxLength)
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
	if e.GetCount() > MaxCount {
		return fmt.Errorf("count %d: want at most %d", e.GetCount(), uint64(MaxCount))
	}
	if e.GetLastAt() != nil {
		if err := checkTime(e.GetLastAt()); err != nil {
			return fmt.Errorf("last_at: %w", err)
		}
	}
	return nil
}
