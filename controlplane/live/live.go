// Package live shows an environment to whoever looks at it, and keeps what they see up to date:
// it answers WatchService.
//
// What a stream shows of flags, segments and rollouts is the difference between the snapshot that
// it sent last and the newest one. So a stream holds one snapshot and no queue, and a caller that
// reads slowly skips what was between. Everything else (who changed a flag, evaluations, the
// evidence of rollouts, relays, the audit trail) is found out once for all streams of an
// environment, in a view, while there is a stream that shows it. A view has numbered versions of
// what it holds, and a stream sends what is newer than what it sent.
//
// Send is called from the stream's own goroutine; it may block, which holds up nobody else. See
// docs/adr/0041.
package live

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/audit"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// Options of a Live.
type Options struct {
	Authority *controlplane.Authority // required
	Store     store.Store             // required
	Replicas  *replica.Set            // required
	Trails    *audit.Trails           // required
	// Assess tells how the evidence of a rollout stands that is not over; required.
	Assess func(ctx context.Context, environment, rollout string) (*rolloutv1.Assessment, error)
	// Series reads the series of a rollout; required.
	Series func(context.Context, *controlv1.GetRolloutSeriesRequest) (*controlv1.GetRolloutSeriesResponse, error)
	// ListRelays tells which relays there are; required.
	ListRelays func(context.Context, *controlv1.ListRelaysRequest) (*controlv1.ListRelaysResponse, error)
	// InstanceID of this server.
	InstanceID string
	Logger     zerolog.Logger
	// LookEvery is how often relays and evidence are looked at. Default 1 s.
	LookEvery time.Duration
	// UsageEvery is how often evaluations are read, which are written once a minute. Default 30 s.
	UsageEvery time.Duration
	// HeartbeatEvery; default 5 s.
	HeartbeatEvery time.Duration
}

func (o *Options) ensureDefaults() {
	for d, standard := range map[*time.Duration]time.Duration{&o.LookEvery: time.Second, &o.UsageEvery: 30 * time.Second, &o.HeartbeatEvery: 5 * time.Second} {
		if *d == 0 {
			*d = standard
		}
	}
}

// Live answers WatchService. Its methods may be called from any goroutine.
type Live struct {
	o Options

	mu    sync.Mutex
	views map[string]*view
}

// New makes a Live. It has goroutines only while there are streams.
func New(o Options) (*Live, error) {
	if o.Authority == nil || o.Store == nil || o.Replicas == nil || o.Trails == nil || o.Assess == nil || o.Series == nil || o.ListRelays == nil {
		return nil, errors.New("live: Options.Authority, Store, Replicas, Trails, Assess, Series and ListRelays are required")
	}
	o.ensureDefaults()
	return &Live{o: o, views: make(map[string]*view)}, nil
}

// view returns that of an environment.
func (l *Live) view(r *replica.Replica) *view {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.views[r.Environment()]
	if v == nil {
		v = newView(&l.o, r)
		l.views[r.Environment()] = v
	}
	return v
}
