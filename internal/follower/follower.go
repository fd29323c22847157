// Package follower receives the sync protocol (sync.proto) into a set of replicas, and
// goes on for as long as it lives: it dials its upstreams in turn, resumes where it
// was, verifies what it gets, and keeps the last good state whatever happens.
package follower

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Journal makes applied changes durable. Append is called before a change is shown (it
// must have reached the operating system: a killed process never goes back); Sync is
// called before it is acknowledged upstream (it must survive a power cut). A Journal
// that fails does not stop the follower: it logs, counts, and goes on serving from
// memory, unacknowledged.
type Journal interface {
	Append(next *snapshot.Snapshot, d snapshot.Delta) error
	Sync(environment string) error
}

// Options of a Follower.
type Options struct {
	// Upstreams are gRPC addresses, tried in turn; required.
	Upstreams []string
	// Environments to follow; required. The replicas are added to the set.
	Environments []string
	Replicas     *replica.Set // required
	// InstanceID is stable over restarts, and unique; required.
	InstanceID      string
	Region, Version string
	Journal         Journal // may be nil
	// DialOptions must say how to secure the connection; keepalive is added.
	DialOptions []grpc.DialOption
	// DeadAfter without a message from upstream the stream is given up. Default: three
	// of its heartbeat intervals.
	DeadAfter time.Duration
	// BackoffMin and BackoffMax bound the random wait between attempts: 0.5 s, 30 s.
	BackoffMin, BackoffMax time.Duration
	Logger                 zerolog.Logger
	Registerer             prometheus.Registerer // may be nil
}

// State tells where a follower is.
type State struct {
	Connected bool
	// Upstream is the address in use or tried last.
	Upstream string
	// Hops of this process from the store: the upstream's and one.
	Hops uint32
	// Err is the last failure, for people.
	Err error
	// Since the state began.
	Since time.Time
}

// Follower follows.
type Follower struct{}

// New validates the options.
func New(o Options) (*Follower, error) { panic("stub") }

// Run follows until ctx ends, and returns ctx's error.
func (f *Follower) Run(ctx context.Context) error { panic("stub") }

// State returns the present state; one atomic load.
func (f *Follower) State() State { panic("stub") }
