package decider

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/collector"
	"github.com/tidegate/tidegate/controlplane/store"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/rollout"
)

// maxRaces is how often a round is begun anew because somebody changed a rollout meanwhile.
const maxRaces = 5

// round is what one call of Judge comes to.
type round struct {
	group    *collector.Group
	effects  collector.Effects
	bytes    int // of the effects
	flags    map[id]bool
	verdicts []verdict
	// carried are trips that the next round decides on.
	carried map[id][]controlplane.Trip
	// recordedTrips are those that it adds to the audit trail.
	recordedTrips map[tripKey]bool
	// strays are trips of rollouts that are over.
	strays []stray
}

type stray struct {
	id    id
	trips []controlplane.Trip
}

// verdict is a decision that is part of a round.
type verdict struct {
	id       id
	decision *rolloutv1.Decision
}

// subject is a rollout that is judged.
type subject struct {
	controlplane.ActiveRollout
	id       id
	plan     *plan
	count    collector.Count
	trips    []controlplane.Trip
	standing *standing
	relays   uint32
	// evidence as it will be.
	evidence []byte
}

func (s *subject) outcome() judge.Outcome { return s.standing.judgement.Outcome }

// Judge implements [collector.Judge].
func (d *Decider) Judge(ctx context.Context, g *collector.Group) (collector.Effects, error) {
	began := time.Now()
	defer func() { d.metrics.seconds.Observe(time.Since(began).Seconds()) }()
	d.told.take(g.Batches, g.Time)
	for races := 0; ; races++ {
		r, err := d.judge(ctx, g)
		switch {
		case errors.Is(err, errRace) && races < maxRaces:
			continue
		case err != nil:
			return collector.Effects{}, err
		}
		d.pending = r
		return r.effects, nil
	}
}

// errRace: somebody changed what is judged.
var errRace = errors.New("decider: a rollout has changed meanwhile")

func (d *Decider) judge(ctx context.Context, g *collector.Group) (*round, error) {
	active, err := d.o.Authority.ActiveRollouts(ctx)
	if err != nil {
		return nil, err
	}
	r := &round{group: g, flags: make(map[id]bool), carried: make(map[id][]controlplane.Trip), recordedTrips: make(map[tripKey]bool)}
	subjects := d.subjects(active, r)
	frozen, err := d.o.Authority.FrozenEnvironments(ctx, environmentsOf(subjects), g.Time)
	if err != nil {
		return nil, err
	}
	for _, s := range subjects {
		if err := d.weigh(s, frozen[s.Environment], g.Time); err != nil {
			return nil, err
		}
	}
	d.show(subjects)
	// What must be there: the evidence of what is counted. Then the verdicts, as far as there is
	// room: what has none is judged again in a second, on the same evidence.
	for _, s := range subjects {
		if err := r.addEvidence(s); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(subjects, func(a, b *subject) int { return cmp.Compare(urgency(a), urgency(b)) })
	for _, s := range subjects {
		if err := d.carryOut(ctx, r, s); err != nil {
			return nil, err
		}
	}
	for _, s := range r.strays {
		if err := d.recordTrips(ctx, r, s.id, s.trips); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// subjects are the rollouts that there are, each with what was counted of it.
func (d *Decider) subjects(active []controlplane.ActiveRollout, r *round) []*subject {
	byID := make(map[id]*subject, len(active))
	subjects := make([]*subject, 0, len(active))
	for _, one := range active {
		s := &subject{ActiveRollout: one, id: id{one.Environment, one.Rollout.GetKey()}}
		if s.plan = d.plan(s); s.plan == nil {
			continue
		}
		s.trips = s.plan.carried
		byID[s.id] = s
		subjects = append(subjects, s)
	}
	for i := range d.plans {
		if byID[i] == nil {
			delete(d.plans, i)
			delete(d.newest, i)
		}
	}
	for _, c := range r.group.Counts() {
		of := id{c.Environment, c.Rollout}
		var trips []controlplane.Trip
		cells := 0
		for _, p := range c.Parts {
			for _, w := range p.Windows {
				cells += len(w.GetCells())
			}
			for _, t := range p.Trips {
				trips = append(trips, controlplane.Trip{Relay: p.Sender.GetInstanceId(), Trip: t})
			}
		}
		switch s := byID[of]; {
		case s != nil:
			s.count, s.trips = c, append(slices.Clip(s.trips), trips...)
		default:
			r.effects.SetAside += cells
			if len(trips) > 0 {
				r.strays = append(r.strays, stray{of, trips})
			}
		}
	}
	return subjects
}

// environmentsOf are those that there are rollouts in, each once.
func environmentsOf(subjects []*subject) []string {
	var names []string
	for _, s := range subjects {
		if !slices.Contains(names, s.Environment) {
			names = append(names, s.Environment)
		}
	}
	return names
}

// plan compiles a rollout, once; nil: it cannot be judged.
func (d *Decider) plan(s *subject) *plan {
	if p := d.plans[s.id]; p != nil {
		return p
	}
	compiled, err := judge.Compile(s.Rollout)
	if err != nil {
		d.o.Logger.Error().Err(err).Str("environment", s.Environment).Str("rollout", s.id.rollout).Msg("a rollout cannot be judged: abort it")
		return nil
	}
	d.plans[s.id] = &plan{Plan: compiled}
	return d.plans[s.id]
}

// weigh judges one rollout.
func (d *Decider) weigh(s *subject, frozen *rolloutv1.Frozen, now time.Time) error {
	situation := d.situation(s.Environment, s.FlagRevision, now)
	situation.Frozen = frozen
	situation.FlagReady = s.Flag != nil && rollout.Ready(s.Rollout, s.Flag)
	situation.FlagDisabled = s.Flag != nil && !s.Flag.GetEnabled()
	s.relays = situation.GetRelays()
	for _, t := range distinct(s.id, s.trips) {
		if t.GetLiftedAt() == nil {
			situation.Trips = append(situation.Trips, t.Trip)
		}
	}
	var windows []*telemetryv1.Window
	for _, p := range s.count.Parts {
		windows = append(windows, p.Windows...)
	}
	j, err := judgeOn(s.plan.Plan, &s.ActiveRollout, windows, situation, d.o.Policy)
	if errors.Is(err, judge.ErrEvidence) {
		// What cannot be used would blind the breakers for ever: they begin anew.
		d.o.Logger.Error().Err(err).Str("environment", s.Environment).Str("rollout", s.id.rollout).Msg("the stored evidence cannot be used: it is gathered anew")
		s.Evidence = nil
		j, err = judgeOn(s.plan.Plan, &s.ActiveRollout, windows, situation, d.o.Policy)
	}
	if err != nil {
		return fmt.Errorf("rollout %q of %s: %w", s.id.rollout, s.Environment, err)
	}
	s.standing = &standing{at: now, seen: time.Now(), judgement: j}
	s.evidence, err = proto.MarshalOptions{Deterministic: true}.Marshal(j.State.Evidence())
	return err
}

// judgeOn judges a rollout as the store has it.
func judgeOn(p *judge.Plan, r *controlplane.ActiveRollout, windows []*telemetryv1.Window, situation *rolloutv1.Situation, policy judge.Policy) (*judge.Judgement, error) {
	var evidence *rolloutv1.Evidence
	if r.Evidence != nil {
		evidence = new(rolloutv1.Evidence)
		if err := proto.Unmarshal(r.Evidence, evidence); err != nil {
			return nil, fmt.Errorf("%w: %w", judge.ErrEvidence, err)
		}
	}
	return p.Judge(p.Inputs(r.Rollout, evidence, windows, situation), policy)
}

// show makes the judgements those that are told of.
func (d *Decider) show(subjects []*subject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.standing)
	for _, s := range subjects {
		d.standing[s.id] = s.standing
		if d.o.Record != nil {
			d.o.Record(s.Environment, s.Rollout, s.standing.at, s.standing.assess)
		}
	}
}

// urgency orders what is carried out: what shuts comes first.
func urgency(s *subject) int {
	switch s.outcome().Verdict {
	case rolloutv1.Verdict_VERDICT_ROLLBACK:
		return 0
	case rolloutv1.Verdict_VERDICT_HOLD:
		return 2
	}
	return 1
}

// addEvidence adds the evidence of what is counted; ErrNoRoom if it does not fit. Where nothing
// is, what is stored is enough: the same follows from it in each round.
func (r *round) addEvidence(s *subject) error {
	if len(s.count.Parts) == 0 || bytes.Equal(s.evidence, s.Evidence) {
		return nil
	}
	if !r.add(collector.Effects{
		Compares: []store.Compare{store.Unchanged(s.EvidenceKey, s.EvidenceRevision), store.Unchanged(s.RolloutKey, s.RolloutRevision)},
		Ops:      []store.Op{store.Put(s.EvidenceKey, s.evidence)},
	}) {
		return collector.ErrNoRoom
	}
	return nil
}

// add adds effects if there is room for them.
func (r *round) add(more collector.Effects) bool {
	const overhead = 32 // as the collector reckons
	size := 0
	for _, c := range more.Compares {
		size += len(c.Key) + overhead
	}
	for _, op := range more.Ops {
		size += len(op.Key) + len(op.Value) + overhead
	}
	room := r.group.Room
	if len(r.effects.Ops)+len(more.Ops) > room.Ops || len(r.effects.Compares)+len(more.Compares) > room.Compares || r.bytes+size > room.Bytes {
		return false
	}
	r.effects.Compares = append(r.effects.Compares, more.Compares...)
	r.effects.Ops = append(r.effects.Ops, more.Ops...)
	r.bytes += size
	return true
}
