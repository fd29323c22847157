package clientsdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/rpc/dial"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/statefile"
	"github.com/tidegate/tidegate/internal/streamlog"
	"github.com/tidegate/tidegate/internal/version"
)

// NewInProcess returns a client that follows a relay or a control server at an address
// (HOST:PORT) and evaluates one environment's flags itself, in nanoseconds. Changes
// arrive by themselves. When upstream is gone it goes on answering from what it had.
//
// It waits for the flags to arrive. If they have not within the start timeout, it
// returns all the same, without an error: the client serves defaults (with the error code
// PROVIDER_NOT_READY) and goes on trying. Who cannot do without flags calls WaitReady
// next. With a state directory, it waits for upstream to confirm or replace the flags
// found there (a process that a bad flag has killed must not meet it again), and starts
// with them if upstream does not answer in time.
//
// The error is of the options, of the state directory, or of ctx if that ends before
// there are flags; ctx is not used after NewInProcess has returned.
func NewInProcess(ctx context.Context, address, environment string, options ...InProcessOption) (Client, error) {
	cfg, err := newInProcessConfig(address, environment, options)
	if err != nil {
		return nil, err
	}
	c, err := startInProcess(cfg) //nolint:contextcheck // what it starts outlives ctx
	if err != nil {
		return nil, err
	}
	if err := c.start(given(ctx), cfg.startTimeout); err != nil {
		return nil, errors.Join(err, c.Close()) //nolint:contextcheck // it has a time limit of its own
	}
	return c, nil
}

// inProcess is the Client that follows.
type inProcess struct {
	typed
	tracking
	local    local
	follower *follower.Follower
	*notifier
	state    *statefile.Dir // nil without a state directory
	restored *restored      // nil if there was nothing in it
	cfg      config

	streamLog *streamlog.Log // may be nil
	counted   *counted       // nil without telemetry

	cancel    context.CancelFunc
	running   sync.WaitGroup
	closed    chan struct{}
	closeOnce sync.Once
	closeErr  error
}

func startInProcess(cfg inProcessConfig) (_ *inProcess, err error) {
	streamLog, err := streamlog.Open(cfg.streamLog, cfg.logger)
	if err != nil {
		return nil, fmt.Errorf("clientsdk: %w", err)
	}
	counts, err := cfg.tally()
	if err != nil {
		return nil, errors.Join(err, streamLog.Close())
	}
	v := newView(counts, cfg.logger)
	replicas := replica.NewSet(replica.Options{HistoryBytes: -1, Observer: replica.Observers(streamLog.Observer(), v)})
	r := replicas.Add(cfg.environment)
	c := &inProcess{
		local:  local{replica: r, view: v, tally: counts, age: r.Age, staleAfter: cfg.staleAfter, region: cfg.region, clock: cfg.clock},
		cfg:    cfg.config,
		closed: make(chan struct{}),

		streamLog: streamLog,
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.release())
		}
	}()
	c.typed = typed{source: &c.local, observe: cfg.observe}
	c.tracking = tracking{observed: cfg.observeTracked}
	o := follower.Options{
		Upstreams:    cfg.addresses,
		Environments: []string{cfg.environment},
		Replicas:     replicas,
		InstanceID:   cfg.instanceID,
		Region:       cfg.region,
		Version:      version.Version,
		Kind:         syncv1.FollowerKind_FOLLOWER_KIND_SDK,
		DialOptions:  cfg.dial(),
		Key:          dial.Key(cfg.key, cfg.keyFile),
		Logger:       cfg.logger,
	}
	if cfg.stateDir != "" {
		if err := c.open(cfg, &o); err != nil {
			return nil, err
		}
	}
	if o.InstanceID == "" {
		o.InstanceID = randomInstanceID()
	}
	streamLog.Begin(streamlog.Process{
		Instance: o.InstanceID, Kind: "sdk", Version: version.Version,
		Environments: o.Environments, Durable: c.state != nil,
	})
	if err := c.restore(); err != nil {
		return nil, err
	}
	streamLog.Follow(&o)
	if c.follower, err = follower.New(o); err != nil {
		return nil, fmt.Errorf("clientsdk: in-process client: %w", err)
	}
	if counts != nil {
		if err := c.startCounting(cfg, o.InstanceID); err != nil {
			return nil, fmt.Errorf("clientsdk: in-process client: %w", err)
		}
	}
	c.run()
	return c, nil
}

// open opens the state directory.
func (c *inProcess) open(cfg inProcessConfig, o *follower.Options) error {
	dir, err := statefile.Open(cfg.stateDir, cfg.logger)
	if err != nil {
		return fmt.Errorf("clientsdk: state directory: %w", err)
	}
	if o.InstanceID == "" {
		if o.InstanceID, err = dir.InstanceID(); err != nil {
			return errors.Join(fmt.Errorf("clientsdk: state directory: %w", err), dir.Close())
		}
	}
	o.Journal, o.Epochs, c.state = dir, dir, dir
	return nil
}

// restore starts with what is in the state directory.
func (c *inProcess) restore() error {
	if c.state == nil {
		return nil
	}
	s, confirmed, err := c.state.Load(c.cfg.environment)
	if err != nil {
		return fmt.Errorf("clientsdk: state directory: %w", err)
	}
	if s != nil {
		c.local.replica.Restore(s, statefile.Age(confirmed, time.Now()))
		c.restored = &restored{snapshot: s, confirmed: time.Now().Add(-c.local.age())}
	}
	return nil
}

// release closes the files.
func (c *inProcess) release() error {
	var err error
	if c.state != nil {
		err = c.state.Close()
	}
	return errors.Join(err, c.streamLog.Close())
}

// run starts the goroutines.
func (c *inProcess) run() {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.notifier = newNotifier(c.Status)
	c.running.Go(func() { _ = c.follower.Run(ctx) }) // ends with ctx alone
	prev, changes := c.local.replica.Subscribe()
	c.running.Go(func() { c.watch(ctx, prev, changes) })
}

// start waits as NewInProcess promises.
func (c *inProcess) start(ctx context.Context, timeout time.Duration) error {
	defer func() { c.restored = nil }() // it may be revoked one day
	if err := ctx.Err(); err != nil {
		return err
	}
	if timeout == 0 {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	logger := c.cfg.logger.With().Str("environment", c.cfg.environment).Logger()
	if err := c.WaitReady(wait); err != nil {
		if ctx.Err() != nil {
			return err
		}
		logger.Warn().Err(err).Msg("started without flags: serving defaults")
		return nil
	}
	if !c.awaitConfirmed(wait) {
		logger.Warn().AnErr("upstream", c.Status().Err).Dur("age", c.local.age()).Msg("started with the flags of the state directory")
	}
	return nil
}

// awaitConfirmed waits until upstream has confirmed or replaced what was restored.
func (c *inProcess) awaitConfirmed(ctx context.Context) bool {
	poll := time.NewTicker(confirmedPoll)
	defer poll.Stop()
	for c.restored != nil && c.restored.stands(c.local.replica) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// confirmedPoll is how often awaitConfirmed looks.
const confirmedPoll = 2 * time.Millisecond

// restored is a state from disk, and when it was confirmed.
type restored struct {
	snapshot  *snapshot.Snapshot
	confirmed time.Time
}

// stands tells whether the replica is as it was restored: another snapshot, or another
// moment of confirmation, comes from upstream.
func (r *restored) stands(now *replica.Replica) bool {
	moved := time.Now().Add(-now.Age()).Sub(r.confirmed).Abs()
	return now.Snapshot() == r.snapshot && moved < time.Millisecond
}

func (c *inProcess) WaitReady(ctx context.Context) error {
	return waitReady(ctx, c, c.local.replica.Ready(), c.closed, c.cfg.addresses)
}

func (c *inProcess) Status() Status {
	f := c.follower.State()
	s := Status{
		State:       c.stateNow(),
		Environment: c.cfg.environment,
		Connected:   f.Connected,
		Upstream:    f.Upstream,
		Age:         c.local.age(),
	}
	if !f.Connected && s.State != StateClosed {
		s.Err = f.Err
	}
	if now := c.local.replica.Snapshot(); now != nil {
		s.Revision = now.Cursor().Revision
	}
	return s
}

func (c *inProcess) stateNow() State {
	switch {
	case isClosed(c.closed):
		return StateClosed
	case c.local.replica.Snapshot() == nil:
		return StateNotReady
	case c.local.isStale(c.local.age()):
		return StateStale
	}
	return StateReady
}

func (c *inProcess) Close() error {
	c.closeOnce.Do(func() {
		close(c.closed)
		var counting error
		if c.counted != nil {
			counting = c.counted.close()
		}
		c.cancel()
		c.running.Wait()
		c.stopNotifying()
		c.closeErr = errors.Join(counting, c.release())
	})
	return c.closeErr
}
