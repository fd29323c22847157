// Package decider decides about rollouts, on the server that leads.
//
// It is the collector's judge: once a second, or as soon as telemetry comes after a while of
// quiet, every rollout that is not over is judged on what was counted since, also if that is
// nothing. What comes of it is in the transaction that counts: the evidence, and, where a
// verdict changes something, the rollout, its flag, the decision, its audit entries and what
// people are told. So nothing is counted twice, no decision lacks its evidence, and a leader
// that takes over goes on from what the last one committed.
//
// Everything is read from the store for each judgement, and compared when it is committed: a
// person's write that comes in between has it judged again, on the new state. What is kept in
// memory is only what the store cannot know: which relays there are, and how far they have
// told what they counted. Without it nothing is widened; what is harmful is shut all the same.
//
// A decision to hold is recorded when what is waited for changes, but never sooner than 10 s
// after the one before or the step's beginning, and the later the longer the step lasts: a
// step of d has at most about 10*ln(d/10s) of them (of what is pressing, one a minute).
package decider

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/collector"
	"github.com/tidegate/tidegate/controlplane/fleet"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/notify"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
)

// Options of a Decider.
type Options struct {
	Authority *controlplane.Authority // required
	// InstanceID of this server: who decides; required.
	InstanceID string
	// Relays tells which relays follow each environment, and how far they are; required. It is
	// asked once a second while the server leads, and may block.
	Relays func(context.Context) (map[string][]fleet.Standing, error)
	// Notifier has people told; nil: nobody is.
	Notifier *notify.Notifier
	// Record is told each judgement, for the series of the rollout; nil: none is. It is called
	// while a round is judged, and must wait for nothing; assess may be called later.
	Record func(environment string, r *rolloutv1.Rollout, at time.Time, assess func() *rolloutv1.Assessment)
	// Policy proposes when to leave a stage. Default: judge.GatedDwell.
	Policy     judge.Policy
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil
}

// id names a rollout.
type id struct{ environment, rollout string }

// Decider is a [collector.Judge], and a controlplane.Assessor. The methods of the former are for
// the collector alone; the others may be called from any goroutine.
type Decider struct {
	o       Options
	relays  relays
	metrics *metrics

	// Of the collector's goroutine.
	term    leader.Term
	plans   map[id]*plan
	newest  map[id]*rolloutv1.Decision // the newest decision of each rollout; nil: there is none
	pending *round                     // until it is committed
	told    told
	// recordedTrips are those that are in the audit trail.
	recordedTrips map[tripKey]bool

	mu sync.Mutex
	// standing are the newest judgements, while this server leads.
	standing map[id]*standing
}

var _ collector.Judge = (*Decider)(nil)

// New makes a Decider.
func New(o Options) (*Decider, error) {
	if o.Authority == nil || o.InstanceID == "" || o.Relays == nil {
		return nil, errors.New("decider: Options.Authority, InstanceID and Relays are required")
	}
	if o.Policy == nil {
		o.Policy = judge.GatedDwell{}
	}
	d := &Decider{o: o, plans: make(map[id]*plan), newest: make(map[id]*rolloutv1.Decision), told: make(told), recordedTrips: make(map[tripKey]bool), standing: make(map[id]*standing)}
	d.metrics = newMetrics(d)
	return d, d.metrics.register(o.Registerer)
}

// Lead keeps what is known of the relays up to date until ctx ends, which it returns. It is
// for the leader, beside its collector; without it, no rollout is widened.
func (d *Decider) Lead(ctx context.Context) error {
	defer d.resign()
	return d.relays.run(ctx, d.o.Relays, d.o.Logger)
}

// resign forgets what only a leader knows.
func (d *Decider) resign() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.standing)
}

// Load implements [collector.Judge].
func (d *Decider) Load(_ context.Context, term leader.Term) error {
	if term != d.term {
		clear(d.told)
	}
	d.term, d.pending = term, nil
	clear(d.newest)
	return nil
}

// Committed implements [collector.Judge].
func (d *Decider) Committed(revision int64) {
	if d.pending == nil {
		return
	}
	for _, v := range d.pending.verdicts {
		d.newest[v.id] = v.decision
		d.metrics.decisions.WithLabelValues(word(v.decision.GetVerdict())).Inc()
		d.o.Logger.Info().Str("environment", v.id.environment).Str("rollout", v.id.rollout).Uint64("decision", v.decision.GetNumber()).
			Str("verdict", word(v.decision.GetVerdict())).Str("deciding", v.decision.GetDeciding()).Int64("revision", revision).
			Msg(v.decision.GetHeadline())
	}
	if len(d.recordedTrips)+len(d.pending.recordedTrips) > maxTripsKnown {
		clear(d.recordedTrips)
	}
	maps.Copy(d.recordedTrips, d.pending.recordedTrips)
	for of, p := range d.plans {
		p.carried = d.pending.carried[of]
	}
	d.pending = nil
}

// plan is a rollout compiled, which it is once: nothing of it but its status ever changes.
type plan struct {
	*judge.Plan
	// carried are trips that were counted, and could not be decided on yet.
	carried []controlplane.Trip
}

// standing is the newest judgement of a rollout.
type standing struct {
	// at is what it was judged as of, seen when it was.
	at, seen time.Time

	mu         sync.Mutex
	judgement  *judge.Judgement
	assessment *rolloutv1.Assessment
}

// assess works it out once, as it costs more than to judge.
func (s *standing) assess() *rolloutv1.Assessment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.assessment == nil {
		s.assessment = s.judgement.Assessment()
	}
	return s.assessment
}

// decision writes the judgement down.
func (s *standing) decision() *rolloutv1.Decision {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.judgement.Decision()
	s.assessment = d.GetAssessment()
	return d
}
