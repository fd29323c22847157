// Package collector takes telemetry on the leader and counts it exactly once.
//
// Batches come on streams ([Collector.Push]), are checked, and wait in memory. Once a second a
// round commits those that wait, in one transaction of the store: how far their senders are
// now (the ledger), and what the [Judge] makes of them: evidence, and the decisions that
// follow from it. Only then are they acknowledged. So a batch is counted, its evidence is
// there and its consequences are drawn, or nothing of it happened and its sender sends it
// again.
//
// What makes it exact:
//
//   - each boot of a sender numbers its batches; the ledger holds the highest number that was
//     committed. What is not above it is acknowledged again and counted no more;
//   - every transaction carries the fence of the leader's term, so that nobody writes who no
//     longer leads, and writes the ledger's head if it is unchanged, so that all of them happen
//     one after the other: one whose outcome is not known cannot come late and be overwritten;
//   - after a transaction that did not commit, or may have, everything is read from the store
//     anew before anything else is decided.
//
// What every sender tells with its batches (Tally) makes an account. At any time, of all that
// a sender has told of,
//
//	emitted = counted + lost + refused + late + missing
//
// where lost is what the sender declared itself, refused and late are batches that were not
// counted (see [Account]), and missing is what neither came nor was declared: a gap in the
// numbers. A gap is not waited for, as streams keep the order; what a later tally declares
// lost is missing no more.
//
// Nonsense does not hold up anybody: a batch that fails the checks is done with like any other,
// moves its sender's mark, is told in the answer, and counts as refused. Only what cannot be
// answered, having no sender, ends the stream.
//
// Memory is bounded: streams are not read while [Options.MaxPendingBytes] wait.
package collector

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"github.com/tidegate/tidegate/controlplane/store"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
)

var (
	// ErrNotLeading says that this server does not collect, or no longer does. Nothing that was
	// not acknowledged is certain to be counted.
	ErrNotLeading = errors.New("collector: this server does not lead: connect again")
	// ErrNoSender says that a batch cannot be answered.
	ErrNoSender = errors.New("collector: a batch that nobody can be told of")
	// ErrTooManySenders says that no more senders are kept account of.
	ErrTooManySenders = errors.New("collector: too many senders")
	// ErrCorrupt says that what the store holds of the ledger cannot be used.
	ErrCorrupt = errors.New("collector: the stored ledger cannot be used")
)

// Options of a Collector.
type Options struct {
	Store store.Store // required
	// Judge draws the consequences; nil: there are none, batches are only counted.
	Judge Judge
	// Evaluated is told of what flags served, once its batch is committed; nil: nobody is. It
	// must not wait.
	Evaluated func(environment string, told []*telemetryv1.Evaluations)
	// KeysUsed is told of what keys were used, likewise.
	KeysUsed func(environment string, uses []*telemetryv1.KeyUse)
	// Interval is the least time between two commits; the first batch after as much quiet
	// is committed at once. Default 1 s.
	Interval time.Duration
	// Forget is for how long the mark of a silent sender is kept: longer than senders keep
	// what they have not sent, by far. Default 48 h; whole minutes.
	Forget time.Duration
	// MaxPendingBytes bounds the batches that wait, by their encoded size and 1 KiB for each;
	// decoded they take a few times that. Default 64 MiB; at least 2 MiB, as one batch may be of
	// 1 MiB.
	MaxPendingBytes int64
	Logger          zerolog.Logger
	Registerer      prometheus.Registerer // may be nil
}

// Collector counts while it leads. Its methods may be called from any goroutine.
type Collector struct {
	o       Options
	metrics *metrics
	memory  *semaphore.Weighted // of batches that wait
	// refusals logs batches that make no sense: some of them, as they are strangers' doing.
	refusals zerolog.Logger
	// arrived is signalled when there is a batch to commit.
	arrived chan struct{}

	mu       sync.Mutex
	term     *tenure // nil: this server does not collect
	ledger   *ledger // as committed; of the term
	inboxes  map[senderID]*inbox
	order    []*inbox // those that hold something, by age
	progress chan struct{}
}

// tenure is one term's time of collecting.
type tenure struct {
	over chan struct{} // closed at its end
}

// New makes a Collector. It collects while [Collector.Lead] runs.
func New(o Options) (*Collector, error) {
	o.Interval = cmp.Or(o.Interval, time.Second)
	o.Forget = cmp.Or(o.Forget, 48*time.Hour)
	o.MaxPendingBytes = cmp.Or(o.MaxPendingBytes, 64<<20)
	switch {
	case o.Store == nil:
		return nil, errors.New("collector: Options.Store is required")
	case o.Interval <= 0:
		return nil, errors.New("collector: Options.Interval: want more than 0")
	case o.Forget < time.Minute || o.Forget%time.Minute != 0:
		return nil, errors.New("collector: Options.Forget: want whole minutes, one at least")
	case o.MaxPendingBytes < 2*batchcheck.MaxBytes:
		return nil, errors.New("collector: Options.MaxPendingBytes: want 2 MiB at least")
	}
	c := &Collector{
		o: o, memory: semaphore.NewWeighted(o.MaxPendingBytes),
		refusals: o.Logger.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Second}),
		arrived:  make(chan struct{}, 1), inboxes: make(map[senderID]*inbox), progress: make(chan struct{}),
	}
	c.metrics = newMetrics(c)
	return c, c.metrics.register(o.Registerer)
}

// begin opens the doors.
func (c *Collector) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.term = &tenure{over: make(chan struct{})}
}

// end closes the doors: streams end, and what waits is forgotten. It was not acknowledged.
func (c *Collector) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.term == nil {
		return
	}
	close(c.term.over)
	c.term, c.ledger = nil, nil
	for _, box := range c.inboxes {
		for _, p := range box.waiting {
			c.memory.Release(p.size)
		}
	}
	clear(c.inboxes)
	c.order = nil
	c.metrics.pending.Set(0)
	c.advanceLocked()
}

// advanceLocked wakes those that wait for room.
func (c *Collector) advanceLocked() {
	close(c.progress)
	c.progress = make(chan struct{})
}

// minutes is how the ledger tells time.
func minutes(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) / 60 }
