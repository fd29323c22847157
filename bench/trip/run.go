package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

const (
	// The fault comes so long after the stage.
	soonest = time.Second
	latest  = 5 * time.Second
	// after is how long users go on to come once it is over.
	after = time.Second
	// patience bounds a run.
	patience = 2 * time.Minute
)

// result is what one run came to. Times are since the first failure that the fault caused.
type result struct {
	decided   time.Duration
	relay     time.Duration // the last relay served the control
	inProcess time.Duration // the last client that evaluates in process did
	// treated were served the treatment since it was broken, failed are those of them whom
	// the fault hit.
	treated, failed int
	// answers came after the trip, and exposed are those of them that were the treatment.
	answers, exposed int
}

func (r result) String() string {
	return fmt.Sprintf("decided after %.2f s, last relay after %.2f s, last client in process after %.2f s; %d treated, %d failed; %d exposures in %d answers after the trip",
		r.decided.Seconds(), r.relay.Seconds(), r.inProcess.Seconds(), r.treated, r.failed, r.exposed, r.answers)
}

// trip rolls out a flag to so many percent, breaks its treatment, and measures until nobody is
// served it.
func (s *scene) trip(ctx context.Context, key string, percent int) (r result, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.begin(ctx, key, percent); err != nil {
		return r, err
	}
	subjects, err := s.treated(ctx, key)
	if err != nil {
		return r, err
	}
	if _, err := s.await(ctx, key, subjects, true); err != nil {
		return r, err
	}
	u := s.open(ctx, key)
	defer u.stop()
	if err := sleep(ctx, soonest+rand.N(latest-soonest)); err != nil { //nolint:gosec // plays a fault
		return r, err
	}
	over := make(chan *controlv1.RolloutVersion, 1)
	go func() {
		last, _ := s.server.Follow(ctx, key, func(*controlv1.WatchRolloutResponse) {})
		over <- last
	}()
	u.broken.Store(true)
	began := time.Now()
	shown, err := s.await(ctx, key, subjects, false)
	if err != nil {
		return r, err
	}
	if err := sleep(ctx, after); err != nil {
		return r, err
	}
	visits, err := u.close()
	if err != nil {
		return r, err
	}
	return sum(began, visits, shown, <-over)
}

// sum adds up a run.
func sum(began time.Time, visits []visit, shown shown, last *controlv1.RolloutVersion) (r result, err error) {
	status := last.GetRollout().GetStatus()
	if status.GetState() != rolloutv1.State_STATE_ROLLED_BACK {
		return r, fmt.Errorf("the rollout ended as %v: %s", status.GetState(), status.GetHeadline())
	}
	ended := status.GetEndedAt().AsTime()
	var first time.Time
	for _, v := range visits {
		if v.failed && (first.IsZero() || v.told.Before(first)) {
			first = v.told
		}
		if v.treated && v.sent.After(began) {
			r.treated++
		}
		if v.failed {
			r.failed++
		}
		if v.revision >= last.GetRevision() || v.sent.After(shown.relays[v.relay]) {
			r.answers++
			if v.treated {
				r.exposed++
			}
		}
	}
	if first.IsZero() || ended.Before(first) {
		return r, errors.New("it was rolled back before anything failed by the fault")
	}
	r.decided = ended.Sub(first)
	for _, at := range shown.relays {
		r.relay = max(r.relay, at.Sub(first))
	}
	for _, at := range shown.inProcess {
		r.inProcess = max(r.inProcess, at.Sub(first))
	}
	return r, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
