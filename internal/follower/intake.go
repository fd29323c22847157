package follower

import (
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// intake is the state machine that takes what an upstream sends into the replicas. It
// is used by the receiving goroutine; it knows no network.
type intake struct {
	instanceID string
	log        zerolog.Logger
	journal    Journal
	durable    *durability
	metrics    *metrics
	scopes     []*scope
	byName     map[string]*scope

	welcome *syncv1.Welcome // nil before
}

// scope is one environment.
type scope struct {
	replica *replica.Replica
	staged  snapshot.Assembler
	// afresh: ask for everything, whatever there is.
	afresh bool
	// synced: the upstream of this stream knows what is here.
	synced bool
	// unwritten: the journal could not take what is here.
	unwritten bool
}

func newIntake(o Options, d *durability, m *metrics) *intake {
	in := &intake{
		instanceID: o.InstanceID, log: o.Logger, journal: o.Journal, durable: d, metrics: m,
		byName: make(map[string]*scope, len(o.Environments)),
	}
	for _, name := range o.Environments {
		sc := &scope{replica: o.Replicas.Add(name), staged: snapshot.Assembler{MaxBytes: o.MaxStagedBytes}}
		in.scopes = append(in.scopes, sc)
		in.byName[name] = sc
	}
	return in
}

// open begins a stream: it drops what the one before left staged, and says from where
// to go on.
func (in *intake) open() []*syncv1.Scope {
	in.welcome = nil
	scopes := make([]*syncv1.Scope, len(in.scopes))
	for i, sc := range in.scopes {
		sc.staged.Reset()
		sc.synced = false
		scopes[i] = &syncv1.Scope{Environment: sc.replica.Environment()}
		if snap := sc.replica.Snapshot(); snap != nil && !sc.afresh {
			scopes[i].Cursor = snap.Cursor().Proto()
		}
	}
	return scopes
}

// handle takes one message. An error ends the stream; it never takes back, or leaves
// half done, what is shown.
func (in *intake) handle(m *syncv1.StreamResponse) error {
	switch m := m.GetMessage().(type) {
	case *syncv1.StreamResponse_Welcome:
		return in.handleWelcome(m.Welcome)
	case *syncv1.StreamResponse_Update:
		return in.handleUpdate(m.Update)
	case *syncv1.StreamResponse_Heartbeat:
		return in.handleHeartbeat(m.Heartbeat)
	case *syncv1.StreamResponse_Goodbye:
		return in.handleGoodbye(m.Goodbye)
	default:
		return nil // of a later version of the protocol
	}
}

// maxHops is the most that a follower may be away from the store.
const maxHops = 4

func (in *intake) handleWelcome(w *syncv1.Welcome) error {
	switch {
	case in.welcome != nil:
		return fmt.Errorf("%w: a second welcome", errProtocol)
	case w.GetInstanceId() == in.instanceID:
		return errLoop
	case w.GetHops() >= maxHops:
		return fmt.Errorf("%w: it is %d hops away from the store; at most %d are allowed", errLoop, w.GetHops(), maxHops-1)
	}
	in.welcome = w
	if unknown := w.GetUnknownEnvironments(); len(unknown) > 0 {
		in.log.Warn().Strs("environments", unknown).Msg("the upstream does not know some environments: nothing comes for them until it does")
	}
	return nil
}

func (in *intake) handleGoodbye(g *syncv1.Goodbye) error {
	switch g.GetCode() {
	case syncv1.Goodbye_CODE_EPOCH:
		for _, sc := range in.scopes {
			sc.afresh = true
		}
	case syncv1.Goodbye_CODE_REVOKED:
		in.log.Error().Str("message", g.GetMessage()).Msg("REVOKED: the upstream no longer serves this process")
	}
	return &goodbyeError{g}
}

func (in *intake) handleUpdate(u *syncv1.Update) error {
	sc := in.byName[u.GetEnvironment()]
	if sc == nil || in.welcome == nil {
		return fmt.Errorf("%w: an update of environment %q was not asked for, or came before welcome", errProtocol, u.GetEnvironment())
	}
	d, done, err := sc.staged.Add(u)
	if err == nil && !done {
		return nil
	}
	if err == nil {
		err = in.apply(sc, d)
	}
	switch {
	case err == nil:
		sc.afresh, sc.synced = false, true
		in.metrics.updates.WithLabelValues(mode(d)).Inc()
		return nil
	case errors.Is(err, snapshot.ErrRevision):
		return fmt.Errorf("%w: environment %q: %w", errBehind, u.GetEnvironment(), err)
	default:
		sc.afresh = true
		return fmt.Errorf("%w: environment %q: %w", errDiffers, u.GetEnvironment(), err)
	}
}

// mode is a metric's label.
func mode(d snapshot.Delta) string {
	switch {
	case d.Full:
		return "full"
	case d.Base.SameState(d.Target):
		return "none"
	default:
		return "delta"
	}
}

// apply verifies an update and shows its result.
func (in *intake) apply(sc *scope, d snapshot.Delta) error {
	now := sc.replica.Snapshot()
	from := now
	if from == nil {
		if !d.Full {
			return fmt.Errorf("%w: there is none here", snapshot.ErrBase)
		}
		from = snapshot.New(d.Environment, d.Target.Epoch)
	}
	next, err := from.Apply(d)
	if err != nil {
		return err
	}
	switch {
	case now == nil:
	case now.Cursor().Epoch != next.Cursor().Epoch:
		// Epochs have no order that could be relied on: also one with a lower counter counts.
		in.log.Error().Str("environment", d.Environment).Stringer("had", now.Cursor()).Stringer("has", next.Cursor()).
			Msg("NEW EPOCH: the store was restored or made anew; its state replaces the one that was served")
	case now.Cursor().SameState(next.Cursor()):
		in.keep(sc, now)
		return nil
	case d.Full:
		// Followers of this process need not be sent everything again.
		d = snapshot.Diff(now, next)
	}
	return in.show(sc, next, d)
}

// show appends to the journal, publishes, and has the change made durable.
func (in *intake) show(sc *scope, next *snapshot.Snapshot, d snapshot.Delta) error {
	fault.Point(fault.FollowerBeforeAppend)
	in.append(sc, next, d)
	fault.Point(fault.FollowerAfterAppend)
	if err := sc.replica.Publish(next, d); err != nil {
		return err
	}
	fault.Point(fault.FollowerAfterPublish)
	in.metrics.rejected.WithLabelValues(d.Environment).Set(float64(len(next.Rejections())))
	in.metrics.revision.WithLabelValues(d.Environment).Set(float64(d.Target.Revision))
	in.acknowledge(sc, next)
	return nil
}

// keep notes that the upstream has the state that is here. Its revision waits for a
// heartbeat, which says how old it is.
func (in *intake) keep(sc *scope, now *snapshot.Snapshot) {
	if sc.unwritten {
		in.append(sc, now, now.Full())
	}
	in.acknowledge(sc, now)
}

// observe notes that the state was the store's at a revision, some time ago. A restart
// must not take the revision back, so it is written too.
func (in *intake) observe(sc *scope, revision int64, age time.Duration) {
	now := sc.replica.Snapshot()
	if next := now.Advance(revision); next != now {
		in.append(sc, next, snapshot.Delta{Environment: next.Environment(), Base: now.Cursor(), Target: next.Cursor()})
		in.metrics.revision.WithLabelValues(next.Environment()).Set(float64(revision))
	}
	sc.replica.Observe(revision, age)
}

// append writes a change to the journal. After one that could not be written, the next
// is everything: the journal knows no gaps.
func (in *intake) append(sc *scope, next *snapshot.Snapshot, d snapshot.Delta) {
	if in.journal == nil {
		return
	}
	if sc.unwritten && !d.Full {
		d = next.Full()
	}
	err := in.journal.Append(next, d)
	sc.unwritten = err != nil
	if err != nil {
		in.metrics.journalFailures.Inc()
		in.log.Error().Err(err).Str("environment", d.Environment).Stringer("cursor", d.Target).
			Msg("a change was not written to disk; it is served from memory")
	}
}

// acknowledge has a state made durable and acknowledged, unless it was not written.
func (in *intake) acknowledge(sc *scope, s *snapshot.Snapshot) {
	if !sc.unwritten {
		in.durable.want(s)
	}
}

func (in *intake) handleHeartbeat(h *syncv1.Heartbeat) error {
	if in.welcome == nil {
		return fmt.Errorf("%w: a heartbeat came before welcome", errProtocol)
	}
	for _, e := range h.GetEnvironments() {
		sc := in.byName[e.GetEnvironment()]
		if sc == nil || !sc.synced {
			continue // what the upstream takes it for is not settled yet
		}
		c, err := snapshot.CursorFromProto(e.GetCursor())
		if err != nil {
			return fmt.Errorf("%w: heartbeat of environment %q: %w", errProtocol, e.GetEnvironment(), err)
		}
		now := sc.replica.Snapshot()
		if !c.SameState(now.Cursor()) {
			sc.afresh = true
			return fmt.Errorf("%w: environment %q: it is %s here, %s there", errDiffers, e.GetEnvironment(), now.Cursor(), c)
		}
		in.observe(sc, c.Revision, e.GetAge().AsDuration())
	}
	return nil
}
