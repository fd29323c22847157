// Package hub serves the sync protocol (sync.proto) from a set of replicas: the
// control server to relays, a relay to relays and in-process SDKs. It is the serving
// half; package follower is the receiving one. They are joined by the protocol only.
//
// Each stream has three goroutines: one receives (Hello, then Acks, of which the newest
// stands), one sends, and the handler's own watches over both, so that a follower that
// does not read, or a shutdown, ends the stream whatever the other two wait for. The
// handler outlives the sending goroutine, unless that one is blocked for too long.
//
// Promises to a follower: each environment's states come in their order, each one
// published here; no state is skipped, unless the follower was slower than the history
// is long, and then what it gets leads to the same state; a heartbeat never names
// another state than the one sent last. Streams never wait for each other, and never
// hold up who publishes.
package hub

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// Options of a Hub.
type Options struct {
	Replicas *replica.Set // required
	// InstanceID of this process, stable over restarts; required.
	InstanceID string
	// Tree is what the followers join, and what they report goes into; default: its own.
	Tree *tree.Tree
	// Hops between the store and this hub: 0 on a control server. A function, as a
	// relay learns it from its upstream. Default: always 0.
	Hops func() uint32
	// Heartbeat interval; default 5 s.
	Heartbeat time.Duration
	// SendTimeout ends the stream of a follower that does not read; default 15 s.
	SendTimeout time.Duration
	// EmptyWait is how long a follower is kept waiting while there is nothing here of what
	// it follows, before it is sent to another upstream; default 15 s. A follower with
	// no other upstream is back within its shortest wait.
	EmptyWait time.Duration
	// BehindWait is how long a follower whose state is newer than the one here is kept
	// waiting for it, before it is sent to another upstream; default 2 s.
	BehindWait time.Duration
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil
}

func (o *Options) ensureDefaults() {
	if o.Hops == nil {
		o.Hops = func() uint32 { return 0 }
	}
	if o.Tree == nil {
		o.Tree = tree.New(o.InstanceID)
	}
	o.Heartbeat = cmp.Or(o.Heartbeat, 5*time.Second)
	o.SendTimeout = cmp.Or(o.SendTimeout, 15*time.Second)
	o.EmptyWait = cmp.Or(o.EmptyWait, 15*time.Second)
	o.BehindWait = cmp.Or(o.BehindWait, 2*time.Second)
}

// Hub implements syncv1.SyncServiceServer.
type Hub struct {
	syncv1.UnimplementedSyncServiceServer
	o       Options
	metrics *metrics

	drain    sync.Once
	draining chan struct{}

	mu      sync.Mutex
	streams map[*stream]struct{}
}

// New makes a Hub.
func New(o Options) *Hub {
	o.ensureDefaults()
	h := &Hub{o: o, draining: make(chan struct{}), streams: make(map[*stream]struct{})}
	h.metrics = newMetrics(h)
	return h
}

// Drain sends Goodbye DRAINING on every stream and ends them; new ones are refused. It
// does not wait for that: what ends is awaited where the gRPC server is stopped.
func (h *Hub) Drain() { h.drain.Do(func() { close(h.draining) }) }

// Follower is what a hub knows of one connected follower. Its slices are shared and must
// not be modified.
type Follower struct {
	InstanceID, Region, Version, Peer string
	Kind                              syncv1.FollowerKind
	// BootID is new at each start of the follower; StreamNumber counts the streams of one.
	BootID       string
	StreamNumber uint64
	// Path is the chain of followers below it, and itself, last.
	Path []string
	// Environments it follows.
	Environments []string
	Since        time.Time
	// Acked is the newest acknowledged state of each environment.
	Acked map[string]snapshot.Cursor
	// Rejections counts, by environment, the items that the follower could not use.
	Rejections map[string]int
}

// Followers lists the connected followers, by instance id.
func (h *Hub) Followers() []Follower {
	h.mu.Lock()
	streams := make([]*stream, 0, len(h.streams))
	for s := range h.streams {
		streams = append(streams, s)
	}
	h.mu.Unlock()
	followers := make([]Follower, 0, len(streams))
	for _, s := range streams {
		followers = append(followers, s.describe())
	}
	slices.SortFunc(followers, func(a, b Follower) int {
		return cmp.Or(cmp.Compare(a.InstanceID, b.InstanceID), a.Since.Compare(b.Since))
	})
	return followers
}

func (h *Hub) register(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams[s] = struct{}{}
}

func (h *Hub) unregister(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}
