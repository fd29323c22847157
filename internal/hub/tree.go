package hub

import (
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// branch is the stream's place in the tree: the follower's Acks and Reports go there.
type branch struct {
	// of the tree; it is set when joined is closed.
	of     *tree.Branch
	joined chan struct{}
	// closed: the follower has closed its sending side. It ends by itself.
	closed atomic.Bool
}

func newBranch() branch { return branch{joined: make(chan struct{})} }

// join adds an admitted follower to the tree.
func (s *stream) join() {
	f := s.follower
	s.branch.of = s.hub.o.Tree.Join(tree.Follower{
		Relay:      f.Kind == syncv1.FollowerKind_FOLLOWER_KIND_RELAY,
		InstanceID: f.InstanceID, BootID: f.BootID, StreamNumber: f.StreamNumber,
		Region: f.Region, Version: f.Version, Environments: f.Environments, Path: f.Path,
	})
	close(s.branch.joined)
}

// leave takes it, and what came over it, out of the tree.
func (s *stream) leave() {
	select {
	case <-s.branch.joined:
		s.branch.of.Leave(s.branch.closed.Load())
	default: // it was not admitted
	}
}

// revoked takes out what the follower is told to drop, also of who is refused for it.
func (s *stream) revoked(environments []string) {
	select {
	case <-s.branch.joined:
	default:
		s.join()
	}
	s.branch.of.Revoke(environments)
}

// awaitJoin keeps receipts waiting until the follower is admitted.
func (s *stream) awaitJoin() error {
	select {
	case <-s.branch.joined:
		return nil
	case <-s.grpc.Context().Done():
		return contextError(s.grpc.Context())
	}
}

func (s *stream) handleReport(r *syncv1.Report) error {
	if err := s.branch.of.Report(r); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	for _, relay := range r.GetRelays() {
		for _, e := range relay.GetEnvironments() {
			s.hub.compareReported(e)
		}
	}
	return nil
}

// compareReported finds what relays farther down have that is above what is here.
func (h *Hub) compareReported(e *syncv1.RelayEnvironment) {
	r := h.o.Replicas.Replica(e.GetEnvironment())
	if h.o.Head == nil || r == nil || r.Snapshot() == nil {
		return
	}
	here := r.Snapshot().Cursor()
	for _, cursor := range []*syncv1.Cursor{e.GetCursor(), e.GetClaimed()} {
		if cursor == nil {
			continue
		}
		have, err := snapshot.CursorFromProto(cursor)
		if err == nil && have.Epoch == here.Epoch && have.Revision > here.Revision {
			h.store.suspect(have)
		}
	}
}
