package hub

import (
	"context"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// scope is one environment of one stream: a state machine whose steps are taken by the
// sending goroutine.
//
//	compare -> live                                  what it has is in the history
//	compare -> full -> live                          it is not
//	compare -> awaitRevision -> compare, or goodbye  it is ahead of the replica
//	live -> live                                     a change, or several in one
//	live -> full -> live                             too many changes, or a new epoch
//
// It is not entered before there is a snapshot; until then the other scopes go on.
type scope struct {
	replica *replica.Replica
	state   state
	// wake is closed when the next step can be taken.
	wake <-chan struct{}

	// have is the state that the follower has: what it said in Hello, then what it was
	// sent. Nil: nothing.
	have *snapshot.Cursor
	// sent is the snapshot that the follower has, if it is known here.
	sent *snapshot.Snapshot
	// synced: have was sent, or confirmed, on this stream.
	synced bool
	// current is when have was last seen to be the replica's newest state; the state's
	// age was then age.
	current time.Time
	age     time.Duration

	follow   *replica.Subscription
	deadline time.Time
}

// state takes one step and returns the next state, and what to wait for before it.
type state func(context.Context, *stream, *scope) (state, <-chan struct{}, error)

// atOnce waits for nothing.
func atOnce() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func newScope(r *replica.Replica, have *snapshot.Cursor) *scope {
	sc := &scope{replica: r, have: have, state: compare, wake: r.Ready()}
	if r.Purged() {
		sc.wake = atOnce() // to tell
	}
	return sc
}

func (sc *scope) step(ctx context.Context, s *stream) (err error) {
	sc.state, sc.wake, err = sc.state(ctx, s, sc)
	return err
}

// compare finds out how to go on from what the follower has. It is entered when there is
// a snapshot.
func compare(ctx context.Context, s *stream, sc *scope) (state, <-chan struct{}, error) {
	now := sc.replica.Snapshot()
	if now == nil {
		return nil, nil, sc.revoked()
	}
	here := now.Cursor()
	if sc.have == nil || sc.have.Epoch != here.Epoch {
		return full, atOnce(), nil
	}
	if sc.have.Revision > here.Revision {
		sc.deadline = time.Now().Add(s.hub.o.BehindWait)
		return awaitRevision(ctx, s, sc)
	}
	follow, ok := sc.replica.SubscribeFrom(*sc.have)
	if !ok {
		return full, atOnce(), nil
	}
	sc.follow = follow
	select {
	case <-follow.Changed():
		return live, atOnce(), nil
	default:
	}
	// Nothing happened since; what does from now on comes through follow. The snapshot is
	// read after it was known to be still the one that the follower has, or is newer.
	snap := sc.replica.Snapshot()
	if snap == nil || !snap.Cursor().SameState(*sc.have) {
		return live, atOnce(), nil
	}
	unchanged := slices.Values([]*syncv1.Update{snap.Unchanged(*sc.have)})
	if err := s.update(ctx, syncv1.Begin_MODE_NONE, responses(unchanged)); err != nil {
		return nil, nil, err
	}
	return sc.shown(s, snap.Cursor(), snap)
}

// awaitRevision waits until the replica has caught up with the follower. A revision that
// only advances wakes nobody, so it looks again and again, a few times.
func awaitRevision(_ context.Context, s *stream, sc *scope) (state, <-chan struct{}, error) {
	now := sc.replica.Snapshot()
	if now == nil {
		return nil, nil, sc.revoked()
	}
	here := now.Cursor()
	if here.Epoch != sc.have.Epoch || here.Revision >= sc.have.Revision {
		return compare, atOnce(), nil
	}
	if !time.Now().Before(sc.deadline) {
		return nil, nil, goodbye(syncv1.Goodbye_CODE_BEHIND, "environment %q is at revision %d here, the follower at %d",
			sc.replica.Environment(), here.Revision, sc.have.Revision)
	}
	wake := make(chan struct{})
	time.AfterFunc(min(s.hub.o.BehindWait/20, 50*time.Millisecond), func() { close(wake) })
	return awaitRevision, wake, nil
}

// full sends everything.
func full(ctx context.Context, s *stream, sc *scope) (state, <-chan struct{}, error) {
	snap, follow := sc.replica.Subscribe()
	if snap == nil {
		return nil, nil, sc.revoked()
	}
	sc.follow = follow
	if err := s.update(ctx, syncv1.Begin_MODE_FULL, responses(snap.Updates())); err != nil {
		return nil, nil, err
	}
	return sc.shown(s, snap.Cursor(), snap)
}

// shown notes that the follower was sent a first state, and tells its age.
func (sc *scope) shown(s *stream, c snapshot.Cursor, snap *snapshot.Snapshot) (state, <-chan struct{}, error) {
	sc.note(c, snap)
	if err := s.heartbeat(sc); err != nil {
		return nil, nil, err
	}
	return live, sc.follow.Changed(), nil
}

// live sends one change. A follower that lost some gets them in one.
func live(ctx context.Context, s *stream, sc *scope) (state, <-chan struct{}, error) {
	change, lost, err := sc.follow.Next(ctx)
	if err != nil {
		return nil, nil, err
	}
	if lost && change.Snapshot == nil {
		return nil, nil, sc.revoked()
	}
	if lost {
		s.hub.metrics.lost.Inc()
		return conflate(ctx, s, sc, change.Snapshot)
	}
	messages := change.Once(encode).([]*syncv1.StreamResponse)
	if err := s.update(ctx, syncv1.Begin_MODE_DELTA, slices.Values(messages)); err != nil {
		return nil, nil, err
	}
	if !sc.synced {
		return sc.shown(s, change.Delta.Target, change.Snapshot)
	}
	sc.note(change.Delta.Target, change.Snapshot)
	return live, sc.follow.Changed(), nil
}

// conflate sends what leads from what the follower has to the newest state: the
// difference, or everything if that is less or the difference is not known.
func conflate(ctx context.Context, s *stream, sc *scope, to *snapshot.Snapshot) (state, <-chan struct{}, error) {
	if sc.sent == nil {
		return full, atOnce(), nil
	}
	d := snapshot.Diff(sc.sent, to)
	if d.Full || d.Bytes() > to.Bytes() {
		return full, atOnce(), nil
	}
	if !d.Base.SameState(d.Target) {
		if err := s.update(ctx, syncv1.Begin_MODE_DELTA, responses(d.Updates())); err != nil {
			return nil, nil, err
		}
	}
	sc.note(to.Cursor(), to)
	return live, sc.follow.Changed(), nil
}

// revoked says that the environment may not be held here any more, nor below.
func (sc *scope) revoked() error {
	return &parting{&syncv1.Goodbye{
		Code: syncv1.Goodbye_CODE_REVOKED, Backoff: durationpb.New(backoff(syncv1.Goodbye_CODE_REVOKED)),
		Message: "it is not served here any more", Environments: []string{sc.replica.Environment()},
	}}
}

// note records what the follower has now; snap may be nil.
func (sc *scope) note(c snapshot.Cursor, snap *snapshot.Snapshot) {
	sc.have, sc.sent, sc.synced = &c, snap, true
	sc.look()
}

// look records whether what the follower has is the newest there is.
func (sc *scope) look() {
	// The age is read first: a change between the two makes it too old, not too young.
	age, ok := sc.replica.ConfirmedAge()
	if now := sc.replica.Snapshot(); now != nil && now.Cursor().SameState(*sc.have) {
		*sc.have = now.Cursor()
		if ok {
			sc.current, sc.age = time.Now(), age
		}
	}
}

// status tells where the follower is, for a heartbeat; nil if it was sent nothing yet,
// or nobody knows how old that is. Changes that it was not sent yet do not count: its age
// is that of what it has.
func (sc *scope) status() *syncv1.EnvironmentStatus {
	if !sc.synced {
		return nil
	}
	sc.look()
	if sc.current.IsZero() {
		return nil
	}
	return &syncv1.EnvironmentStatus{
		Environment: sc.replica.Environment(),
		Cursor:      sc.have.Proto(),
		Age:         durationpb.New(sc.age + time.Since(sc.current)),
	}
}

// encode makes the messages in which a change travels; it is done once for all streams.
func encode(d snapshot.Delta) any {
	return slices.Collect(responses(d.Updates()))
}

func responses(updates iter.Seq[*syncv1.Update]) iter.Seq[*syncv1.StreamResponse] {
	return func(yield func(*syncv1.StreamResponse) bool) {
		for u := range updates {
			if !yield(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: u}}) {
				return
			}
		}
	}
}

// update sends the messages of one Update.
func (s *stream) update(ctx context.Context, mode syncv1.Begin_Mode, messages iter.Seq[*syncv1.StreamResponse]) error {
	for m := range messages {
		if err := s.chunk(ctx, m); err != nil {
			return err
		}
	}
	s.hub.metrics.updates.WithLabelValues(modeLabel(mode)).Inc()
	return nil
}

// chunk sends one message of an Update; between two of them an end is noticed.
func (s *stream) chunk(ctx context.Context, m *syncv1.StreamResponse) error {
	select {
	case <-s.hub.draining:
		return errDraining()
	case <-ctx.Done():
		return contextError(ctx)
	default:
	}
	if err := s.transmit(m); err != nil {
		return err
	}
	s.hub.metrics.bytes.Add(float64(proto.Size(m)))
	return nil
}

func modeLabel(mode syncv1.Begin_Mode) string {
	switch mode {
	case syncv1.Begin_MODE_FULL:
		return "full"
	case syncv1.Begin_MODE_NONE:
		return "none"
	default:
		return "delta"
	}
}
