package hub

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
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

// identify notes the key that the stream's metadata presents.
func (s *stream) identify() error {
	values := metadata.ValueFromIncomingContext(s.grpc.Context(), "authorization")
	if len(values) == 0 {
		if s.hub.o.RequireKeys {
			return status.Error(codes.Unauthenticated, "a key is required: present it as 'authorization: Bearer SECRET' (tidegate-relay --key-file, clientsdk.WithKey)")
		}
		return nil
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return status.Error(codes.Unauthenticated, "authorization: want one, of the form 'Bearer SECRET'")
	}
	key, err := accesskey.Parse(secret)
	if err != nil {
		return status.Errorf(codes.Unauthenticated, "authorization: %v", err)
	}
	s.key = &key
	return nil
}

// denial is why a key does not open an environment.
type denial struct {
	environment, problem string
	// forged: the key is there, and the secret is not its own.
	forged bool
}

// authorizeHello looks at all scopes that can be looked at. Who has no right to any of them
// is told so as an error. But who holds the state of one that it has no right to, of this
// very store, had the right once: it is told to drop it, as it would have been, had it been
// connected when it lost the right; and so it is if it still has a right to others.
func (s *stream) authorizeHello(hello *syncv1.Hello) error {
	denied := s.denied(s.scopes)
	if len(denied) == 0 {
		return nil
	}
	if i := slices.IndexFunc(denied, func(d denial) bool { return d.forged }); i >= 0 {
		return status.Error(codes.Unauthenticated, denied[i].problem)
	}
	names := environmentsOf(denied)
	holds := slices.ContainsFunc(s.scopes, func(sc *scope) bool {
		return sc.have != nil && slices.Contains(names, sc.environment()) && sc.have.Epoch == sc.snapshot().Cursor().Epoch
	})
	if len(denied) < len(s.scopes) || holds {
		return s.revoke(hello.GetInstanceId(), denied)
	}
	return status.Error(codes.PermissionDenied, problemsOf(denied))
}

// authorize ends the stream if some of the scopes are not, or no longer, the follower's to
// have.
func (s *stream) authorize(scopes ...*scope) error {
	if denied := s.denied(scopes); len(denied) > 0 && !fault.Planted("revoked-ignored") {
		return s.revoke(s.follower.InstanceID, denied)
	}
	return nil
}

func (s *stream) revoke(follower string, denied []denial) error {
	const code = syncv1.Goodbye_CODE_REVOKED
	g := &syncv1.Goodbye{
		Code: code, Backoff: durationpb.New(backoff(code)), Message: problemsOf(denied), Environments: environmentsOf(denied),
	}
	s.hub.o.Logger.Warn().Str("follower", follower).Str("peer", s.peer).Str("key", s.key.ID).
		Strs("environments", g.GetEnvironments()).Str("why", g.GetMessage()).Msg("a follower loses what its key does not open")
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
		snap := sc.snapshot()
		if snap == nil || sc.have != nil && sc.have.Epoch == snap.Cursor().Epoch && sc.have.Revision > snap.Cursor().Revision {
			continue
		}
		if problem, forged := opens(*s.key, snap, now); problem != "" {
			list = append(list, denial{environment: sc.environment(), problem: problem, forged: forged})
		}
	}
	return list
}

// opens says why the key does not open the environment; empty: it does.
func opens(p accesskey.Presented, snap *snapshot.Snapshot, now time.Time) (problem string, forged bool) {
	item, there := snap.Item(syncv1.Kind_KIND_KEY, p.ID)
	if !there {
		return fmt.Sprintf("key %s does not open environment %q: it never did, or it was revoked", p.ID, snap.Environment()), false
	}
	key, err := item.AccessKey()
	switch {
	case err != nil:
		return fmt.Sprintf("environment %q: %v: update the key", snap.Environment(), err), false
	case !p.Matches(key.GetSecretHash()):
		return "the secret presented is not that of key " + p.ID, true
	case key.GetExpiresAt() != nil && !now.Before(key.GetExpiresAt().AsTime()):
		return fmt.Sprintf("key %s has expired at %s", p.ID, key.GetExpiresAt().AsTime().Format(time.RFC3339)), false
	}
	return "", false
}

// known lists the environments that the follower may be told of.
func (s *stream) known() []string {
	all := s.hub.o.Replicas.Environments()
	if s.key == nil {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		snap := s.hub.o.Replicas.Replica(name).Snapshot()
		if snap == nil {
			return true
		}
		problem, _ := opens(*s.key, snap, time.Now())
		return problem != ""
	})
}
