package hub

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Who follows presents a key, and has what that key opens: the keys are items of the
// environments (access/v1/key.proto), so this hub asks nobody but its own replicas. A key
// is looked at before a scope's first state, before whatever changes keys, and with each
// heartbeat, as it may have expired meanwhile. What is revoked ends the stream with a
// Goodbye that names it.
//
// A key that is not there may be newer than the state here, of which the follower then knows
// nothing bad: REVOKED takes its last good state away. So it is said only where the state is
// later than the stream, or the key was there before; and never of another epoch's state. That
// a follower shows no cursor does not mean that it has no state.

// identify notes the key that the stream's metadata presents.
func (s *stream) identify() (err error) {
	s.key, err = accesskey.FromContext(s.grpc.Context(), s.hub.o.RequireKeys)
	return err
}

// denial is why a key does not open an environment.
type denial struct {
	environment, problem string
	// forged: the key is there, and the secret is not its own.
	forged bool
	// undecided: the key is not there, which need not mean that it was revoked.
	undecided bool
}

// authorizeHello looks at all scopes that can be looked at. Who has no right to any of them
// is told so as an error. But who holds the state of one that it has no right to, of this
// very store, had the right once: it is told to drop it, as it would have been, had it been
// connected when it lost the right; and so it is if it still has a right to others, once it is
// certain that it has none to this.
func (s *stream) authorizeHello() error {
	denied := s.denied(s.scopes)
	if len(denied) == 0 {
		return nil
	}
	forged := slices.ContainsFunc(denied, func(d denial) bool { return d.forged })
	if !forged && s.nothingLeft(denied) {
		return status.Error(codes.PermissionDenied, problemsOf(denied))
	}
	return s.revokeDecided(denied)
}

// authorize ends the stream if some of the scopes are not, or no longer, the follower's to
// have. Those of which that is undecided are not to be served meanwhile.
func (s *stream) authorize(scopes ...*scope) error {
	if fault.Planted("revoked-ignored") {
		return nil
	}
	return s.revokeDecided(s.denied(scopes))
}

func (s *stream) revokeDecided(denied []denial) error {
	denied = slices.DeleteFunc(denied, func(d denial) bool { return d.undecided })
	if len(denied) == 0 {
		return nil
	}
	return s.revoke(denied)
}

// nothingLeft tells whether the follower has no right to any scope, and no state of any that
// could be taken away.
func (s *stream) nothingLeft(denied []denial) bool {
	return len(denied) == len(s.scopes) && !slices.ContainsFunc(s.scopes, (*scope).sameEpoch)
}

// sameEpoch tells whether the follower has a state of the epoch that is served here.
func (sc *scope) sameEpoch() bool {
	snap := sc.snapshot()
	return snap != nil && sc.have != nil && sc.have.Epoch == snap.Cursor().Epoch
}

// keyBeats is for how many heartbeats a follower is kept waiting while it is undecided
// whether its key was revoked; each hop between here and the store may add one to the age
// of what is here.
const keyBeats = 6

// undecided waits for what decides whether a key that is not here was revoked: the key, if
// the state here was behind; or that the state is later than the stream. It is looked at
// with each heartbeat, and when the head moves. What the follower has of another epoch,
// nothing here says anything of: it waits for as long as others of its environments are
// served, and is told that it may not follow if there are none.
func undecided(s *stream, sc *scope) (state, bool, error) {
	denied := s.denied([]*scope{sc})
	switch {
	case len(denied) == 0:
		return compare, true, nil
	case !denied[0].undecided:
		return nil, false, s.revoke(denied)
	case (sc.have == nil || sc.sameEpoch()) && time.Now().After(sc.deadline):
		return nil, false, goodbye(syncv1.Goodbye_CODE_BEHIND, "%s; or it is newer than the state here: nobody said for %s that this is the store's", denied[0].problem, keyBeats*s.hub.o.Heartbeat)
	}
	if all := s.denied(s.scopes); s.nothingLeft(all) {
		return nil, false, status.Error(codes.PermissionDenied, problemsOf(all))
	}
	return undecided, false, nil
}

// lost says what comes of it that all there was here of the environment was taken away.
// Who has it by this process's right loses it, too. Who has a right of its own may well have
// it still, as far as anybody can say here: the keys are gone with the state. It keeps what
// it has and goes elsewhere; wait: others of its environments are served meanwhile.
func (sc *scope) lost(s *stream) (wait bool, err error) {
	purged := sc.feed.purged.Load() // before the state is looked at
	switch {
	case !s.ownRight():
		return false, s.revoke([]denial{{environment: sc.environment(), problem: fmt.Sprintf("environment %q is not served here any more", sc.environment())}})
	case sc.synced || sc.frame != nil || s.nothingHere() || time.Since(s.since) > keyBeats*s.hub.o.Heartbeat:
		return false, goodbye(syncv1.Goodbye_CODE_BEHIND, "environment %q was taken away from this relay, which says nothing of key %s: keep what you have, and follow another upstream",
			sc.environment(), s.key.ID)
	}
	sc.admitted()
	sc.purged, sc.state = purged, compare
	return sc.feed.replica.Purged(), nil
}

// ownRight tells whether the follower presents another key than the one with which this
// process follows.
func (s *stream) ownRight() bool {
	if s.key == nil {
		return false
	}
	if s.hub.o.Key == nil {
		return true
	}
	secret, err := s.hub.o.Key()
	if err != nil {
		return true // which it lost, nobody knows
	}
	own, err := accesskey.Parse(secret)
	return err != nil || own.ID != s.key.ID
}

// nothingHere tells whether there is no state of any of the stream's environments.
func (s *stream) nothingHere() bool {
	return !slices.ContainsFunc(s.scopes, func(sc *scope) bool { return sc.snapshot() != nil })
}

// revoke ends the stream. Whose secret is not, or no longer, its key's keeps what it has: it may
// have the right, and only lack the secret that the key was rotated to.
func (s *stream) revoke(denied []denial) error {
	if i := slices.IndexFunc(denied, func(d denial) bool { return d.forged }); i >= 0 {
		return status.Error(codes.Unauthenticated, denied[i].problem)
	}
	const code = syncv1.Goodbye_CODE_REVOKED
	g := &syncv1.Goodbye{
		Code: code, Backoff: durationpb.New(backoff(code)), Message: problemsOf(denied), Environments: environmentsOf(denied),
	}
	id := ""
	if s.key != nil {
		id = s.key.ID
	}
	s.hub.o.Logger.Warn().Str("follower", s.follower.InstanceID).Str("peer", s.peer).Str("key", id).
		Strs("environments", g.GetEnvironments()).Str("why", g.GetMessage()).Msg("a follower loses what it has no right to")
	s.revoked(g.GetEnvironments())
	return &parting{g}
}

func environmentsOf(denied []denial) []string {
	names := make([]string, 0, len(denied))
	for _, d := range denied {
		names = append(names, d.environment)
	}
	return names
}

func problemsOf(denied []denial) string {
	problems := make([]string, 0, len(denied))
	for _, d := range denied {
		problems = append(problems, d.problem)
	}
	return strings.Join(problems, "; ")
}

// denied lists the scopes that the follower may not have. One without a state is left out,
// and one whose state here is older than the follower's, as its keys are, too: nothing is
// sent of them before they are looked at again.
func (s *stream) denied(scopes []*scope) []denial {
	if s.key == nil {
		return nil // none is required: see identify
	}
	var list []denial
	now := time.Now()
	for _, sc := range scopes {
		later := sc.laterThanStream() // before the state is looked at
		snap := sc.snapshot()
		if snap == nil || sc.have != nil && sc.have.Epoch == snap.Cursor().Epoch && sc.have.Revision > snap.Cursor().Revision {
			continue
		}
		why := s.key.Opens(snap, now, accesskey.Follow)
		if why == nil {
			if !sc.synced {
				s.hub.opened.note(snap, s.key.ID)
			}
			if s.hub.o.Used != nil {
				s.hub.o.Used(sc.environment(), s.key.ID)
			}
			continue
		}
		problem, here := why.Problem, snap.Cursor().Epoch
		if why.Absent && here.Strange(sc.held) {
			// A store that was made anew has no keys: nobody would get as far as takeOver.
			s.hub.store.refuseKeyless(here, sc.named())
			problem += fmt.Sprintf("; and the follower's state is of epoch %s, of another store than this one, which is in its first: %s", sc.held, here)
		}
		list = append(list, denial{
			environment: sc.environment(), problem: problem, forged: why.Forged,
			// Who has no cursor may have a state all the same, and ask for it afresh.
			undecided: why.Absent && (sc.held != (snapshot.Epoch{}) && sc.held != here || !sc.synced && !later && !s.hub.opened.has(snap, s.key.ID)),
		})
	}
	return list
}

// laterThanStream tells whether the state here is known to be later than the beginning of
// the stream, and so than the key that was presented.
func (sc *scope) laterThanStream() bool {
	age, ok := sc.feed.replica.ConfirmedAge()
	return ok && age < time.Since(sc.stream.since)
}

// known lists the environments that the follower may be told of.
func (s *stream) known() []string {
	all := s.hub.o.Replicas.Environments()
	if s.key == nil {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		snap := s.hub.o.Replicas.Replica(name).Snapshot()
		return snap == nil || s.key.Opens(snap, time.Now(), accesskey.Follow) != nil
	})
}
