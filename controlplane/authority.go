// Package controlplane is the authority over flags: it validates changes, commits them
// with their audit entry in one guarded transaction, and keeps the history. Separately,
// and only from the store's watch, it applies what was committed to the replicas that
// the hub serves. A write never publishes; so every control server shows one order.
//
// It knows no inbound transport: requests and responses are plain messages, errors are
// the types of errors.go. What each method promises is said in the protos.
//
// Any number of authorities, in one process or many, may share a store: they keep no
// state but what the store's watch tells them. Reads (Get, List, History) and the kill
// switch need the store alone. A change after which references between flags and
// segments might no longer hold is checked against the replicas, and so needs Run to
// keep up; it waits for that, for a bounded time.
package controlplane

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/fault"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Options of an Authority.
type Options struct {
	Store    store.Store  // required
	Replicas *replica.Set // required; published to by Open and Run alone
	// Environments are made where the store does not have them yet.
	Environments []string
	Logger       zerolog.Logger
	Registerer   prometheus.Registerer // nil: no metrics
	Now          func() time.Time      // default time.Now; for audit entries only
}

// Authority answers the control services. Its methods may be called from any
// goroutine.
type Authority struct {
	store    store.Store
	replicas *replica.Set
	logger   zerolog.Logger
	now      func() time.Time
	leases   leases
	applier  *applier
	writes   *prometheus.CounterVec
}

// Open makes the environments and the epoch, and loads every environment into the
// replicas.
func Open(ctx context.Context, o Options) (*Authority, error) {
	if o.Store == nil || o.Replicas == nil {
		return nil, errors.New("controlplane: Options.Store and Options.Replicas are required")
	}
	if o.Now == nil {
		o.Now = fault.Now
	}
	if err := ensureEpoch(ctx, o.Store); err != nil {
		return nil, err
	}
	for _, name := range o.Environments {
		switch there, err := ensureEnvironment(ctx, o.Store, name); {
		case err != nil:
			return nil, err
		case !there:
			o.Logger.Warn().Str("environment", name).Msg("the environment is being made of another one: it is not there before the request that began that is repeated")
		default:
			// In the order given, whatever order they are loaded in.
			o.Replicas.Add(name)
		}
	}
	a := &Authority{
		store:    o.Store,
		replicas: o.Replicas,
		logger:   o.Logger,
		now:      o.Now,
		leases:   leases{store: o.Store},
		applier:  newApplier(o.Store, o.Replicas, o.Logger),
		writes:   newWriteCounter(),
	}
	if o.Registerer != nil {
		if err := a.registerMetrics(o.Registerer); err != nil {
			return nil, err
		}
	}
	if err := a.applier.load(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Run applies what the store's watch shows until ctx ends; it then returns nil. It
// reconnects, and recovers from compaction, by itself; while it cannot, replicas age.
// Call it once.
func (a *Authority) Run(ctx context.Context) error { return a.applier.run(ctx) }

// Err is why the store cannot be followed, so that what is served ages; nil while it can.
func (a *Authority) Err() error {
	if err := a.applier.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Head asks the store, through its quorum, for its epoch and revision.
func (a *Authority) Head(ctx context.Context) (snapshot.Epoch, int64, error) {
	p := a.applier.ask(ctx)
	return p.epoch, p.revision, p.err
}

// Caller is who asks for a change, and from where. Identity is the id of who they were found to
// be; empty: nobody was asked, and Actor is what they claim.
type Caller struct{ Actor, Peer, Identity string }
