package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/lastuse"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// keysUsed notes what relays tell of an environment's keys. Of keys that it does not have there is
// nothing to keep.
func (s *Server) keysUsed(environment string, uses []*telemetryv1.KeyUse) {
	r := s.replicas.Replica(environment)
	if r == nil || r.Snapshot() == nil {
		return
	}
	state := r.Snapshot()
	for _, u := range uses {
		if _, there := state.Item(syncv1.Kind_KIND_KEY, u.GetKeyId()); there {
			s.lastUse.NoteAt(u.GetKeyId(), u.GetLast())
		}
	}
}

// tellUses adds to versions when each of them was used last; of says whose a version is, and where
// that is told.
func tellUses[V any](ctx context.Context, r *lastuse.Recorder, versions []V, of func(V) (id string, told **timestamppb.Timestamp)) error {
	uses, err := r.Read(ctx)
	if err != nil {
		return storeFailed(err)
	}
	for _, v := range versions {
		id, told := of(v)
		if at := uses.At(id); at != (time.Time{}) {
			*told = timestamppb.New(at)
		}
	}
	return nil
}

func keyUsed(v *controlv1.KeyVersion) (string, **timestamppb.Timestamp) {
	return v.GetKey().GetId(), &v.LastUsedAt
}

func identityUsed(v *controlv1.IdentityVersion) (string, **timestamppb.Timestamp) {
	return v.GetIdentity().GetId(), &v.LastUsedAt
}
