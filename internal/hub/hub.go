// Package hub serves the sync protocol (sync.proto) from a set of replicas: the
// control server to relays, a relay to relays and in-process SDKs. It is the serving
// half; package follower is the receiving one. They are joined by the protocol only.
//
// What is published becomes frames (feed), made and encoded once for all streams. A
// stream has two goroutines, and they wait: one for what the follower says, the handler's
// own for the end. All else, from the Hello on, happens in turns (stream), which workers
// give to the streams that have something to do (senders). A stream takes one turn at a
// time, so what belongs to its turns needs no lock. In a turn each environment (scope)
// takes a step. The handler outlives the stream's turns, unless one is blocked for too
// long.
//
// Promises to a follower: each environment's states come in their order, and whole; of
// those that come soon after one another, or that it was too slow for, it gets the last;
// what switches a flag off is not held back; a heartbeat never names another state than
// the one sent last. Streams never wait for each other, and never hold up who publishes.
// A follower that does not read keeps one frame alive, until it is cut loose.
package hub

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	// Path are the instance ids from the control server to this process, itself last. A
	// function, as a relay learns it from its upstream; it is called often. Default: this
	// process alone.
	Path func() []string
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
	// Coalesce is for how long after a change further ones are gathered, to be sent as
	// one; default 20 ms. Negative: each change is sent by itself.
	Coalesce time.Duration
	// FullBytes bounds the full states that are being sent at once, in bytes, over all
	// followers; default 256 MiB. One is sent in any case.
	FullBytes int
	// FullWait is how long a follower waits to be sent everything, before it is told to
	// come back later; default 30 s: a place in line costs nothing, and who is sent away is away
	// for as long.
	FullWait time.Duration
	// RequireKeys: who follows must present a key that opens the environment. Without it, a
	// key is not needed, but one that is presented must be good. See authorize.go.
	RequireKeys bool
	// Used is told, now and then while a stream lasts, that a key was good for an environment; nil:
	// nobody is. It must not wait.
	Used func(environment, keyID string)
	// Key is the secret of the key with which this process follows; nil: it presents none, or
	// follows nobody. Whom it serves loses with it what this process loses.
	Key func() (string, error)
	// Head asks the store, through its quorum, for its epoch and revision; nil on a relay,
	// which has no store. See behind.go.
	Head       func(context.Context) (snapshot.Epoch, int64, error)
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil
}

func (o *Options) ensureDefaults() {
	if o.Path == nil {
		path := []string{o.InstanceID}
		o.Path = func() []string { return path }
	}
	if o.Tree == nil {
		o.Tree = tree.New(o.InstanceID)
	}
	o.Heartbeat = cmp.Or(o.Heartbeat, 5*time.Second)
	o.SendTimeout = cmp.Or(o.SendTimeout, 15*time.Second)
	o.EmptyWait = cmp.Or(o.EmptyWait, 15*time.Second)
	o.BehindWait = cmp.Or(o.BehindWait, 2*time.Second)
	o.Coalesce = cmp.Or(o.Coalesce, 20*time.Millisecond)
	o.FullBytes = cmp.Or(o.FullBytes, 256<<20)
	o.FullWait = cmp.Or(o.FullWait, 30*time.Second)
}

// Hub implements syncv1.SyncServiceServer.
type Hub struct {
	syncv1.UnimplementedSyncServiceServer
	o          Options
	metrics    *metrics
	senders    *senders
	admission  admission
	opened     openedKeys
	store      *storeWatch
	previews   previews
	rejections atomic.Int64 // that followers reported with their last acknowledgements

	feedsMu sync.Mutex
	feeds   map[string]*feed // by environment; those that are followed

	mu       sync.Mutex
	streams  map[*stream]struct{} // all
	beats    beats                // those that were admitted
	draining bool
}

// New makes a Hub.
func New(o Options) *Hub {
	o.ensureDefaults()
	h := &Hub{
		o: o, feeds: make(map[string]*feed), streams: make(map[*stream]struct{}),
		admission: admission{bytes: o.FullBytes, wait: o.FullWait},
		beats:     newBeats(o.Heartbeat),
		store:     newStoreWatch(o),
	}
	h.senders = newSenders(runtime.GOMAXPROCS(0), h.overdue)
	h.metrics = newMetrics(h)
	return h
}

// Drain sends Goodbye DRAINING on every stream and ends them; new ones are refused. It
// does not wait for that: what ends is awaited where the gRPC server is stopped.
func (h *Hub) Drain() {
	h.mu.Lock()
	h.draining = true
	streams := slices.Collect(maps.Keys(h.streams))
	h.mu.Unlock()
	for _, s := range streams {
		s.signal(eventDrain)
	}
	h.senders.lookSoon()
}

// add takes in a stream that has said nothing yet.
func (h *Hub) add(s *stream) {
	h.mu.Lock()
	h.streams[s] = struct{}{}
	draining := h.draining
	h.mu.Unlock()
	if draining {
		s.signal(eventDrain)
	}
}

// admitted makes the stream a follower's.
func (h *Hub) admitted(s *stream) {
	h.mu.Lock()
	if _, there := h.streams[s]; there && h.beats.add(s) {
		go h.beat(h.beats.stop, h.o.Replicas.Added())
	}
	h.mu.Unlock()
	h.o.Logger.Info().Str("follower", s.follower.InstanceID).Str("peer", s.peer).
		Str("region", s.follower.Region).Str("version", s.follower.Version).
		Strs("environments", s.follower.Environments).Msg("follower connected")
}

// remove is the end of a stream.
func (h *Hub) remove(s *stream, err error) {
	h.mu.Lock()
	delete(h.streams, s)
	was := h.beats.remove(s)
	h.mu.Unlock()
	h.previews.gone(s)
	if !was {
		return
	}
	event := h.o.Logger.Info()
	if err != nil && !errors.Is(err, context.Canceled) && status.Code(err) != codes.Canceled {
		event = event.Err(err)
	}
	event.Str("follower", s.follower.InstanceID).Str("peer", s.peer).
		Dur("after", time.Since(s.since)).Msg("follower disconnected")
}

// overdue cuts streams loose whose followers do not read.
func (h *Hub) overdue(workers []*worker) time.Duration {
	h.mu.Lock()
	draining := h.draining
	h.mu.Unlock()
	limit, err := h.o.SendTimeout, status.Errorf(codes.ResourceExhausted, "the follower has not read for %s", h.o.SendTimeout)
	if draining {
		limit, err = min(limit, drainTimeout), status.Error(codes.Unavailable, "shutting down")
	}
	now := time.Now()
	for _, w := range workers {
		if w.stream.cutLoose(now, limit, err) && !draining {
			h.metrics.goodbyes.WithLabelValues(syncv1.Goodbye_CODE_TOO_SLOW.String()).Inc()
		}
	}
	return max(limit/8, time.Millisecond)
}

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

	previews bool // it is a relay that answers them
}

// Followers lists the connected followers, by instance id.
func (h *Hub) Followers() []Follower {
	h.mu.Lock()
	streams := h.beats.all()
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
