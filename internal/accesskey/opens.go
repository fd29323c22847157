package accesskey

import (
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Denial is why a key does not open an environment.
type Denial struct {
	Problem string
	// Absent: the key is not there. It never was, it was revoked, or it is newer than the state.
	Absent bool
	// Forged: the key is there, and the secret that was presented is not its own.
	Forged bool
}

// Status is the denial as an error of a call.
func (d *Denial) Status() error {
	if d.Forged {
		return status.Error(codes.Unauthenticated, d.Problem)
	}
	return status.Error(codes.PermissionDenied, d.Problem)
}

// Opens tells why the key does not open the environment, by a state of it; nil: it does.
func (p Presented) Opens(s *snapshot.Snapshot, now time.Time) *Denial {
	item, there := s.Item(syncv1.Kind_KIND_KEY, p.ID)
	if !there {
		return &Denial{
			Problem: fmt.Sprintf("key %s does not open environment %q: it never did, or it was revoked", p.ID, s.Environment()), Absent: true,
		}
	}
	key, err := item.AccessKey()
	switch {
	case err != nil:
		return &Denial{Problem: fmt.Sprintf("environment %q: %v: update the key", s.Environment(), err)}
	case !p.Matches(key.GetSecretHash()):
		return &Denial{Problem: "the secret presented is not that of key " + p.ID, Forged: true}
	case key.GetExpiresAt() != nil && !now.Before(key.GetExpiresAt().AsTime()):
		return &Denial{Problem: fmt.Sprintf("key %s has expired at %s", p.ID, key.GetExpiresAt().AsTime().Format(time.RFC3339))}
	}
	return nil
}
