// Package uplink carries telemetry from a relay to its upstream, and from the relays below
// it through: one stream, on which the batches of the relay's own spool go up in order, and
// those from below as they came; acknowledgements come down to whoever sent the batch.
//
// Promises: batches of one sender that come in order over one stream go up in order over
// one stream, without a gap. When the stream to the upstream ends, so do all those from
// below: what was on its way is sent again by whoever has it on disk, from the oldest that
// is not acknowledged. Nothing is acknowledged down that was not acknowledged from above.
// Of each stream from below one batch is held in memory, beside what HTTP/2's windows hold:
// the next is read when it was sent on.
//
// An upstream that does not acknowledge, acknowledges what nobody sent, or moves, is left
// for a new stream.
package uplink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/spool"
)

// Options of an Uplink.
type Options struct {
	// InstanceID of this process, as the spool's; required.
	InstanceID string
	Spool      *spool.Spool // required
	// Upstream is the address to push to: the one that is followed, so that telemetry goes up
	// the way that the flags come down, which is free of loops. It is asked before each stream
	// and once a second: when it becomes another one, the stream moves. Empty: there is none at
	// the moment. Required.
	Upstream func() string
	// Key is the secret of the key to present, looked at once a second as well. Nil: none.
	Key func() (string, error)
	// DialOptions must say how to secure the connection; keepalive is added.
	DialOptions []grpc.DialOption
	// Environments are those whose batches are passed on; others are refused. Required.
	Environments []string
	// Authorize tells whether who sends may report of the environment. An error that wraps
	// ErrRefused refuses the batch; any other ends the stream, and should be a status: what is
	// spooled below waits for better times then. It is asked for each batch, and must not wait.
	// Nil: anyone may.
	Authorize func(ctx context.Context, environment string) error
	// AckTimeout is how long something may be under way without any acknowledgement before
	// the stream is given up; default 30 s.
	AckTimeout time.Duration
	// PartTimeout is how long Run goes on when it is to end, to get acknowledged what is
	// spooled; default 2 s: a receiver commits once a second.
	PartTimeout time.Duration
	// BackoffMin and BackoffMax bound the random wait between attempts: 0.5 s, 5 s.
	// Decisions wait for telemetry, so it is shorter than a follower's.
	BackoffMin, BackoffMax time.Duration
	Logger                 zerolog.Logger
	Registerer             prometheus.Registerer // may be nil
}

func (o *Options) ensureDefaults() {
	o.AckTimeout = cmp.Or(o.AckTimeout, 30*time.Second)
	o.PartTimeout = cmp.Or(o.PartTimeout, 2*time.Second)
	o.BackoffMin = cmp.Or(o.BackoffMin, 500*time.Millisecond)
	o.BackoffMax = max(cmp.Or(o.BackoffMax, 5*time.Second), o.BackoffMin)
}

func (o *Options) validate() error {
	switch {
	case o.InstanceID == "":
		return errors.New("uplink: no instance id")
	case o.Spool == nil:
		return errors.New("uplink: no spool")
	case o.Upstream == nil:
		return errors.New("uplink: no upstream")
	case len(o.Environments) == 0:
		return errors.New("uplink: no environment: name at least one")
	case o.AckTimeout < 0 || o.PartTimeout < 0 || o.BackoffMin < 0:
		return errors.New("uplink: a bound is negative")
	}
	return nil
}

// State tells where an uplink is.
type State struct {
	Connected bool
	// Upstream is the address in use or tried last.
	Upstream string
	// Err is the last failure, for people.
	Err error
	// Since the state began.
	Since time.Time
}

// Uplink pushes; it implements CollectorService for relays below.
type Uplink struct {
	telemetryv1.UnimplementedCollectorServiceServer
	o       Options
	metrics *metrics
	state   atomic.Pointer[State]
	// session is the present stream; nil: there is none.
	session atomic.Pointer[session]
	running atomic.Bool
}

// New validates the options.
func New(o Options) (*Uplink, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.ensureDefaults()
	o.Environments = slices.Clone(o.Environments)
	u := &Uplink{o: o}
	var err error
	if u.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	u.enter(State{})
	return u, nil
}

// State returns the present state; one atomic load.
func (u *Uplink) State() State { return *u.state.Load() }

func (u *Uplink) enter(s State) {
	s.Since = time.Now()
	u.state.Store(&s)
	u.metrics.connected.Set(0)
	if s.Connected {
		u.metrics.connected.Set(1)
	}
}

// Run pushes until ctx ends and, for at most PartTimeout, what is left is acknowledged; it
// returns ctx's error. It is called once.
func (u *Uplink) Run(ctx context.Context) error {
	if u.running.Swap(true) {
		return errors.New("uplink: runs already")
	}
	failures := 0
	for {
		if err := sleep(ctx, u.backoff(failures)); err != nil {
			return err
		}
		address := u.o.Upstream()
		if address == "" {
			failures = max(failures, 1)
			continue
		}
		acknowledged, err := u.push(ctx, address)
		u.session.Store(nil)
		u.enter(State{Upstream: address, Err: err})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u.metrics.disconnects.WithLabelValues(reason(err)).Inc()
		// The first failure after a success is news, the attempts that follow are not; nor is an
		// end that this side wanted.
		level := zerolog.WarnLevel
		switch {
		case atOnce(err):
			failures, level = 0, zerolog.DebugLevel
		case acknowledged:
			failures = 1
		default:
			if failures > 0 {
				level = zerolog.DebugLevel
			}
			failures++
		}
		u.o.Logger.WithLevel(level).Err(err).Str("upstream", address).Msg("telemetry cannot be pushed; it is tried again")
	}
}

// backoff is a random wait after so many failures in a row.
func (u *Uplink) backoff(failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	bound := u.o.BackoffMin
	for i := 1; i < failures && bound < u.o.BackoffMax; i++ {
		bound *= 2
	}
	return rand.N(min(bound, u.o.BackoffMax)) + 1 //nolint:gosec // spreads load, guards nothing
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// follows says why batches of the environment are not passed on; empty: they are.
func (u *Uplink) follows(environment string) (refusal string) {
	if slices.Contains(u.o.Environments, environment) {
		return ""
	}
	return fmt.Sprintf("environment %q is not followed here: this relay follows %q", environment, u.o.Environments)
}
