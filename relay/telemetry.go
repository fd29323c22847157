package relay

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/replica"
	rpcdial "github.com/tidegate/tidegate/internal/rpc/dial"
	"github.com/tidegate/tidegate/internal/spool"
	"github.com/tidegate/tidegate/internal/tally"
	"github.com/tidegate/tidegate/internal/uplink"
)

const (
	// evaluationsEvery is how often it is told what all flags served: for people.
	evaluationsEvery = time.Minute
	// freshEvery is how often it is said, while a rollout is not over, up to when everything
	// was told, though there is nothing else to say.
	freshEvery = 2 * time.Second
	// commitEvery is how often, at most, what callers tell is brought to disk.
	commitEvery = 100 * time.Millisecond
	// drainUplink is how long a relay that ends goes on to get acknowledged what it has.
	drainUplink = 5 * time.Second
	// drainLook is how often it looks whether it has.
	drainLook = 10 * time.Millisecond
	// maxTripsTold bounds the trips of one batch: of so many rollouts it may be.
	maxTripsTold = 32
	// maxKeysTold bounds the keys of one batch.
	maxKeysTold = 4096
)

// telemetry is what a relay counts, on its way up: tallies are cut into batches, which are
// spooled and pushed. One goroutine cuts. Evaluations touch the tallies alone.
type telemetry struct {
	logger       zerolog.Logger
	spool        *spool.Spool
	uplink       *uplink.Uplink // nil: there is no upstream
	upstream     func() string  // where to push to; empty: nowhere at the moment
	durable      bool           // the spool is on disk
	environments []*counted
	byName       map[string]*counted
	senders      *senders
	exposures    *exposures

	// counting is held shared while a call counts and joins the next commit, and alone while that
	// takes what was counted: both are in one commit, or a call that is sent again counts twice.
	counting sync.RWMutex
	closed   bool // guarded by counting

	mu    sync.Mutex   // taken after counting
	group *commitGroup // what is committed next
	wake  chan struct{}

	waiting atomic.Int64 // calls
	refused refusals
	// undeclared events were counted and could not be spooled, by this process or the one
	// before it. It belongs to who commits.
	undeclared uint64
}

// counted is one environment.
type counted struct {
	name     string
	logger   zerolog.Logger
	tally    *tally.Tally
	edge     *edge
	served   *served
	followed *replica.Replica
	// uses are those of the environment's keys; nil: there are none.
	uses *accesskey.Uses

	// What follows belongs to who commits.
	lost    uint64 // that the tally declared, and an entry had
	told    time.Time
	windows []*telemetryv1.Window // since the breakers looked
	judged  atomic.Uint64         // how often they looked
}

// openTelemetry makes the tallies, which must be there before the first snapshot is.
func (r *Relay) openTelemetry(o *Options) error {
	dir := ""
	if r.state != nil {
		dir = o.StateDir
	}
	store := openTrips(dir, r.logger)
	t := &telemetry{
		logger: r.logger, durable: dir != "", byName: map[string]*counted{}, senders: newSenders(),
		group: newCommitGroup(), wake: make(chan struct{}, 1), exposures: &exposures{},
	}
	every := evaluationsEvery
	if len(o.Files) > 0 { // there is nobody to tell
		every, dir = -1, ""
	}
	if dir != "" {
		t.exposures = openExposures(filepath.Join(dir, exposuresFile), r.logger)
	}
	for _, e := range r.evaluation.environments {
		counts, err := tally.New(tally.Options{Environment: e.name, EvaluationsEvery: every, Exposures: t.exposures.file})
		if err != nil {
			return err
		}
		logger := r.logger.With().Str("environment", e.name).Logger()
		c := &counted{name: e.name, logger: logger, tally: counts, edge: newEdge(e.name, store, logger), followed: r.replicas.Add(e.name), uses: e.gate.Uses()}
		c.served = &served{environment: e.name, logger: logger, tally: counts, to: e.replica, edge: c.edge}
		e.counts = counts
		r.served[e.name] = c.served
		t.environments = append(t.environments, c)
		t.byName[e.name] = c
	}
	if dir != "" {
		dir = filepath.Join(dir, "spool")
	}
	var err error
	t.spool, err = spool.Open(spool.Options{
		InstanceID: r.instanceID, Dir: dir, MaxBytes: o.SpoolBytes, Logger: r.logger, Registerer: r.registry,
	})
	r.telemetry = t
	if err != nil {
		return err
	}
	if t.undeclared = t.exposures.undeclared(t.spool); t.undeclared > 0 {
		r.logger.Warn().Uint64("exposures", t.undeclared).
			Msg("the process before was killed with exposures that were not on disk yet: they are declared lost")
	}
	return nil
}

// openUplink makes what pushes, once there is somebody to push to.
func (r *Relay) openUplink(o *Options) error {
	upstream, ok := r.origin.(upstreamOrigin)
	if !ok {
		return nil
	}
	r.telemetry.upstream = func() string {
		if s := upstream.State(); s.Connected {
			return s.Upstream
		}
		return ""
	}
	var err error
	r.telemetry.uplink, err = uplink.New(uplink.Options{
		InstanceID: r.instanceID, Spool: r.telemetry.spool, Upstream: r.telemetry.upstream,
		Key: rpcdial.Key(o.Key, o.KeyFile), DialOptions: o.DialOptions, Environments: o.Environments,
		Authorize:   admission{replicas: r.replicas, required: o.RequireKeys}.mayTell,
		PartTimeout: drainLook, // it is waited for before
		Logger:      r.logger, Registerer: r.registry,
	})
	return err
}

// run cuts and pushes until ctx ends; then it cuts once more, and pushes on for a while.
// Nothing may be counted any more by then.
func (t *telemetry) run(ctx context.Context) {
	var pushing sync.WaitGroup
	pushed, part := context.WithCancel(context.WithoutCancel(ctx))
	defer pushing.Wait()
	defer part()
	if t.uplink != nil {
		pushing.Go(func() {
			if err := t.uplink.Run(pushed); err != nil && pushed.Err() == nil {
				t.logger.Error().Err(err).Msg("telemetry is not pushed any more")
			}
		})
	}
	t.cut(ctx)
	t.drain()
}

// drain waits until everything is acknowledged, for a while, and as long as there is an
// upstream.
func (t *telemetry) drain() {
	if t.uplink == nil {
		return
	}
	ticker := time.NewTicker(drainLook)
	defer ticker.Stop()
	for end := time.Now().Add(drainUplink); time.Now().Before(end); <-ticker.C {
		if t.spool.Totals().Batches == 0 || t.upstream() == "" {
			return
		}
	}
	t.logger.Warn().Uint64("events", t.spool.Totals().Spooled).Bool("on_disk", t.durable).
		Msg("the relay ends before its telemetry was taken upstream")
}

// close lets go of the spool.
func (t *telemetry) close() error {
	if t == nil || t.spool == nil {
		return nil
	}
	return t.spool.Close()
}

// status is for /readyz; nil where there is nobody to tell.
func (t *telemetry) status() *telemetryStatus {
	if t.uplink == nil {
		return nil
	}
	s := &telemetryStatus{Connected: t.uplink.State().Connected, Spooled: t.spool.Totals().Spooled}
	if err := t.uplink.State().Err; err != nil {
		s.Error = err.Error()
	}
	if err := t.spool.Failing(); err != nil {
		s.Error = err.Error()
	}
	return s
}
