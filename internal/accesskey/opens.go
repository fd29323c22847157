package accesskey

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Use is what a key is presented for.
type Use uint8

const (
	// Follow is to have all of an environment, in whatever protocol: its rules, too.
	Follow Use = iota
	// Relay is to tell what others have counted.
	Relay
	// Evaluate is to ask for flags, and to tell what came of them.
	Evaluate
)

// Denial is why a key does not open an environment.
type Denial struct {
	Problem string
	// Absent: the key is not there. It never was, it was revoked, or it is newer than the state.
	Absent bool
	// Forged: the key is there, and the secret that was presented is not, or no longer, its own.
	Forged bool
}

// Status is the denial as an error of a call.
func (d *Denial) Status() error {
	if d.Forged {
		return status.Error(codes.Unauthenticated, d.Problem)
	}
	return status.Error(codes.PermissionDenied, d.Problem)
}

// RoleOf is what a key may do: one that was made before keys had roles is a relay's.
func RoleOf(k *accessv1.Key) accessv1.Role {
	if k.GetRole() == accessv1.Role_ROLE_UNSPECIFIED {
		return accessv1.Role_ROLE_RELAY
	}
	return k.GetRole()
}

// Opens tells why the key does not open the environment for a use, by a state of it; nil: it
// does.
func (p Presented) Opens(s *snapshot.Snapshot, now time.Time, use Use) *Denial {
	g, d := p.grant(s, now)
	if d != nil {
		return d
	}
	return g.denies(use)
}

// grant is a key that was found, and is good.
type grant struct {
	key *accessv1.Key
	// revision at which it was written.
	revision int64
	// until is when it, or its secret, is no longer good; zero: never.
	until time.Time
}

// grant finds the key in a state.
func (p Presented) grant(s *snapshot.Snapshot, now time.Time) (g grant, d *Denial) {
	item, there := s.Item(syncv1.Kind_KIND_KEY, p.ID)
	if !there {
		return g, &Denial{
			Problem: fmt.Sprintf("key %s does not open environment %q: it never did, or it was revoked", p.ID, s.Environment()), Absent: true,
		}
	}
	key, err := item.AccessKey()
	if err != nil {
		return g, &Denial{Problem: fmt.Sprintf("environment %q: %v: update the key", s.Environment(), err)}
	}
	// Both are looked at, whichever it is.
	newest, before := p.Matches(key.GetSecretHash()), p.Matches(key.GetPreviousSecretHash())
	g = grant{key: key, revision: item.ModRevision}
	if at := key.GetExpiresAt(); at != nil {
		g.until = at.AsTime()
	}
	switch overlap := key.GetPreviousExpiresAt().AsTime(); {
	case newest:
	case !before:
		return g, &Denial{Problem: "the secret presented is not that of key " + p.ID, Forged: true}
	case !now.Before(overlap):
		return g, &Denial{
			Problem: fmt.Sprintf("the secret presented is one of key %s that was good until %s: it was rotated, present the newest", p.ID, overlap.Format(time.RFC3339)), Forged: true,
		}
	case g.until.IsZero() || overlap.Before(g.until):
		g.until = overlap
	}
	if at := key.GetExpiresAt(); at != nil && !now.Before(at.AsTime()) {
		return g, &Denial{Problem: fmt.Sprintf("key %s has expired at %s", p.ID, at.AsTime().Format(time.RFC3339))}
	}
	return g, nil
}

// denies says why the key is not for a use; nil: it is.
func (g *grant) denies(use Use) *Denial {
	role := RoleOf(g.key)
	var what string
	switch {
	case role < accessv1.Role_ROLE_RELAY || role > accessv1.Role_ROLE_SDK_CLIENT:
		return &Denial{Problem: fmt.Sprintf("key %s has the role %d, which is not known here", g.key.GetId(), role)}
	case role == accessv1.Role_ROLE_RELAY, use == Evaluate:
		return nil
	case use == Relay:
		what = "evaluates, and tells of itself: what others counted is told with a key of the role RELAY"
	case role == accessv1.Role_ROLE_SDK_CLIENT:
		what = "evaluates flags that are marked for clients, and does not follow: ask a relay for evaluations, or follow with a key of the role SDK_SERVER"
	case len(g.key.GetFlagPrefixes()) > 0:
		what = "is for some flags, evaluates them, and does not follow: ask a relay for evaluations, or follow with a key that has no flag prefixes"
	default:
		return nil
	}
	return &Denial{Problem: fmt.Sprintf("key %s, of the role %s, %s", g.key.GetId(), strings.TrimPrefix(role.String(), "ROLE_"), what)}
}
