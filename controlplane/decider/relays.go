package decider

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/fleet"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

const (
	// relaysEvery is how often it is looked which relays there are, and relaysKept how long
	// what was seen counts: after it, nobody knows.
	relaysEvery = time.Second
	relaysKept  = 5 * time.Second
	// freshFor is how old what a relay told last may be.
	freshFor = 10 * time.Second
	// toldKept is how long it is remembered who told something.
	toldKept = time.Minute
)

// relays is which relays there are, as seen of late.
type relays struct {
	mu   sync.Mutex
	seen map[string][]fleet.Standing
	at   time.Time
}

// run looks until ctx ends.
func (r *relays) run(ctx context.Context, look func(context.Context) (map[string][]fleet.Standing, error), logger zerolog.Logger) error {
	ticker := time.NewTicker(relaysEvery)
	defer ticker.Stop()
	for {
		began := time.Now()
		seen, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			logger.Warn().Err(err).Msg("it is not known which relays there are: no rollout is widened meanwhile")
		default:
			r.mu.Lock()
			r.seen, r.at = seen, began
			r.mu.Unlock()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// of returns those that follow an environment; none, if that is not known.
func (r *relays) of(environment string) []fleet.Standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) > relaysKept {
		return nil
	}
	return r.seen[environment]
}

// sender is a relay that tells of an environment.
type sender struct{ environment, instance string }

// told is up to when senders have told everything, by their clocks, but never later than what
// told it came: a clock that is fast makes nobody fresh.
type told map[sender]time.Time

// take takes in what a group has, and forgets who has been silent for long.
func (t told) take(batches []*telemetryv1.Batch, now time.Time) {
	for _, b := range batches {
		if b.GetCompleteTo() == nil {
			continue
		}
		from := sender{b.GetEnvironment(), b.GetSender().GetInstanceId()}
		to := b.GetCompleteTo().AsTime()
		if to.After(now) {
			to = now
		}
		if to.After(t[from]) {
			t[from] = to
		}
	}
	for from, to := range t {
		if now.Sub(to) > toldKept {
			delete(t, from)
		}
	}
}

// situation says how far the relays are that follow an environment. revision is that of the
// flag: who has it serves the step.
func (d *Decider) situation(environment string, revision int64, now time.Time) *rolloutv1.Situation {
	s := &rolloutv1.Situation{Now: timestamppb.New(now)}
	var oldest time.Time
	for _, r := range d.relays.of(environment) {
		s.Relays++
		if revision > 0 && r.Connected && r.Has(revision) {
			s.RelaysApplied++
		}
		if to, ok := d.told[sender{environment, r.InstanceID}]; ok && now.Sub(to) <= freshFor {
			s.RelaysFresh++
			if oldest.IsZero() || to.Before(oldest) {
				oldest = to
			}
		}
	}
	if !oldest.IsZero() {
		s.FreshTo = timestamppb.New(oldest)
	}
	return s
}
