package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
)

const (
	// attemptTimeout bounds one attempt to send.
	attemptTimeout = 10 * time.Second
	// giveUpAfter is for how long an event is tried, from when it was to be told.
	giveUpAfter = 24 * time.Hour
	// firstBackoff and lastBackoff of the wait of a target that fails; each is twice the one
	// before. The last is short: who waits for a rollback should not wait for a timer.
	firstBackoff = time.Second
	lastBackoff  = time.Minute
	// lastLetterBackoff of an event that a target fails at by itself.
	lastLetterBackoff = 15 * time.Minute
	// longestRetryAfter is how long a target may ask not to be bothered.
	longestRetryAfter = time.Hour
	// maxWaiting for one target: what is older is given up.
	maxWaiting = 10_000
	// firstStoreBackoff and lastStoreBackoff of the wait for a store that fails.
	firstStoreBackoff = 100 * time.Millisecond
	lastStoreBackoff  = 5 * time.Second
	// trimAtOnce is how many dead letters are removed with one that is added, at most.
	trimAtOnce = 100
)

// delivery is the leader's work of one term: a lane for each target, each with a goroutine.
type delivery struct {
	n       *Notifier
	fence   store.Compare
	end     context.CancelCauseFunc
	running sync.WaitGroup
	dead    graveyard

	mu    sync.Mutex
	lanes map[string]*lane
}

// Run delivers what is in the outbox until ctx ends, and returns nil then; or until the fence
// does not hold, which is an ErrFenced. It is for the leader, with the fence of its term, one
// Run at a time. Two leaders that overlap send what they both have; receivers know it by its
// ID.
func (n *Notifier) Run(ctx context.Context, fence store.Compare) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	d := &delivery{n: n, fence: fence, end: end, lanes: make(map[string]*lane)}
	n.term.Store(d)
	defer n.term.CompareAndSwap(d, nil)

	d.running.Go(func() { d.follow(ctx, outboxRoot, &outbox{ctx: ctx, delivery: d}) })
	d.running.Go(func() { d.follow(ctx, deadRoot, &d.dead) })
	<-ctx.Done()
	d.running.Wait()
	if errors.Is(context.Cause(ctx), ErrFenced) {
		return ErrFenced
	}
	return nil
}

// follow keeps a view up to date until ctx ends.
func (d *delivery) follow(ctx context.Context, root string, v view) {
	wait := backoff{first: firstStoreBackoff, last: lastStoreBackoff}
	for ctx.Err() == nil {
		began := time.Now()
		err := follow(ctx, d.n.o.Store, root, v)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastStoreBackoff {
			wait.failures = 0
		}
		d.n.o.Logger.Debug().Err(err).Str("prefix", root).Msg("cannot follow the store; trying again")
		pause(ctx, wait.next())
	}
}

// lane returns the target's, and begins it if it is the first time that there is something
// for it.
func (d *delivery) lane(ctx context.Context, target string) *lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.lanes[target]
	if l == nil {
		sender := d.n.senders[target]
		if sender == nil {
			sender = nobody{}
		}
		l = newLane(d, target, sender)
		d.lanes[target] = l
		d.running.Go(func() { l.run(ctx) })
	}
	return l
}

func (d *delivery) all() []*lane {
	d.mu.Lock()
	defer d.mu.Unlock()
	lanes := make([]*lane, 0, len(d.lanes))
	for _, l := range d.lanes {
		lanes = append(lanes, l)
	}
	return lanes
}

// commit does ops under the fence, trying again while the store fails; they may be done
// twice. False: ctx has ended, or the term.
func (d *delivery) commit(ctx context.Context, ops ...store.Op) bool {
	wait := backoff{first: firstStoreBackoff, last: lastStoreBackoff}
	for {
		out, err := d.n.o.Store.Commit(ctx, store.Txn{Compares: []store.Compare{d.fence}, Ops: ops})
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil && out.Committed:
			return true
		case err == nil:
			d.end(ErrFenced)
			return false
		}
		d.n.o.Logger.Warn().Err(err).Msg("what became of a notification cannot be written down; trying again")
		pause(ctx, wait.next())
	}
}

// bury makes a record a dead letter. False: ctx has ended, or the term.
func (d *delivery) bury(ctx context.Context, kv store.KV, letter deadRecord) bool {
	target, id := splitKey(kv.Key, outboxRoot)
	letter.Died = time.Now().UTC()
	value, err := json.Marshal(letter)
	if err != nil { // what was decoded can be encoded; if not, it is kept as it is
		value = kv.Value
	}
	key := deadRoot + target + "/" + id
	over := d.dead.add(key)
	ops := make([]store.Op, 0, 2+len(over))
	ops = append(ops, store.Delete(kv.Key), store.Put(key, value))
	for _, old := range over {
		ops = append(ops, store.Delete(old))
	}
	if !d.commit(ctx, ops...) {
		return false
	}
	d.n.metrics.dead.WithLabelValues(target).Inc()
	d.n.o.Logger.Error().Str("target", target).Str("event", id).Str("reason", letter.Reason).Int("attempts", letter.Attempts).
		Msg("a notification is given up: it is a dead letter now")
	return true
}

// outbox gives what waits to its lanes.
type outbox struct {
	ctx      context.Context //nolint:containedctx // of the term: lanes begin while it lasts
	delivery *delivery
}

func (o *outbox) replace(all []ref) {
	there := make(map[string]bool, len(all))
	for _, r := range all {
		there[r.key] = true
	}
	for _, l := range o.delivery.all() {
		l.keep(there)
	}
	slices.SortFunc(all, func(a, b ref) int { return cmp.Compare(a.revision, b.revision) })
	for _, r := range all {
		o.put(r)
	}
}

func (o *outbox) put(r ref) {
	target, _ := splitKey(r.key, outboxRoot)
	o.delivery.lane(o.ctx, target).put(r)
}

func (o *outbox) remove(key string) {
	target, _ := splitKey(key, outboxRoot)
	o.delivery.lane(o.ctx, target).remove(key)
}

// graveyard knows the dead letters, by the revision that they died at.
type graveyard struct {
	mu      sync.Mutex
	letters map[string]int64
}

func (g *graveyard) replace(all []ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.letters = make(map[string]int64, len(all))
	for _, r := range all {
		g.letters[r.key] = r.revision
	}
}

func (g *graveyard) put(r ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.letters == nil {
		g.letters = make(map[string]int64)
	}
	g.letters[r.key] = r.revision
}

func (g *graveyard) remove(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.letters, key)
}

// add takes in a letter that is about to be added, and returns the oldest ones, of those that
// are then too many.
func (g *graveyard) add(next string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.letters == nil {
		g.letters = make(map[string]int64)
	}
	g.letters[next] = math.MaxInt64 // until its revision is known
	over := len(g.letters) - MaxDeadLetters
	if over <= 0 {
		return nil
	}
	old := slices.SortedFunc(maps.Keys(g.letters), func(a, b string) int {
		return cmp.Or(cmp.Compare(g.letters[a], g.letters[b]), cmp.Compare(a, b))
	})
	old = slices.DeleteFunc(old[:min(over, trimAtOnce)], func(key string) bool { return key == next })
	for _, key := range old { // others that are buried now are not to name them again
		delete(g.letters, key)
	}
	return old
}

// backoff is a wait that doubles with each failure, and is random so that many do not meet.
type backoff struct {
	first, last time.Duration
	failures    int
}

func (b *backoff) next() time.Duration {
	wait := b.last
	if b.failures < 30 {
		wait = min(b.first<<b.failures, b.last)
	}
	b.failures++
	return wait/2 + rand.N(wait/2+1) //nolint:gosec // jitter
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// about is the log's context of a record.
func about(e *zerolog.Event, target string, r *record) *zerolog.Event {
	return e.Str("target", target).Str("event", r.Event.ID).Str("kind", string(r.Event.Kind)).
		Str("environment", r.Event.Environment).Str("rollout", r.Event.Rollout)
}
