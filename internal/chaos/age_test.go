//go:build unix

package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

const (
	// deadAfter is within what a silent upstream is found dead, three heartbeats.
	deadAfter = 15 * time.Second
	// longestWait is that between two attempts to follow.
	longestWait = 30 * time.Second
	// slack is for a machine that is slow.
	slack = 2 * time.Second
	// heartbeat is the interval of heartbeats, and probe the age of a healthy server.
	heartbeat = 5 * time.Second
	probe     = 500 * time.Millisecond
)

// fresh is the age that a relay of a healthy server stays below: ages add up over hops.
func (r *relay) fresh() time.Duration { return time.Duration(r.hops)*heartbeat + probe + slack }

// age asks for the age of what a relay answers, and demands that one of at least limit
// is told as STALE.
func (s *scenario) age(r *relay, limit time.Duration) time.Duration {
	s.Helper()
	a, err := r.readers.Ask(s.ctx, &evaluationv1.EvaluateRequest{
		MaxAge: durationpb.New(limit), StalePolicy: evaluationv1.StalePolicy_STALE_POLICY_ANSWER,
	})
	if err != nil {
		s.Fatalf("a relay that lives does not answer: %v", err)
	}
	if age := a.GetAge().AsDuration(); (age > limit) != (a.GetReason() == "STALE") {
		s.Errorf("answered with age %v and reason %s, demanded were %v", age, a.GetReason(), limit)
	}
	return a.GetAge().AsDuration()
}

// mustAge watches relays that have been cut off from the store since then, and demands
// that they never tell to be younger than that, and tell to be stale once they are.
func (s *scenario) mustAge(since time.Time, relays ...*relay) {
	s.Helper()
	for time.Since(since) < deadAfter+slack {
		for _, r := range relays {
			s.mustBeAged(since, r)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// mustBeAged demands that a relay that has been cut off since then tells no lower age.
func (s *scenario) mustBeAged(since time.Time, r *relay) {
	s.Helper()
	// What an age loses on its way from hop to hop.
	const transit = 250 * time.Millisecond
	cut := time.Since(since)
	if age := s.age(r, deadAfter); age < cut-transit {
		s.Errorf("cut off for %v, the relay tells an age of %v", cut, age)
	}
}

// mustBeFresh waits until a relay is as fresh as one of a healthy server.
func (s *scenario) mustBeFresh(relays ...*relay) {
	s.Helper()
	for _, r := range relays {
		bed.Eventually(s, "the relay is fresh again", func() error {
			if age := s.age(r, r.fresh()); age > r.fresh() {
				return fmt.Errorf("its age is %v", age)
			}
			return nil
		})
	}
}

// upstream is what a relay says of its upstream.
func (r *relay) upstream() (connected bool, problem string, err error) {
	body, err := r.Get("/readyz")
	if len(body) == 0 {
		return false, "", err
	}
	var ready struct {
		Upstream struct {
			Connected bool
			Error     string
		}
	}
	err = json.Unmarshal(body, &ready)
	return ready.Upstream.Connected, ready.Upstream.Error, err
}

// mustNotice demands that a relay finds its upstream dead in time.
func (s *scenario) mustNotice(since time.Time, r *relay) {
	s.Helper()
	bed.EventuallyWithin(s, time.Until(since.Add(deadAfter+slack)), "the relay notices", func() error {
		connected, _, err := r.upstream()
		if err == nil && connected {
			err = errors.New("it says that it is connected")
		}
		return err
	})
}

// mustTake demands that a relay takes one of its upstreams by then; accepted is how many
// connections that one had before.
func (s *scenario) mustTake(r *relay, upstream int, accepted int64, by time.Time) {
	s.Helper()
	bed.EventuallyWithin(s, time.Until(by), "the relay takes its other upstream", func() error {
		if n := r.links[upstream].Stats().Accepted; n <= accepted {
			return errors.New("no connection there")
		}
		return nil
	})
}
