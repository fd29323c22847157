package hub

import (
	"sync/atomic"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/tree"
)

// receipts is what a stream has to do with the tree: the follower's Acks and Reports go
// into it.
type receipts struct {
	// branch is set when joined is closed.
	branch *tree.Branch
	joined chan struct{}
	// closed: the follower has closed its sending side. It ends by itself.
	closed atomic.Bool
}

func newReceipts() receipts { return receipts{joined: make(chan struct{})} }

// join adds an admitted follower to the tree.
func (s *stream) join() {
	f := s.follower
	s.branch = s.hub.o.Tree.Join(tree.Follower{
		Relay:      f.Kind == syncv1.FollowerKind_FOLLOWER_KIND_RELAY,
		InstanceID: f.InstanceID, BootID: f.BootID, StreamNumber: f.StreamNumber,
		Region: f.Region, Version: f.Version, Environments: f.Environments, Path: f.Path,
	})
	close(s.joined)
}

// leave takes it, and what came over it, out of the tree.
func (s *stream) leave() { s.branch.Leave(s.closed.Load()) }

// awaitJoin keeps receipts waiting until the follower is admitted.
func (s *stream) awaitJoin() error {
	select {
	case <-s.joined:
		return nil
	case <-s.grpc.Context().Done():
		return contextError(s.grpc.Context())
	}
}
