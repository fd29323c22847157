package telemetry

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errAway is how a relay that is away fails.
var errAway = status.Error(codes.Unavailable, "away")

// relay counts as relays do: each sequence of a boot once, in order.
type relay struct {
	t testing.TB
	// before and after, if set, may fail an attempt before or after it was counted.
	before, after func(attempt int) error
	// report, if set, counts a report.
	report func(*telemetryv1.ReportRequest) error

	mu       sync.Mutex
	attempts int
	mark     uint64
	boot     string
	events   []*telemetryv1.Event
	refuse   map[int]bool // indexes of events that every message's answer refuses
	tripped  []string
	last     *telemetryv1.Tally
	counted  uint64        // by reports
	lost     uint64        // as told with each message
	longest  time.Duration // of the windows
}

var _ telemetryv1.TelemetryServiceClient = (*relay)(nil)

// take tells whether a message is to be counted.
func (r *relay) take(s *telemetryv1.Sender) bool {
	if s.GetInstanceId() == "" || s.GetBootId() == "" || r.boot != "" && s.GetBootId() != r.boot {
		r.t.Errorf("sender %v", s)
	}
	r.boot = s.GetBootId()
	switch {
	case s.GetSequence() <= r.mark:
		return false
	case s.GetSequence() != r.mark+1:
		r.t.Errorf("sequence %d after %d", s.GetSequence(), r.mark)
	}
	r.mark = s.GetSequence()
	return true
}

func (r *relay) attempt(ctx context.Context, sender *telemetryv1.Sender, count func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts++
	if r.before != nil {
		if err := r.before(r.attempts); err != nil {
			return err
		}
	}
	if r.take(sender) {
		if err := count(); err != nil {
			return err
		}
	}
	if r.after != nil {
		return r.after(r.attempts)
	}
	return ctx.Err()
}

func (r *relay) Track(ctx context.Context, in *telemetryv1.TrackRequest, _ ...grpc.CallOption) (*telemetryv1.TrackResponse, error) {
	out := &telemetryv1.TrackResponse{}
	err := r.attempt(ctx, in.GetSender(), func() error {
		if n := len(in.GetEvents()); n == 0 || n > maxEvents {
			r.t.Errorf("a message of %d events", n)
		}
		r.events = append(r.events, in.GetEvents()...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range in.GetEvents() {
		if r.refuse[i] {
			out.Refusals = append(out.Refusals, &telemetryv1.Refusal{Event: uint32(i), Message: "no sense"})
		}
	}
	return out, nil
}

func (r *relay) Report(ctx context.Context, in *telemetryv1.ReportRequest, _ ...grpc.CallOption) (*telemetryv1.ReportResponse, error) {
	err := r.attempt(ctx, in.GetSender(), func() error {
		if len(in.GetWindows()) == 0 {
			r.t.Error("a report without a window")
		}
		for _, w := range in.GetWindows() {
			r.longest = max(r.longest, w.GetLength().AsDuration())
		}
		if r.report != nil {
			if err := r.report(in); err != nil {
				return err
			}
		}
		r.last = in.GetTally()
		r.counted += in.GetTally().GetCounted()
		r.lost += in.GetLost()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &telemetryv1.ReportResponse{Tripped: r.tripped}, nil
}

func (r *relay) attempted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts
}

// to is a courier to one relay.
type to struct {
	relay telemetryv1.TelemetryServiceClient
}

func (c to) Deliver(ctx context.Context, call Call) error { return call(ctx, c.relay) }
func (c to) Close() error                                 { return nil }

// event is one observation that can be told from others.
func event(i int) *telemetryv1.Event {
	return &telemetryv1.Event{Observations: []*telemetryv1.Observation{{
		Metric: fmt.Sprint(i), Value: &telemetryv1.Observation_Happened{Happened: true},
	}}}
}

// balanced checks that stats add up.
func balanced(t testing.TB, s Stats) {
	t.Helper()
	sum := s.Acknowledged + s.Pending
	for _, n := range s.Lost {
		sum += n
	}
	if sum != s.Emitted {
		t.Fatalf("acknowledged, pending and lost are %d, emitted %d: %+v", sum, s.Emitted, s)
	}
}
