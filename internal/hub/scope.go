package hub

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// scope is one environment of one stream: a state machine whose steps are taken when it
// is the stream's turn. A step sends one message at most.
//
//	compare -> send -> live                                 what it has is in the history
//	compare -> awaitTurn -> everything -> send -> live      it is not
//	compare -> awaitRevision -> compare, or goodbye         it is ahead of the replica
//	compare -> awaitEpoch -> compare, awaitTurn, or goodbye it is of another epoch
//	compare -> undecided -> compare, or goodbye             its key is not here
//	awaitTurn -> goodbye                                    too many at once
//	live -> send -> live                                    a change, or several in one
//	live -> awaitTurn -> ...                                too many changes, or a new epoch
//
// A state is left when its step says so; it is tried again whenever the head has moved.
type scope struct {
	stream *stream
	feed   *feed
	index  int // in the stream
	place  int // in the feed
	purged uint32
	state  state

	// have is the state that the follower has: what it said in Hello, then what it was
	// sent. Nil: nothing.
	have *snapshot.Cursor
	// held is the epoch of what the follower has, also where it does not say of which state: zero
	// where it has nothing, or did not say.
	held snapshot.Epoch
	// synced: have was sent, or confirmed, on this stream.
	synced bool
	// told: the follower was told how old the state is.
	told bool
	// current is when have was last seen to be the replica's newest state; the state's
	// age was then age.
	current time.Time
	age     time.Duration

	// frame is being sent, from message `at` on.
	frame *frame
	at    int
	// ticket admits to be sent everything.
	ticket   *ticket
	deadline time.Time
	// head is what was asked of the store on entering awaitRevision or awaitEpoch; nil:
	// there is none to ask.
	head *headAnswer
}

// state takes one step and returns the next state; again: it need not be woken for that.
type state func(*stream, *scope) (next state, again bool, err error)

// wake has the scope take a step. It does not wait.
func (sc *scope) wake() { sc.stream.wake(sc.index) }

func (sc *scope) step(s *stream) (again bool, err error) {
	if sc.purged != sc.feed.purged.Load() || sc.feed.replica.Purged() {
		if wait, err := sc.lost(s); err != nil || wait {
			return false, err
		}
	}
	sc.state, again, err = sc.state(s, sc)
	return again, err
}

func (sc *scope) environment() string { return sc.feed.replica.Environment() }

// snapshot is the newest there is; nil before the first.
func (sc *scope) snapshot() *snapshot.Snapshot { return sc.feed.replica.Snapshot() }

// compare finds out how to go on from what the follower has. Before there is a snapshot it
// waits; the other scopes go on.
func compare(s *stream, sc *scope) (state, bool, error) {
	newest := sc.feed.replica.Snapshot()
	if newest == nil || sc.feed.empty() {
		return compare, false, nil
	}
	if denied := s.denied([]*scope{sc}); len(denied) > 0 {
		sc.deadline = time.Now().Add(keyBeats * s.hub.o.Heartbeat)
		return undecided(s, sc)
	}
	here := newest.Cursor()
	if fault.Planted("resume-across-epochs") && sc.have != nil && sc.have.Revision <= here.Revision {
		sc.have = &here
	}
	switch {
	case sc.have == nil:
		return takeOver(s, sc, here.Epoch)
	case sc.have.Epoch != here.Epoch:
		sc.deadline, sc.head = time.Now().Add(s.hub.o.BehindWait), s.hub.store.ask()
		return awaitEpoch(s, sc)
	case sc.have.Revision > here.Revision:
		sc.deadline, sc.head = time.Now().Add(s.hub.o.BehindWait), s.hub.store.ask()
		// Who is above has to know of it, as only a server can ask the store.
		s.branch.of.Claim(sc.environment(), *sc.have)
		return awaitRevision(s, sc)
	case !sc.feed.replica.Holds(*sc.have):
		return queue(s, sc)
	}
	if unchanged := sc.feed.confirm(*sc.have); unchanged != nil {
		return sc.begin(s, unchanged)
	}
	return follow(s, sc, compare)
}

// awaitRevision waits until the replica has caught up with the follower. A revision that
// only advances wakes nobody, so it looks again and again, a few times.
func awaitRevision(s *stream, sc *scope) (state, bool, error) {
	newest := sc.feed.replica.Snapshot()
	if newest == nil {
		return compare, false, nil
	}
	here := newest.Cursor()
	if here.Epoch != sc.have.Epoch || here.Revision >= sc.have.Revision {
		return compare, true, nil
	}
	if err := s.hub.store.judge(sc); err != nil {
		return nil, false, err
	}
	if !time.Now().Before(sc.deadline) {
		return nil, false, goodbye(syncv1.Goodbye_CODE_BEHIND, "environment %q is at revision %d here, the follower at %d",
			sc.environment(), here.Revision, sc.have.Revision)
	}
	sc.lookSoon()
	return awaitRevision, false, nil
}

// awaitEpoch finds out which of two epochs has ended: the follower's, or the one here,
// which then is late. Where no store can be asked, the follower has to know: it does not
// go back to an epoch that it left. Of a store that does not answer the counters tell,
// though not of one made anew: nobody is taken back to what may have ended.
func awaitEpoch(s *stream, sc *scope) (state, bool, error) {
	newest := sc.feed.replica.Snapshot()
	if newest == nil {
		return compare, false, nil
	}
	here := newest.Cursor().Epoch
	if here == sc.have.Epoch {
		return compare, true, nil
	}
	if sc.head == nil {
		return takeOver(s, sc, here)
	}
	store, answered := sc.head.currentEpoch()
	switch {
	case answered && store == here:
		return takeOver(s, sc, here)
	case time.Now().Before(sc.deadline):
		sc.lookSoon()
		return awaitEpoch, false, nil
	case !answered && here.Counter >= sc.have.Epoch.Counter:
		return takeOver(s, sc, here)
	}
	return nil, false, goodbye(syncv1.Goodbye_CODE_BEHIND, "environment %q is in epoch %s here, the follower in %s",
		sc.environment(), here, sc.have.Epoch)
}

// takeOver has the follower replace what it has of another epoch by what is here; unless nobody has
// said that it should: a store that lost its directory is made anew by the server that starts on it,
// and what it holds, nothing at first, would be served everywhere. Who served files before was told
// to follow a store.
func takeOver(s *stream, sc *scope, here snapshot.Epoch) (state, bool, error) {
	if !here.Strange(sc.held) {
		return queue(s, sc)
	}
	s.hub.store.refuse(here, sc.named())
	return nil, false, goodbye(syncv1.Goodbye_CODE_BEHIND,
		"environment %q is in epoch %s here, the first of a store that was made anew, and the follower in %s of another one: it keeps what it has, until the backup is restored, or 'tidegate epoch begin' says that the new store shall be followed",
		sc.environment(), here, sc.held)
}

// named is who has the state of another store.
func (sc *scope) named() Stranger {
	return Stranger{InstanceID: sc.stream.follower.InstanceID, Environment: sc.environment(), Epoch: sc.held}
}

// lookSoon has the scope look again for what wakes nobody.
func (sc *scope) lookSoon() {
	time.AfterFunc(min(sc.stream.hub.o.BehindWait/20, 50*time.Millisecond), sc.wake)
}

// queue asks to be admitted for everything.
func queue(s *stream, sc *scope) (state, bool, error) {
	sc.ticket = s.hub.admission.enter(sc.feed.size(), s.connection, sc.wake)
	return awaitTurn(s, sc)
}

func awaitTurn(s *stream, sc *scope) (state, bool, error) {
	admitted, refused := sc.ticket.status()
	switch {
	case refused != nil:
		return nil, false, refused
	case admitted:
		return everything(s, sc)
	}
	return awaitTurn, false, nil
}

func everything(s *stream, sc *scope) (state, bool, error) {
	full := sc.feed.everything(sc.have)
	if full == nil {
		return everything, false, nil
	}
	return sc.begin(s, full)
}

// live sends what has changed.
func live(s *stream, sc *scope) (state, bool, error) { return follow(s, sc, live) }

// follow goes to the head from what the follower has; where there is nothing to do, it
// stays.
func follow(s *stream, sc *scope, stay state) (state, bool, error) {
	fr, wait := sc.feed.next(*sc.have)
	switch {
	case fr != nil:
		return sc.begin(s, fr)
	case wait:
		return stay, false, nil
	case !sc.sameEpoch():
		return compare, true, nil
	}
	if sc.synced {
		s.hub.metrics.lost.Inc()
	}
	return queue(s, sc)
}

// begin begins to send a frame. Who may follow is asked before the first state, and again
// before the follower is sent a change of who may.
func (sc *scope) begin(s *stream, f *frame) (state, bool, error) {
	if !sc.synced || f.keys && !fault.Planted("revoked-ignored") {
		switch denied := s.denied([]*scope{sc}); {
		case len(denied) == 0:
		case denied[0].undecided:
			sc.admitted() // compare waits for what decides it
			return compare, true, nil
		default:
			return nil, false, s.revoke(denied)
		}
	}
	sc.frame, sc.at = f, 0
	return send(s, sc)
}

// send sends one message of a frame.
func send(s *stream, sc *scope) (state, bool, error) {
	messages, err := sc.frame.encoded()
	if err != nil {
		return nil, false, err
	}
	m := messages[sc.at]
	if fault.Planted("slow-reader-blocks") {
		sc.feed.mu.Lock()
		defer sc.feed.mu.Unlock()
	}
	if err := s.transmit(m); err != nil {
		return nil, false, err
	}
	s.hub.metrics.bytes.Add(float64(len(m.bytes())))
	if sc.at++; sc.at < len(messages) {
		return send, true, nil
	}
	return sc.sent(s)
}

// sent notes that the follower has what the frame leads to.
func (sc *scope) sent(s *stream) (state, bool, error) {
	s.hub.metrics.updates[sc.frame.mode].Inc()
	have := sc.frame.target
	sc.have, sc.held, sc.synced, sc.frame = &have, have.Epoch, true, nil
	sc.admitted()
	if sc.look(); !sc.told && !sc.current.IsZero() {
		sc.told = true
		if err := s.heartbeat(sc); err != nil {
			return nil, false, err
		}
	}
	return live, true, nil
}

// admitted gives the ticket back, for others.
func (sc *scope) admitted() {
	if sc.ticket != nil {
		sc.ticket.leave()
		sc.ticket = nil
	}
}

// look records whether what the follower has is the newest there is.
func (sc *scope) look() {
	// The age is read first: a change between the two makes it too old, not too young.
	age, ok := sc.feed.replica.ConfirmedAge()
	newest := sc.feed.replica.Snapshot()
	if newest == nil || !newest.Cursor().SameState(*sc.have) && !fault.Planted("heartbeat-ahead") {
		return
	}
	sc.have.Revision = max(sc.have.Revision, newest.Cursor().Revision)
	if ok {
		sc.current, sc.age = time.Now(), age
	}
}

// status tells where the follower is, for a heartbeat; nil if it was sent nothing yet, is
// being sent something, or nobody knows how old that is. Changes that it was not sent yet
// do not count: its age is that of what it has.
func (sc *scope) status() *syncv1.EnvironmentStatus {
	if !sc.synced || sc.frame != nil {
		return nil
	}
	sc.look()
	if sc.current.IsZero() {
		return nil
	}
	age := sc.age + time.Since(sc.current)
	if fault.Planted("age-forgets-hops") {
		age = 0
	}
	return &syncv1.EnvironmentStatus{
		Environment: sc.environment(),
		Cursor:      sc.have.Proto(),
		Age:         durationpb.New(age),
	}
}
