package telemetry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

func newTracker(c Courier) *Tracker {
	return NewTracker(TrackerOptions{
		InstanceID: "sdk-1", MaxEvents: 10_000, MaxBytes: 4 << 20, Every: time.Second, Courier: c,
	})
}

// TestTrackerOnce: attempts fail before and after they are counted; in the end everything was
// counted once, in order.
func TestTrackerOnce(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			luck := rand.New(rand.NewPCG(seed, 2))
			fail := func(int) error {
				if luck.IntN(3) == 0 {
					return errAway
				}
				return nil
			}
			r := &relay{t: t, before: fail, after: fail}
			tracker := newTracker(to{r})
			const n = 3_000
			for i := range n {
				tracker.Track(event(i))
				if random.IntN(500) == 0 {
					time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
				}
				balanced(t, tracker.Stats())
			}
			if err := tracker.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := tracker.Stats(); s.Acknowledged != n || s.Emitted != n || s.Pending != 0 {
				t.Fatalf("%+v", s)
			}
			tracker.Close(t.Context())
			if len(r.events) != n {
				t.Fatalf("the relay counted %d of %d", len(r.events), n)
			}
			for i, e := range r.events {
				if got := e.GetObservations()[0].GetMetric(); got != fmt.Sprint(i) {
					t.Fatalf("event %d is %s", i, got)
				}
			}
		})
	}
}

// TestTrackerHourAway: a relay that is away for an hour costs what the queue may hold, and an
// attempt now and then. The newest are kept.
func TestTrackerHourAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		r := &relay{t: t, before: func(int) error {
			if away {
				return errAway
			}
			return nil
		}}
		tracker := newTracker(to{r})
		const n = 36_000
		for i := range n {
			tracker.Track(event(i))
			time.Sleep(time.Hour / n)
		}
		if a := r.attempted(); a < 300 || a > 750 {
			t.Errorf("%d attempts in an hour", a)
		}
		s := tracker.Stats()
		balanced(t, s)
		if s.Pending < 10_000 || s.Pending > 11_000 || !errors.Is(s.Err, errAway) {
			t.Errorf("%+v", s)
		}
		r.mu.Lock()
		away = false
		r.mu.Unlock()
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := tracker.Stats()
		if after.Acknowledged != s.Pending || after.Lost[LostDropped] != n-s.Pending || after.Emitted != n || after.Err != nil {
			t.Errorf("%+v", after)
		}
		tracker.Close(t.Context())
		if got := r.events[len(r.events)-1].GetObservations()[0].GetMetric(); got != fmt.Sprint(n-1) {
			t.Errorf("the last event is %s", got)
		}
		if got := r.events[len(r.events)-10_000].GetObservations()[0].GetMetric(); got != fmt.Sprint(n-10_000) {
			t.Errorf("the oldest of the newest 10,000 is %s", got)
		}
	})
}

// TestTrackerBytes: large contexts are bounded by their size.
func TestTrackerBytes(t *testing.T) {
	r := &relay{t: t, before: func(int) error { return errAway }}
	tracker := newTracker(to{r})
	large := func(n int) *telemetryv1.Event {
		e := event(0)
		e.Context = &evaluationv1.EvaluationContext{TargetingKey: strings.Repeat("x", n)}
		return e
	}
	for range 200 {
		tracker.Track(large(60_000))
	}
	tracker.Track(large(maxEventBytes + 1))
	s := tracker.Stats()
	balanced(t, s)
	if s.Emitted != 201 || s.Lost[LostRefused] != 1 || s.Pending*60_000 > 5<<20+60_000 || s.Lost[LostDropped] < 100 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(s.Refusal, "at most 65536") {
		t.Errorf("refusal %q", s.Refusal)
	}
	tracker.Close(expired(t))
}

// TestTrackerSettles: what becomes of messages that are not taken as a whole.
func TestTrackerSettles(t *testing.T) {
	for name, c := range map[string]struct {
		refuse       map[int]bool // by the relay
		courier      error        // of the first attempt
		acknowledged uint64
		reason       string
		lost         uint64
	}{
		"taken":       {acknowledged: 5},
		"in part":     {refuse: map[int]bool{1: true, 3: true}, acknowledged: 3, reason: LostRefused, lost: 2},
		"refused":     {courier: status.Error(codes.InvalidArgument, "no sense"), reason: LostRefused, lost: 5},
		"unconfirmed": {courier: fmt.Errorf("relay: %w: %w", ErrUnconfirmed, errAway), reason: LostUnconfirmed, lost: 5},
		"again":       {courier: status.Error(codes.ResourceExhausted, "later"), acknowledged: 5},
		"no relay":    {courier: status.Error(codes.Unimplemented, "a control server"), acknowledged: 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tracker := newTracker(&failsFirst{to: to{&relay{t: t, refuse: c.refuse}}, err: c.courier})
				for i := range 5 {
					tracker.Track(event(i))
				}
				tracker.Refuse("elsewhere")
				if err := tracker.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				s := tracker.Stats()
				balanced(t, s)
				lost := s.Lost[c.reason]
				if c.reason == LostRefused {
					lost--
				}
				if s.Acknowledged != c.acknowledged || lost != c.lost || s.Lost[LostRefused] < 1 || s.Refusal == "" || s.Emitted != 6 {
					t.Errorf("%+v", s)
				}
				tracker.Close(t.Context())
			})
		})
	}
}

type failsFirst struct {
	to
	err error
}

func (f *failsFirst) Deliver(ctx context.Context, call Call) error {
	if err := f.err; err != nil {
		f.err = nil
		return err
	}
	return f.to.Deliver(ctx, call)
}

// TestTrackerClose: it takes as long as it is given, and what is left is lost.
func TestTrackerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(hangs{})
		for i := range 1500 {
			tracker.Track(event(i))
		}
		flushed := make(chan error)
		go func() { flushed <- tracker.Flush(context.Background()) }()
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		tracker.Close(ctx)
		if took := time.Since(began); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		tracker.Track(event(0))
		s := tracker.Stats()
		balanced(t, s)
		if s.Lost[LostUnsent] != 1501 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestTrackerCloseSends: what waits for company is sent at once.
func TestTrackerCloseSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		tracker := newTracker(to{r})
		for i := range 2500 {
			tracker.Track(event(i))
		}
		began := time.Now()
		tracker.Close(t.Context())
		if s := tracker.Stats(); s.Acknowledged != 2500 || len(r.events) != 2500 || time.Since(began) != 0 {
			t.Errorf("after %v: %+v", time.Since(began), s)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t, before: func(attempt int) error {
			if attempt <= 2 {
				return errAway
			}
			return nil
		}}
		tracker := newTracker(to{r})
		for i := range 1500 {
			tracker.Track(event(i))
		}
		began := time.Now()
		tracker.Close(t.Context())
		if s := tracker.Stats(); s.Acknowledged != 1500 || time.Since(began) > 400*time.Millisecond {
			t.Errorf("after %v: %+v", time.Since(began), s)
		}
	})
}

// TestTrackerFlush does not wait for company; it ends with its context, and says why.
func TestTrackerFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := newTracker(to{&relay{t: t}})
		tracker.Track(event(0))
		began := time.Now()
		if err := tracker.Flush(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		tracker.Close(t.Context())
	})
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t, before: func(int) error { return errAway }}
		tracker := newTracker(to{r})
		if err := tracker.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		tracker.Track(event(0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tracker.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errAway) {
			t.Error(err)
		}
		tracker.Close(expired(t))
	})
}

// TestTrackerUnused has no goroutine, and nothing to wait for.
func TestTrackerUnused(t *testing.T) {
	tracker := newTracker(hangs{})
	tracker.Close(t.Context())
	if s := tracker.Stats(); s.Emitted != 0 {
		t.Errorf("%+v", s)
	}
}

// TestTrackerConcurrent: many track while it is closed; nothing is without an account.
func TestTrackerConcurrent(t *testing.T) {
	r := &relay{t: t}
	tracker := newTracker(to{r})
	const each, goroutines = 500, 8
	var tracking sync.WaitGroup
	for g := range goroutines {
		tracking.Go(func() {
			for i := range each {
				tracker.Track(event(g*each + i))
			}
		})
	}
	tracking.Go(func() { tracker.Close(t.Context()) })
	tracking.Go(func() { _ = tracker.Flush(t.Context()) })
	tracking.Wait()
	s := tracker.Stats()
	balanced(t, s)
	if s.Emitted != each*goroutines || s.Acknowledged != uint64(len(r.events)) || s.Pending != 0 {
		t.Errorf("%+v, the relay counted %d", s, len(r.events))
	}
}

// hangs never answers.
type hangs struct{}

func (hangs) Deliver(ctx context.Context, _ Call) error {
	<-ctx.Done()
	return ctx.Err()
}
func (hangs) Close() error { return nil }

func expired(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
