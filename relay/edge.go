package relay

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/judge"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// edge holds the breakers of one environment: of each rollout that is not over, fed with what
// this relay alone has counted. While nobody confirms the relay's state, what they say is
// heeded: the rollout is shut here. It is opened again when the control plane has moved it to
// a later step, or it is over, or gone; the control plane rolls back what was tripped.
type edge struct {
	environment string
	logger      zerolog.Logger
	store       *tripStore

	mu       sync.Mutex
	rollouts map[string]*edgeRollout // by key
	// standing are trips of this relay, by rollout.
	standing map[string]*telemetryv1.Trip
	// news are trips, and liftings, that are to be told upstream.
	news []*telemetryv1.Trip
}

// edgeRollout is one that is not over.
type edgeRollout struct {
	revision   int64
	status     *rolloutv1.Status
	split      snapshot.Split
	definition *rolloutv1.Rollout // without its status
	breaker    *judge.EdgeBreaker // nil: it has none
	after      time.Duration
}

// defaultEdgeAfter is that of rollout.proto.
const defaultEdgeAfter = 10 * time.Second

// newEdge brings back the trips that stood when the relay ended. They are told again: who was
// told already takes no harm.
func newEdge(environment string, store *tripStore, logger zerolog.Logger) *edge {
	e := &edge{
		environment: environment, store: store, logger: logger,
		rollouts: map[string]*edgeRollout{}, standing: map[string]*telemetryv1.Trip{},
	}
	for _, t := range store.of(environment) {
		e.standing[t.GetRollout()] = t
		e.news = append(e.news, t)
		logger.Warn().Str("rollout", t.GetRollout()).Uint64("step", t.GetStep()).Str("guardrail", t.GetGuardrail()).
			Time("shut_at", t.GetTime().AsTime()).Msg("this relay had shut the rollout when it ended: it goes on to serve the control until the control plane has decided")
	}
	return e
}

// follow brings the breakers up to a snapshot, and lifts the trips that it is later than.
// nil: there is nothing any more that could be shut, which says nothing about the trips.
func (e *edge) follow(s *snapshot.Snapshot, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s == nil {
		clear(e.rollouts)
		return
	}
	seen := make(map[string]bool, len(s.Rollouts()))
	for _, item := range s.Rollouts() {
		if e.followItem(item) {
			seen[item.Key] = true
		}
	}
	for key := range e.rollouts {
		if !seen[key] {
			delete(e.rollouts, key)
		}
	}
	lifted := false
	for key, t := range e.standing {
		if r := e.rollouts[key]; r == nil || r.status.GetStep() > t.GetStep() {
			e.lift(t, now)
			lifted = true
		}
	}
	if lifted {
		e.keep()
	}
}

// followItem brings one rollout up to its item; false: it is over. One that cannot be read is
// as it was.
func (e *edge) followItem(item snapshot.Item) bool {
	r := e.rollouts[item.Key]
	if r != nil && r.revision == item.ModRevision {
		return true
	}
	definition, err := item.Rollout()
	if err != nil {
		return r != nil || e.standing[item.Key] != nil
	}
	status := definition.GetStatus()
	if s := status.GetState(); s != rolloutv1.State_STATE_RUNNING && s != rolloutv1.State_STATE_PAUSED {
		return false
	}
	bare := proto.CloneOf(definition)
	bare.Status = nil
	if r == nil || !proto.Equal(r.definition, bare) {
		r = e.begin(definition, bare)
		e.rollouts[item.Key] = r
	}
	r.revision, r.status = item.ModRevision, status
	if r.breaker != nil {
		r.breaker.Follow(status)
	}
	return true
}

func (e *edge) begin(definition, bare *rolloutv1.Rollout) *edgeRollout {
	r := &edgeRollout{
		definition: bare, after: defaultEdgeAfter,
		split: snapshot.SplitOf(definition),
	}
	breaker := definition.GetEdgeBreaker()
	if d := breaker.GetAfter(); d != nil {
		r.after = d.AsDuration()
	}
	if breaker.GetDisabled() {
		return r
	}
	plan, err := judge.Compile(definition)
	if err != nil {
		e.logger.Warn().Err(err).Str("rollout", definition.GetKey()).Msg("a rollout cannot be judged here: this relay will not shut it by itself")
		return r
	}
	r.breaker = plan.NewEdgeBreaker()
	return r
}

// observe takes in what was counted in a second. age is since when nobody has confirmed the
// relay's state. It tells whether a rollout was shut.
func (e *edge) observe(windows []*telemetryv1.Window, age time.Duration, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	tripped := false
	for key, r := range e.rollouts {
		if r.breaker == nil {
			continue
		}
		t := r.breaker.Observe(windows, now)
		if t == nil || age < r.after || e.standing[key] != nil {
			continue
		}
		t.LogE = min(t.GetLogE(), math.MaxFloat64)
		e.standing[key] = t
		e.news = append(e.news, t)
		tripped = true
		e.logger.Error().Str("rollout", key).Str("flag", r.split.Flag).Uint64("step", t.GetStep()).
			Str("guardrail", t.GetGuardrail()).Stringer("cut_off_for", age.Round(time.Second)).
			Float64("log_e", t.GetLogE()).Float64("log_threshold", t.GetLogThreshold()).
			Uint64("treatment_events", t.GetTreatmentEvents()).Uint64("treatment_exposures", t.GetTreatmentExposures()).
			Uint64("control_events", t.GetControlEvents()).Uint64("control_exposures", t.GetControlExposures()).
			Msg("this relay is cut off, and a guardrail is violated: it serves the control until the control plane has decided")
	}
	if tripped {
		e.keep()
	}
	return tripped
}

// lift opens a rollout again; mu is held.
func (e *edge) lift(t *telemetryv1.Trip, now time.Time) {
	delete(e.standing, t.GetRollout())
	lifted := proto.CloneOf(t)
	lifted.LiftedAt = timestamppb.New(now)
	e.news = append(e.news, lifted)
	e.logger.Warn().Str("rollout", t.GetRollout()).Uint64("step", t.GetStep()).Str("guardrail", t.GetGuardrail()).
		Msg("the control plane has decided on the rollout that this relay had shut: what it says is served again")
}

// keep writes down what stands; mu is held.
func (e *edge) keep() { e.store.set(e.environment, e.list()) }

func (e *edge) list() []*telemetryv1.Trip {
	list := make([]*telemetryv1.Trip, 0, len(e.standing))
	for _, t := range e.standing {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *telemetryv1.Trip) int { return strings.Compare(a.GetRollout(), b.GetRollout()) })
	return list
}

// tripped lists those that stand, by rollout.
func (e *edge) tripped() []*telemetryv1.Trip {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list()
}

// names are the rollouts that this relay has shut.
func (e *edge) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.standing) == 0 {
		return nil
	}
	var names []string
	for _, t := range e.list() {
		names = append(names, t.GetRollout())
	}
	return names
}

// shut are the outcomes that are to serve the control.
func (e *edge) shut() []snapshot.Split {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []snapshot.Split
	for _, t := range e.list() {
		if r := e.rollouts[t.GetRollout()]; r != nil {
			list = append(list, r.split)
		}
	}
	return list
}

// take returns what is to be told upstream, at most n, and forgets it.
func (e *edge) take(n int) []*telemetryv1.Trip {
	e.mu.Lock()
	defer e.mu.Unlock()
	n = min(n, len(e.news))
	list := e.news[:n:n]
	e.news = e.news[n:]
	return list
}
