// Package hub serves the sync protocol (sync.proto) from a set of replicas: the
// control server to relays, a relay to relays and in-process SDKs. It is the serving
// half; package follower is the receiving one. They are joined by the protocol only.
package hub

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Options of a Hub.
type Options struct {
	Replicas *replica.Set // required
	// InstanceID of this process, stable over restarts; required.
	InstanceID string
	// Hops between the store and this hub: 0 on a control server. A function, as a
	// relay learns it from its upstream.
	Hops func() uint32
	// Heartbeat interval; default 5 s.
	Heartbeat  time.Duration
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil
}

// Hub implements syncv1.SyncServiceServer.
type Hub struct {
	syncv1.UnimplementedSyncServiceServer
}

func New(o Options) *Hub { panic("stub") }

// Stream serves one follower.
func (h *Hub) Stream(stream grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]) error {
	panic("stub")
}

// Drain sends Goodbye DRAINING on every stream and ends them; new ones are refused.
func (h *Hub) Drain() { panic("stub") }

// Follower is what a hub knows of one connected follower.
type Follower struct {
	InstanceID, Region, Version, Peer string
	Since                             time.Time
	// Acked is the newest acknowledged state of each environment.
	Acked map[string]snapshot.Cursor
	// Rejections counts, by environment, the items that the follower could not use.
	Rejections map[string]int
}

// Followers lists the connected followers, by instance id.
func (h *Hub) Followers() []Follower { panic("stub") }
