// Package leader elects one of the servers that share a store, and lets it prove, in each
// transaction that it writes, that it is the one.
//
// Who leads holds a key with a lease. Candidates put it where it is absent, so the store
// decides; the revision at which it was created is the leader's [Term]. Terms rise, and no
// two leaders have the same one.
//
// What is promised, and what is not. The lease is kept as long as the leader lives, and a
// leader steps down before it may have expired by its own clock. That makes two leaders rare,
// not impossible: a process that was paused does not know it yet when it goes on. So
// everything that a leader writes has [Term.Fence] among its compares. A transaction with
// the fence of a term that is over does not commit, whatever any clock says.
//
// It needs of the store what package store promises, and imports nothing of etcd.
package leader

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
)

// Key is held by the leader.
const Key = "/tidegate/v1/meta/leader"

// ErrDeposed says that a term is over: a transaction with its fence did not commit, or its
// lease is lost. A function that leads returns it, or an error that wraps it, to step down.
var ErrDeposed = errors.New("leader: deposed: the term is over")

// errResigned ends the context of a function that leads once that has returned.
var errResigned = errors.New("leader: resigned")

// Term is a leader's time in office: the revision of the store at which it began.
type Term int64

// Fence holds while the term lasts.
func (t Term) Fence() store.Compare { return store.CreatedAt(Key, int64(t)) }

// Record is what a leader tells of itself, as JSON.
type Record struct {
	InstanceID string `json:"instance"`
	// Address at which other servers reach the leader; empty: there are no others.
	Address string    `json:"address,omitempty"`
	Since   time.Time `json:"since"`
	// Campaign tells apart what one process put in two campaigns.
	Campaign string `json:"campaign"`
}

// Options of an Elector.
type Options struct {
	Store store.Store // required
	// InstanceID of this server; required.
	InstanceID string
	// Address at which the other servers reach this one; empty: there are no others.
	Address string
	// TTL of the lease: how long a leader that died is waited for. Default 5 s; whole
	// seconds.
	TTL        time.Duration
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil
}

// Elector is a candidate, and knows who leads. Its methods may be called from any goroutine.
type Elector struct {
	o     Options
	terms prometheus.Counter

	mu      sync.Mutex
	seen    sight
	changed chan struct{} // closed and replaced with each change of seen
	term    Term          // 0: this one does not lead
}

// sight is the leader's key as of a revision of the store; 0: it was not seen yet.
type sight struct {
	revision int64
	record   Record
	term     Term // 0: nobody leads
}

// New makes an Elector; Run makes it a candidate.
func New(o Options) (*Elector, error) {
	if o.Store == nil || o.InstanceID == "" {
		return nil, errors.New("leader: Options.Store and InstanceID are required")
	}
	o.TTL = cmp.Or(o.TTL, 5*time.Second)
	if o.TTL < time.Second || o.TTL%time.Second != 0 {
		return nil, errors.New("leader: Options.TTL: want whole seconds, one at least")
	}
	e := &Elector{
		o: o, changed: make(chan struct{}),
		terms: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "tidegate", Subsystem: "leader", Name: "terms_total", Help: "Times that this server became the leader.",
		}),
	}
	return e, e.register()
}

func (e *Elector) register() error {
	if e.o.Registerer == nil {
		return nil
	}
	return errors.Join(
		e.o.Registerer.Register(e.terms),
		e.o.Registerer.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "tidegate", Subsystem: "leader", Name: "term",
			Help: "Term in which this server leads: the revision at which it began; 0: it does not lead.",
		}, func() float64 {
			e.mu.Lock()
			defer e.mu.Unlock()
			return float64(e.term)
		})))
}

// Leader returns who leads as far as is known here, and what is closed when that may have
// changed; false: nobody does, or it is not known.
func (e *Elector) Leader() (Record, <-chan struct{}, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen.record, e.changed, e.seen.term != 0
}

// Run is a candidate until ctx ends. Each time that it is elected it calls lead, and steps
// down when that returns. The context of lead ends with the term, and with ctx; lead has to
// return then, soon: while it does not, the next term may have begun. On the end of ctx the
// office is given up at once, and Run returns.
func (e *Elector) Run(ctx context.Context, lead func(context.Context, Term) error) {
	var observing sync.WaitGroup
	defer observing.Wait()
	observing.Go(func() { e.observe(ctx) })

	wait := backoff{longest: e.o.TTL}
	for ctx.Err() == nil {
		s, changed := e.sight()
		if s.revision == 0 || s.term != 0 {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		began := time.Now()
		err := e.campaign(ctx, lead)
		if err == nil || time.Since(began) > e.o.TTL {
			wait.reset()
		}
		if err != nil && ctx.Err() == nil {
			e.o.Logger.Warn().Err(err).Msg("this server does not lead; it will try again")
			wait.wait(ctx)
		}
	}
}

// sight returns what is known of the key, and what is closed when that changes.
func (e *Elector) sight() (sight, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen, e.changed
}

// see takes in what the key was at a revision, unless something newer is known.
func (e *Elector) see(s sight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.revision < e.seen.revision {
		return
	}
	news := s.term != e.seen.term || e.seen.revision == 0
	e.seen = s
	if news {
		close(e.changed)
		e.changed = make(chan struct{})
	}
}

// restored forgets at which revision the key was seen: a read that began later saw an earlier
// one, which only a store does that was restored from a backup.
func (e *Elector) restored() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen.revision = 1
}

func (e *Elector) setTerm(t Term) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.term = t
}

// decode reads a key that is there. A record that is damaged still is somebody's: nobody
// can reach it, and its lease will tell when it is over.
func decode(kv store.KV, revision int64) sight {
	s := sight{revision: revision, term: Term(kv.CreateRevision)}
	if err := json.Unmarshal(kv.Value, &s.record); err != nil {
		s.record = Record{}
	}
	return s
}

// newRecord is what this server puts in a campaign.
func (e *Elector) newRecord() Record {
	return Record{
		InstanceID: e.o.InstanceID, Address: e.o.Address,
		Since: time.Now().UTC().Truncate(time.Millisecond), Campaign: uuid.NewString(),
	}
}

const firstBackoff = 100 * time.Millisecond

// backoff is a wait that grows, and is random so that candidates do not meet.
type backoff struct{ next, longest time.Duration }

func (b *backoff) reset() { b.next = 0 }

func (b *backoff) wait(ctx context.Context) {
	b.next = min(max(2*b.next, firstBackoff), b.longest)
	select {
	case <-time.After(b.next/2 + rand.N(b.next/2)): //nolint:gosec // jitter
	case <-ctx.Done():
	}
}
