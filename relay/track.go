package relay

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/batchcheck"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/tally"
)

// Bounds of what callers tell.
const (
	maxEvents        = 1000
	maxReportWindows = 600
	// maxReportEvaluations is more than a batch of an SDK takes, which is 256 KiB.
	maxReportEvaluations = 20_000
	maxSenderID          = 128  // bytes
	maxWaitingCalls      = 4096 // for the disk
)

// telemetryService implements telemetryv1.TelemetryServiceServer.
type telemetryService struct {
	telemetryv1.UnimplementedTelemetryServiceServer
	evaluation *evaluationService
	telemetry  *telemetry
}

// refusals counts what was not taken, by reason.
type refusals [refusalReasons]atomic.Uint64

const (
	refusedObservation = iota // of Track: what was wrong is in the answer
	refusedReport             // malformed
	refusedAhead              // of a step that has not come yet
	refusedBusy               // too many calls, or senders
	refusedDisk               // the spool cannot be written
	refusedOTLP               // data points
	refusalReasons
)

var refusalNames = [refusalReasons]string{"observation", "report", "ahead", "busy", "disk", "otlp"}

// Track implements the service.
func (s *telemetryService) Track(ctx context.Context, r *telemetryv1.TrackRequest) (*telemetryv1.TrackResponse, error) {
	if n := len(r.GetEvents()); n > maxEvents {
		return nil, invalid("events", "%d: want at most %d in a call", n, maxEvents)
	}
	counts, right, err := s.counted(ctx, r.GetEnvironment())
	if err != nil {
		return nil, err
	}
	if r.GetSender() != nil {
		if err := checkSender(r.GetSender()); err != nil {
			return nil, err
		}
	}
	a := &telemetryv1.TrackResponse{}
	err = s.telemetry.once(ctx, counts, r.GetSender(), func(first bool) error {
		if !first {
			for _, e := range r.GetEvents() {
				a.Taken += uint32(len(e.GetObservations()))
			}
			return nil
		}
		s.observe(counts, right, r.GetEvents(), a)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if right == nil { // to others, rollouts are not told
		a.Tripped = counts.edge.names()
	}
	return a, nil
}

// observe counts events, of flags that the caller sees.
func (s *telemetryService) observe(c *counted, right *accesskey.Right, events []*telemetryv1.Event, a *telemetryv1.TrackResponse) {
	now := time.Now()
	for i, e := range events {
		event := tally.Event{Exposure: e.GetExposure(), Observations: e.GetObservations(), Sees: right.Sees}
		if e.GetContext() != nil {
			subject := contextOf(e.GetContext())
			s.evaluation.here(&subject, now)
			event.Context = &subject
		}
		var taken uint32
		var refused []*telemetryv1.Refusal
		if at := e.GetExposedAt(); at != nil && !at.IsValid() {
			for o := range max(len(e.GetObservations()), 1) {
				refused = append(refused, &telemetryv1.Refusal{Observation: uint32(o), Message: "exposed_at is no time between the years 1 and 9999"})
			}
		} else {
			if at != nil {
				event.ExposedAt = at.AsTime()
			}
			taken, refused = c.tally.Observe(&event, now)
		}
		for _, x := range refused {
			x.Event = uint32(i)
		}
		a.Taken += taken
		a.Refusals = append(a.Refusals, refused...)
	}
	s.telemetry.refused[refusedObservation].Add(uint64(len(a.GetRefusals())))
}

// Report implements the service.
func (s *telemetryService) Report(ctx context.Context, r *telemetryv1.ReportRequest) (*telemetryv1.ReportResponse, error) {
	switch n := len(r.GetWindows()); {
	case n > maxReportWindows:
		return nil, invalid("windows", "%d: want at most %d in a call", n, maxReportWindows)
	case len(r.GetEvaluations()) > maxReportEvaluations:
		return nil, invalid("evaluations", "%d: want at most %d in a call", len(r.GetEvaluations()), maxReportEvaluations)
	case r.GetTally().GetLost() > r.GetTally().GetEmitted():
		return nil, invalid("tally", "%d lost of %d emitted: lost events are among the emitted ones", r.GetTally().GetLost(), r.GetTally().GetEmitted())
	case r.GetLost() > r.GetTally().GetLost():
		return nil, invalid("lost", "%d with this message, of %d in all: want at most as much", r.GetLost(), r.GetTally().GetLost())
	}
	counts, right, err := s.counted(ctx, r.GetEnvironment())
	if err == nil {
		err = right.Follows() // what is reported was evaluated from the flags themselves
	}
	if err == nil {
		err = checkSender(r.GetSender())
	}
	if err != nil {
		return nil, err
	}
	err = s.telemetry.once(ctx, counts, r.GetSender(), func(first bool) error {
		if !first {
			return nil
		}
		return s.merge(counts, r)
	})
	if err != nil {
		return nil, err
	}
	return &telemetryv1.ReportResponse{Tripped: counts.edge.names()}, nil
}

// merge counts a report.
func (s *telemetryService) merge(c *counted, r *telemetryv1.ReportRequest) error {
	switch err := c.tally.Merge(r, r.GetLost()); {
	case errors.Is(err, tally.ErrAhead):
		s.telemetry.refused[refusedAhead].Add(1)
		return status.Error(codes.Unavailable, err.Error()+": send it again later")
	case errors.Is(err, tally.ErrFull):
		s.telemetry.refused[refusedBusy].Add(1)
		return status.Error(codes.ResourceExhausted, err.Error())
	case err != nil:
		s.telemetry.refused[refusedReport].Add(1)
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return nil
}

// counted finds the environment, and what the caller sees of it. There must be something to
// attribute to.
func (s *telemetryService) counted(ctx context.Context, name string) (*counted, *accesskey.Right, error) {
	env, err := s.evaluation.environment(name)
	if err != nil {
		return nil, nil, err
	}
	snap, err := env.snapshot()
	if err != nil {
		return nil, nil, err
	}
	who := credentialOf(ctx)
	right, err := who.right(env, snap, time.Now())
	return s.telemetry.byName[env.name], right, err
}

func checkSender(s *telemetryv1.Sender) error {
	if n := len(s.GetInstanceId()); n > maxSenderID {
		return invalid("sender.instance_id", "%d bytes: want 1 to %d", n, maxSenderID)
	}
	if err := batchcheck.Sender(s); err != nil {
		return invalid("sender", "%v", err)
	}
	return nil
}

// once counts a message that was not counted before, and returns when it is durable: on disk,
// if there is one. count is told whether it is the first time; what it returns as an error was
// not counted.
func (t *telemetry) once(ctx context.Context, c *counted, mark *telemetryv1.Sender, count func(first bool) error) error {
	release, err := t.admit()
	if err != nil {
		return err
	}
	defer release()
	g, err := t.countOnce(c, mark, count)
	if err != nil || g == nil {
		return err
	}
	if fault.Planted("answer-before-spool") {
		return nil
	}
	if err := g.wait(ctx); err != nil {
		return fmt.Errorf("counted, and not known to be on disk: %w", err)
	}
	fault.Point(fault.TelemetryBeforeAnswer)
	return nil
}

// admit lets a call in, until it is released, unless nothing can be taken at the moment.
func (t *telemetry) admit() (release func(), err error) {
	if err := t.spool.Failing(); err != nil && t.durable {
		t.refused[refusedDisk].Add(1)
		return nil, status.Error(codes.ResourceExhausted, "telemetry cannot be written to disk at the moment; nothing was counted: try again later")
	}
	if t.waiting.Add(1) > maxWaitingCalls {
		t.waiting.Add(-1)
		t.refused[refusedBusy].Add(1)
		return nil, status.Errorf(codes.ResourceExhausted, "%d calls wait for the disk already; nothing was counted: try again later", maxWaitingCalls)
	}
	return func() { t.waiting.Add(-1) }, nil
}

// countOnce counts, and returns what to wait for; nil: nothing.
func (t *telemetry) countOnce(c *counted, mark *telemetryv1.Sender, count func(bool) error) (*commitGroup, error) {
	if mark == nil {
		return t.count(c, nil, func() error { return count(true) })
	}
	from := t.senders.of(keyOf(mark), time.Now())
	if from == nil {
		t.refused[refusedBusy].Add(1)
		return nil, status.Errorf(codes.ResourceExhausted, "%d senders are known already; nothing was counted: try again later", maxSenders)
	}
	from.mu.Lock()
	defer from.mu.Unlock()
	if mark.GetSequence() <= from.taken {
		return from.group, count(false)
	}
	if t.spool.Seen(mark) {
		return nil, count(false)
	}
	g, err := t.count(c, mark, func() error { return count(true) })
	if err == nil {
		from.taken, from.group = mark.GetSequence(), g
	}
	return g, err
}
