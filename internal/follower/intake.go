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
	sdk        bool
	log        zerolog.Logger
	journal    Journal
	observer   Observer // may be nil
	durable    *durability
	metrics    *metrics
	left       leftEpochs
	scopes     []*scope
	byName     map[string]*scope

	backoffMin, backoffMax time.Duration

	welcome *syncv1.Welcome // nil before
	// welcomed is when it came, heard when the last message did.
	welcomed, heard time.Time

	path []string // of this process, see State

	// superseded tells whether what is refused is refused to a key that is not used any more.
	superseded func() bool
}

// scope is one environment.
type scope struct {
	replica *replica.Replica
	staged  snapshot.Assembler
	// afresh: ask for everything, whatever there is.
	afresh bool
	// synced: the upstream of this stream knows what is here.
	synced bool
	// confirmed is the moment up to which the upstream of this stream has the store's
	// state; zero if it did not say.
	confirmed time.Time
	// unwritten: the journal could not take what is here.
	unwritten bool
	// asked: the stream is about it.
	asked   bool
	refusal refusal
}

func newIntake(o Options, d *durability, m *metrics) *intake {
	in := &intake{
		instanceID: o.InstanceID, sdk: o.Kind == syncv1.FollowerKind_FOLLOWER_KIND_SDK, log: o.Logger, journal: o.Journal, observer: o.Observer, durable: d, metrics: m,
		backoffMin: o.BackoffMin, backoffMax: o.BackoffMax,
		left: newLeftEpochs(o, m), byName: make(map[string]*scope, len(o.Environments)),
		path: []string{unknownHop, o.InstanceID}, superseded: func() bool { return false },
	}
	for _, name := range o.Environments {
		sc := &scope{replica: o.Replicas.Add(name), staged: snapshot.Assembler{MaxBytes: o.MaxStagedBytes}}
		in.scopes = append(in.scopes, sc)
		in.byName[name] = sc
	}
	return in
}

// begin forgets the stream before.
func (in *intake) begin() { in.welcome, in.welcomed, in.heard = nil, time.Time{}, time.Time{} }

// lived is how long the upstream of the stream spoke, beginning with its Welcome; 0: it
// had none. What it was silent before it was given up does not count.
func (in *intake) lived() time.Duration {
	if in.welcome == nil {
		return 0
	}
	return max(in.heard.Sub(in.welcomed), 1)
}

// open begins a stream: it drops what the one before left staged, and says from where
// to go on.
func (in *intake) open(now time.Time) []*syncv1.Scope {
	in.begin()
	in.ask(now)
	var scopes []*syncv1.Scope
	for _, sc := range in.scopes {
		sc.staged.Reset()
		sc.synced, sc.confirmed = false, time.Time{}
		if !sc.asked {
			continue
		}
		asked := &syncv1.Scope{Environment: sc.replica.Environment()}
		switch snap := sc.replica.Snapshot(); {
		case snap == nil:
		case sc.afresh || fault.Planted("accept-older"):
			asked.HeldEpoch = snap.Cursor().Epoch.Proto()
		default:
			asked.Cursor = snap.Cursor().Proto()
		}
		scopes = append(scopes, asked)
	}
	return scopes
}

// handle takes one message. An error ends the stream; it never takes back, or leaves
// half done, what is shown.
func (in *intake) handle(m *syncv1.StreamResponse, now time.Time) error {
	in.heard = now
	switch m := m.GetMessage().(type) {
	case *syncv1.StreamResponse_Welcome:
		return in.handleWelcome(m.Welcome, now)
	case *syncv1.StreamResponse_Update:
		return in.handleUpdate(m.Update)
	case *syncv1.StreamResponse_Heartbeat:
		return in.handleHeartbeat(m.Heartbeat, now)
	case *syncv1.StreamResponse_Goodbye:
		return in.handleGoodbye(m.Goodbye, now)
	default:
		return nil // of a later version of the protocol
	}
}

func (in *intake) handleWelcome(w *syncv1.Welcome, now time.Time) error {
	if in.welcome != nil {
		return fmt.Errorf("%w: a second welcome", errProtocol)
	}
	if err := in.follows(pathOf(w)); err != nil {
		return err
	}
	in.welcome, in.welcomed = w, now
	if unknown := w.GetUnknownEnvironments(); len(unknown) > 0 {
		in.log.Warn().Strs("environments", unknown).Msg("the upstream does not know some environments: nothing comes for them until it does")
	}
	return nil
}

func (in *intake) handleGoodbye(g *syncv1.Goodbye, now time.Time) error {
	others := false
	switch g.GetCode() {
	case syncv1.Goodbye_CODE_EPOCH:
		for _, sc := range in.scopes {
			sc.afresh = true
		}
	case syncv1.Goodbye_CODE_REVOKED:
		if in.superseded() {
			return fmt.Errorf("%w: %s", errKey, g.GetMessage())
		}
		others = in.revoke(g, now)
	}
	return &goodbyeError{g, others}
}

func (in *intake) handleUpdate(u *syncv1.Update) error {
	sc := in.byName[u.GetEnvironment()]
	if sc == nil || !sc.asked || in.welcome == nil {
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
		in.granted(sc)
		in.metrics.updates.WithLabelValues(mode(d)).Inc()
		return nil
	case errors.Is(err, snapshot.ErrRevision), errors.Is(err, errLeft), errors.Is(err, errAnew):
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
	if to := d.Target.Epoch; in.left.has(to) && (now == nil || now.Cursor().Epoch != to) {
		return fmt.Errorf("%w: %s", errLeft, to)
	}
	if to := d.Target.Epoch; now != nil && to.Strange(now.Cursor().Epoch) {
		return fmt.Errorf("%w: it is in %s, what is here is of %s; 'tidegate epoch begin' has it followed, or an empty state directory", errAnew, to, now.Cursor().Epoch)
	}
	next, err := from.Apply(d)
	if err != nil {
		return err
	}
	if in.observer != nil && (d.Full || !sc.synced) {
		in.observer.Resuming(d)
	}
	switch {
	case now == nil:
	case now.Cursor().Epoch != next.Cursor().Epoch:
		// Epochs have no order that could be relied on: also one with a lower counter counts.
		in.left.leave(now.Cursor().Epoch)
		in.log.Error().Str("environment", d.Environment).Stringer("had", now.Cursor()).Stringer("has", next.Cursor()).
			Msg("NEW EPOCH: the store was restored, or somebody began an epoch; its state replaces the one that was served")
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
	if !fault.Planted("show-before-append") {
		in.append(sc, next, d)
	}
	fault.Point(fault.FollowerAfterAppend)
	if err := sc.replica.Publish(next, d); err != nil {
		return err
	}
	fault.Point(fault.FollowerAfterPublish)
	if fault.Planted("show-before-append") {
		in.append(sc, next, d)
	}
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

func (in *intake) handleHeartbeat(h *syncv1.Heartbeat, at time.Time) error {
	if in.welcome == nil {
		return fmt.Errorf("%w: a heartbeat came before welcome", errProtocol)
	}
	if path := h.GetPath(); len(path) > 0 {
		if err := in.follows(path); err != nil {
			return err
		}
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
		if e.GetAge() == nil {
			continue // it would claim that it was just now
		}
		age := max(e.GetAge().AsDuration(), 0)
		sc.confirmed = at.Add(-age)
		in.observe(sc, c.Revision, age)
	}
	return nil
}

// age is how old the oldest of the states is that the upstream has; of one that does not
// say, what is here tells.
func (in *intake) age(now time.Time) time.Duration {
	var oldest time.Duration
	for _, sc := range in.scopes {
		switch {
		case !sc.asked:
		case sc.confirmed.IsZero():
			oldest = max(oldest, sc.replica.AgeAt(now))
		default:
			oldest = max(oldest, now.Sub(sc.confirmed))
		}
	}
	return oldest
}
