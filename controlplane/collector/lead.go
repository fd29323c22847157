package collector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/fault"
)

const (
	// storeTimeout bounds one call of the store.
	storeTimeout = 5 * time.Second
	// maxTries is how often a round is tried on the spot, as what the judge goes by has
	// changed meanwhile.
	maxTries     = 10
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
	// forgetEvery is between two looks for senders to forget, each at one shard.
	forgetEvery = time.Minute
)

// writer commits what waits, during one term, in one goroutine.
type writer struct {
	c    *Collector
	term leader.Term
	// current: what is in memory, here and at the judge, is what the store holds.
	current bool
	// committed and judged are when the last of each began.
	committed, judged time.Time
	// swept is when senders to forget were looked for last, and at which shard.
	swept time.Time
	shard int
}

// Lead collects until ctx ends, which it returns, or the term is over: leader.ErrDeposed. It
// also returns if the stored ledger cannot be used: ErrCorrupt.
func (c *Collector) Lead(ctx context.Context, term leader.Term) error {
	w := &writer{c: c, term: term, swept: time.Now()}
	if err := w.load(ctx); err != nil {
		return err
	}
	c.begin()
	defer c.end()
	return w.run(ctx)
}

// load reads everything from the store; it tries until it can.
func (w *writer) load(ctx context.Context) error {
	for wait := firstBackoff; ; wait = min(2*wait, lastBackoff) {
		err := w.reload(ctx)
		if err == nil || final(err) {
			return err
		}
		if ctx.Err() == nil {
			w.c.o.Logger.Warn().Err(err).Msg("telemetry is not collected yet: the ledger cannot be read; trying again")
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// final tells whether an error ends the term.
func final(err error) bool {
	return errors.Is(err, leader.ErrDeposed) || errors.Is(err, ErrCorrupt) || errors.Is(err, store.ErrClosed)
}

// pause waits a random time of about d.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d/2 + rand.N(d)): //nolint:gosec // jitter
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reload reads everything from the store, the ledger first: whatever is committed later does
// not hold its head unchanged. Batches that turn out to be committed are acknowledged.
func (w *writer) reload(ctx context.Context) error {
	w.current = false
	reading, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	results, _, err := w.c.o.Store.Read(reading, append(ledgerRanges(), store.Key(leader.Key))...)
	if err != nil {
		return err
	}
	if kvs := results[3].KVs; len(kvs) == 0 || leader.Term(kvs[0].CreateRevision) != w.term {
		return leader.ErrDeposed
	}
	l, err := readLedger(results)
	if err != nil {
		return err
	}
	if w.c.o.Judge != nil {
		if err := w.c.o.Judge.Load(ctx, w.term); err != nil {
			return fmt.Errorf("the judge: %w", err)
		}
	}
	w.c.install(l)
	w.current = true
	return nil
}

// install makes a ledger that was read the one to go by.
func (c *Collector) install(l *ledger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger = l
	var done []*pending
	for _, box := range c.order {
		for _, p := range box.waiting {
			if p.sequence > l.sequence(p.id) {
				break
			}
			if p.verdict == "" {
				p.verdict = verdictDuplicate
			}
			done = append(done, p)
		}
	}
	c.finishLocked(done)
}

// run does rounds until the term is over.
func (w *writer) run(ctx context.Context) error {
	failures := 0
	for {
		if err := w.await(ctx); err != nil {
			return err
		}
		err := w.round(ctx)
		switch {
		case err == nil:
			failures = 0
			continue
		case final(err):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		w.current = false
		w.c.metrics.commits.WithLabelValues("failed").Inc()
		w.c.o.Logger.Warn().Err(err).Msg("telemetry waits to be counted; trying again")
		if err := pause(ctx, min(firstBackoff<<min(failures, 10), lastBackoff)); err != nil {
			return err
		}
		failures++
	}
}

// await waits until a round is due: the interval after the last commit, if a batch waits, and
// after the last round in any case.
func (w *writer) await(ctx context.Context) error {
	for {
		due := w.judged.Add(w.c.o.Interval)
		if at := w.committed.Add(w.c.o.Interval); w.c.waits() && at.Before(due) {
			due = at
		}
		wait := time.Until(due)
		if wait <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-w.c.arrived:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// round counts what waits, as much as one transaction takes.
func (w *writer) round(ctx context.Context) error {
	w.judged = time.Now()
	limit := -1 // all
	for try := 0; try < maxTries; {
		if !w.current {
			if err := w.reload(ctx); err != nil {
				return err
			}
		}
		p := w.gather(limit)
		outcome, err := w.attempt(ctx, p)
		switch {
		case errors.Is(err, ErrNoRoom) && len(p.counted) > 0 && len(p.done) > 1:
			limit = len(p.done) / 2
		case errors.Is(err, ErrNoRoom) && len(p.counted) > 0:
			w.c.refuse(p.done[0], "what follows from it does not fit one transaction: send fewer rollouts and windows in a batch")
		case err != nil:
			return err
		case outcome:
			return nil
		default:
			w.current = false
			try++
			w.c.metrics.commits.WithLabelValues("conflict").Inc()
		}
	}
	return fmt.Errorf("%d times something had changed meanwhile", maxTries)
}

// refuse makes a batch one that is not counted.
func (c *Collector) refuse(p *pending, problem string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.problem = problem
}

// gather plans to count what waits, the oldest first; at most so many batches, if limit is not
// negative.
func (w *writer) gather(limit int) *plan {
	c := w.c
	c.mu.Lock()
	defer c.mu.Unlock()
	p := newPlan(c.ledger, fault.Now(), c.o.Forget)
	if time.Since(w.swept) >= forgetEvery {
		p.forget(w.shard, func(id senderID) bool { return c.inboxes[id] != nil })
	}
	for _, box := range c.order {
		for _, b := range box.waiting {
			if len(p.done) == limit || !p.add(b) {
				break // the others of its sender wait with it
			}
		}
	}
	return p
}

// attempt carries out a plan with what the judge makes of it; false: something that it went by
// has changed.
func (w *writer) attempt(ctx context.Context, p *plan) (committed bool, err error) {
	e, err := p.encode()
	if err != nil {
		return false, err
	}
	effects, err := w.judge(ctx, p, e)
	if err != nil {
		return false, err
	}
	txn := store.Txn{Compares: append(p.guards(w.term), effects.Compares...), Ops: append(e.ops, effects.Ops...)}
	if p.empty() && len(effects.Ops) == 0 {
		w.finish(p, nil, 0)
		return true, nil
	}
	began := time.Now()
	committing, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if fault.Planted("commit-unfenced") {
		txn.Compares = nil
	}
	if fault.Planted("evidence-apart") && len(effects.Ops) > 0 {
		out, err := w.c.o.Store.Commit(committing, store.Txn{Compares: effects.Compares, Ops: effects.Ops})
		if err != nil || !out.Committed {
			return false, err
		}
		txn = store.Txn{Compares: p.guards(w.term), Ops: e.ops}
	}
	fault.Point(fault.CollectorBeforeCommit)
	out, err := w.c.o.Store.Commit(committing, txn)
	fault.Point(fault.CollectorAfterCommit)
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return false, fmt.Errorf("%w: %w", ErrNoRoom, err)
	case err != nil: // perhaps it happened; reload tells
		return false, err
	case !out.Committed:
		return false, nil
	}
	w.committed = began
	w.c.metrics.observe(time.Since(began), sizeOf(nil, txn.Ops), effects.SetAside)
	if w.c.o.Judge != nil {
		w.c.o.Judge.Committed(out.Revision)
	}
	w.finish(p, &e, out.Revision)
	return true, nil
}

// judge asks for the consequences of a plan.
func (w *writer) judge(ctx context.Context, p *plan, e encoded) (Effects, error) {
	if w.c.o.Judge == nil {
		return Effects{}, nil
	}
	guards := p.guards(w.term)
	room := Room{
		Ops: store.MaxTxnOps - len(e.ops), Compares: store.MaxTxnOps - len(guards),
		Bytes: maxTxnBytes - sizeOf(guards, e.ops),
	}
	effects, err := w.c.o.Judge.Judge(ctx, &Group{Term: w.term, Time: p.now, Batches: p.counted, Room: room})
	if err == nil && !room.fits(effects) {
		err = ErrNoRoom
	}
	if errors.Is(err, ErrNoRoom) {
		w.current = false // it is asked again
	}
	return effects, err
}

// finish is done with a plan that was carried out; e is nil if there was nothing to commit.
func (w *writer) finish(p *plan, e *encoded, revision int64) {
	c := w.c
	if c.o.Evaluated != nil {
		for _, b := range p.counted {
			c.o.Evaluated(b.GetEnvironment(), b.GetEvaluations())
		}
	}
	if c.o.KeysUsed != nil {
		for _, b := range p.counted {
			c.o.KeysUsed(b.GetEnvironment(), b.GetKeyUses())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e != nil {
		p.applyLocked(*e, revision)
	}
	c.finishLocked(p.done)
	if time.Since(w.swept) >= forgetEvery {
		w.swept, w.shard = time.Now(), (w.shard+1)%shards
	}
}
