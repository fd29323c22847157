// Package follower receives the sync protocol (sync.proto) into a set of replicas, and
// goes on for as long as it lives: it dials its upstreams in turn, resumes where it
// was, verifies what it gets, and keeps the last good state whatever happens.
//
// Promises: what is shown is a state that an upstream committed to with its digest,
// whole; within one epoch its revision never goes back, whatever upstreams say, nor
// over restarts where there is a [Journal]; an epoch that was left does not come back; what is acknowledged upstream is durable.
// Nothing that an upstream sends, or fails to send, takes the last good state away,
// makes the follower spin, or makes it hold more than a bound.
//
// One goroutine receives, verifies and publishes; a second makes durable; a third
// acknowledges, and reports what is below. The latter two work on the newest state alone,
// so a slow disk or an upstream that does not read delays no change. A fourth has previews
// answered, one after the other.
package follower

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// Journal makes applied changes durable. Append is called before a change is shown (it
// must have reached the operating system: a killed process never goes back); Sync is
// called before it is acknowledged upstream (it must survive a power cut). A Journal
// that fails does not stop the follower: it logs, counts, and goes on serving from
// memory, unacknowledged.
//
// Forget is called when this process may not hold an environment any more: nothing of it
// may come back, whatever crashes once Forget has returned. A Journal that cannot goes on
// trying by itself, and refuses to Append until it is done. What is appended next is a
// full delta, of any revision.
//
// The deltas of an environment are appended in their order, from one goroutine; Sync is
// called from another. Each continues the one before it; after a failed Append the next
// is a full one. A delta without puts and deletes says that the same state stands at a
// later revision. A full one may be of the state that was appended last, or of a new
// epoch.
type Journal interface {
	Append(next *snapshot.Snapshot, d snapshot.Delta) error
	Sync(environment string) error
	Forget(environment string) error
}

// Observer is told what a follower does beside what its replicas show, for a record of
// it. It is called by the follower's goroutines, which wait for it.
type Observer interface {
	// Resuming is told the first update of an environment on a stream, and any full one;
	// it is verified and not shown yet.
	Resuming(d snapshot.Delta)
	// Acknowledging is told what is about to be acknowledged.
	Acknowledging(s *snapshot.Snapshot)
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
	Journal         Journal  // may be nil
	Observer        Observer // may be nil
	// Epochs keeps which epochs were left; nil: only this process's life long.
	Epochs EpochRecord
	// Kind of this process; default: unspecified.
	Kind syncv1.FollowerKind
	// Below is what follows this process: upstream is told of it. Nil: nothing can.
	Below *tree.Tree
	// Previewer answers what upstream asks; nil: it is told not to.
	Previewer Previewer
	// Key is the secret of the key to present, looked at once a second: when it becomes
	// another one, that is presented on a new stream at once. Nil: none.
	Key func() (string, error)
	// DialOptions must say how to secure the connection; keepalive is added.
	DialOptions []grpc.DialOption
	// DeadAfter without a message from upstream the stream is given up. Default: three
	// of its heartbeat intervals.
	DeadAfter time.Duration
	// StaleAfter is the age of what an upstream has from which another one is looked for,
	// if there is another. Default: 15 s.
	StaleAfter time.Duration
	// BackoffMin and BackoffMax bound the random wait between attempts: 0.5 s, 30 s.
	BackoffMin, BackoffMax time.Duration
	// MaxStagedBytes bounds one Update while it arrives; default 1 GiB.
	MaxStagedBytes int
	Logger         zerolog.Logger
	Registerer     prometheus.Registerer // may be nil
}

func (o *Options) ensureDefaults() {
	o.BackoffMin = cmp.Or(o.BackoffMin, 500*time.Millisecond)
	o.BackoffMax = max(cmp.Or(o.BackoffMax, 30*time.Second), o.BackoffMin)
	o.StaleAfter = cmp.Or(o.StaleAfter, 15*time.Second)
	o.MaxStagedBytes = cmp.Or(o.MaxStagedBytes, 1<<30)
}

func (o *Options) validate() error {
	switch {
	case len(o.Upstreams) == 0:
		return errors.New("follower: no upstream: name at least one address")
	case len(o.Environments) == 0:
		return errors.New("follower: no environment: name at least one")
	case len(o.Environments) > maxScopes:
		return fmt.Errorf("follower: %d environments: at most %d can be followed", len(o.Environments), maxScopes)
	case o.Replicas == nil:
		return errors.New("follower: no replicas")
	case o.InstanceID == "":
		return errors.New("follower: no instance id")
	}
	for _, u := range o.Upstreams {
		if u == "" {
			return errors.New("follower: an upstream's address is empty")
		}
	}
	seen := make(map[string]bool, len(o.Environments))
	for _, e := range o.Environments {
		if e == "" || seen[e] {
			return fmt.Errorf("follower: environment %q is empty or named twice", e)
		}
		seen[e] = true
	}
	return nil
}

// State tells where a follower is.
type State struct {
	Connected bool
	// Upstream is the address in use or tried last.
	Upstream string
	// Path are the instance ids from the control server to this process, itself last; "?"
	// where nobody said. It stands while there is no upstream, until the next one says
	// otherwise. The slice is another one whenever it changes, and must not be modified.
	Path []string
	// Err is the last failure, for people.
	Err error
	// Since the state began.
	Since time.Time
}

// Hops of this process from the store.
func (s State) Hops() uint32 { return uint32(len(s.Path) - 1) }

// Follower follows.
type Follower struct {
	o       Options
	bootID  string
	metrics *metrics
	intake  *intake
	durable *durability
	key     *credential
	state   atomic.Pointer[State]
	streams uint64 // opened so far
}

// New validates the options, and adds the replicas to the set.
func New(o Options) (*Follower, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.ensureDefaults()
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	f := &Follower{o: o, bootID: uuid.NewString(), metrics: m, key: newCredential(o.Key)}
	f.durable = newDurability(o.Journal, o.Logger, m)
	f.durable.observer = o.Observer
	f.intake = newIntake(o, f.durable, m)
	f.intake.superseded = f.key.superseded
	f.enter(State{Upstream: o.Upstreams[0], Path: f.intake.path})
	return f, nil
}

// State returns the present state; one atomic load.
func (f *Follower) State() State { return *f.state.Load() }

// Run follows until ctx ends, and returns ctx's error, once no call of the Journal is
// under way any more. The upstream learns, if it answers within a moment, that the process
// ends by itself. It is called once.
func (f *Follower) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var beside sync.WaitGroup
	beside.Go(func() { f.durable.run(ctx) })
	beside.Go(func() { f.key.watch(ctx) })
	defer beside.Wait()
	defer cancel()

	rotation, told := newRotation(f.o), make(losses)
	for {
		upstream, wait := rotation.next(time.Now())
		if err := f.sleep(ctx, wait); err != nil {
			f.leave(upstream, err)
			return err
		}
		err := f.follow(ctx, upstream, rotation)
		lived := f.intake.lived()
		if ctx.Err() != nil {
			f.leave(upstream, ctx.Err())
			return ctx.Err()
		}
		f.leave(upstream, err)
		f.metrics.disconnects.WithLabelValues(reason(err)).Inc()
		rotation.failed(upstream, err, lived, time.Now())
		level := zerolog.DebugLevel
		if told.news(upstream, err, lived > 0) {
			level = zerolog.WarnLevel
		}
		f.o.Logger.WithLevel(level).Err(err).Str("upstream", upstream).Stringer("after", lived.Round(time.Millisecond)).Msg("upstream lost")
	}
}

// leave notes that no upstream is followed, and why.
func (f *Follower) leave(upstream string, err error) {
	f.enter(State{Upstream: upstream, Path: f.intake.path, Err: err})
}

func (f *Follower) enter(s State) {
	s.Since = time.Now()
	f.state.Store(&s)
	f.metrics.connected.Set(0)
	if s.Connected {
		f.metrics.connected.Set(1)
	}
}

// moved notes that the path is another.
func (f *Follower) moved() {
	s := f.State()
	s.Path = f.intake.path
	f.state.Store(&s)
}

// sleep waits, at most until ctx ends, or there is another key to try.
func (f *Follower) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.key.changed:
		return nil
	case <-timer.C:
		return nil
	}
}
