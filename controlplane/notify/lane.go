package notify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// lane is what waits for one target. One goroutine sends it, one event after the other.
type lane struct {
	d      *delivery
	target string
	sender Sender
	wake   chan struct{} // capacity 1
	reads  backoff       // of the store; the goroutine's

	mu      sync.Mutex
	letters []*letter // by revision
	byKey   map[string]*letter
	// trouble of the target; rests until rest, because of problem.
	trouble backoff
	rest    time.Time
	problem string
}

// letter is a record that waits. Only the lane's goroutine changes it, under the lane's lock.
type letter struct {
	ref
	// since is when this server saw it first: clocks of servers may differ.
	since    time.Time
	attempts int
	// problem of the newest attempt.
	problem string
	// own is the trouble that the target has with this one; it rests until rest.
	own  backoff
	rest time.Time
}

// due is when a letter may be sent; mu is held.
func (l *lane) due(o *letter) time.Time {
	if o.rest.Before(l.rest) {
		return l.rest
	}
	return o.rest
}

// progress tells what came of a record until now; nil: it is not known here.
func (l *lane) progress(r ref) *Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.byKey[r.key]
	if o == nil || o.revision != r.revision {
		return nil
	}
	p := &Progress{Attempts: o.attempts, Problem: o.problem, Next: l.due(o)}
	if p.Problem == "" {
		p.Problem = l.problem
	}
	return p
}

func newLane(d *delivery, target string, sender Sender) *lane {
	return &lane{
		d: d, target: target, sender: sender, wake: make(chan struct{}, 1),
		byKey:   make(map[string]*letter),
		reads:   backoff{first: firstStoreBackoff, last: lastStoreBackoff},
		trouble: backoff{first: firstBackoff, last: lastBackoff},
	}
}

func (l *lane) put(r ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was := l.byKey[r.key]; was != nil {
		if was.revision == r.revision {
			return
		}
		l.removeLocked(was)
	}
	next := &letter{ref: r, since: time.Now(), own: backoff{first: firstBackoff, last: lastLetterBackoff}}
	at, _ := slices.BinarySearchFunc(l.letters, next, func(a, b *letter) int { return cmp.Compare(a.revision, b.revision) })
	l.letters = slices.Insert(l.letters, at, next)
	l.byKey[r.key] = next
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) remove(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(l.byKey[key])
}

// settled removes a letter, unless it was put again meanwhile.
func (l *lane) settled(o *letter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removeLocked(o)
}

func (l *lane) removeLocked(o *letter) {
	if o != nil && l.byKey[o.key] == o {
		delete(l.byKey, o.key)
		l.letters = slices.DeleteFunc(l.letters, func(other *letter) bool { return other == o })
	}
}

// keep removes all others.
func (l *lane) keep(there map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters = slices.DeleteFunc(l.letters, func(o *letter) bool {
		if there[o.key] {
			return false
		}
		delete(l.byKey, o.key)
		return true
	})
}

// waiting tells how many wait, and since when the oldest does.
func (l *lane) waiting() (count int, oldest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.letters {
		queued := o.queued
		if queued.IsZero() {
			queued = o.since
		}
		if oldest.IsZero() || queued.Before(oldest) {
			oldest = queued
		}
	}
	return len(l.letters), oldest
}

// next returns what to send now; nil: nothing, before the wait is over (0: without end).
func (l *lane) next(now time.Time) (next *letter, over bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.letters) > l.d.n.maxWaiting {
		return l.letters[0], true, 0
	}
	var soonest time.Time
	for _, o := range l.letters {
		due := l.due(o)
		if !due.After(now) {
			return o, false, 0
		}
		if soonest.IsZero() || due.Before(soonest) {
			soonest = due
		}
	}
	if soonest.IsZero() {
		return nil, false, 0
	}
	return nil, false, soonest.Sub(now)
}

func (l *lane) run(ctx context.Context) {
	for ctx.Err() == nil {
		next, over, wait := l.next(time.Now())
		switch {
		case next != nil:
			l.handle(ctx, next, over)
		case wait == 0:
			select {
			case <-l.wake:
			case <-ctx.Done():
			}
		default:
			t := time.NewTimer(wait)
			select {
			case <-l.wake:
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
		}
	}
}

// handle reads a record and sends it, or gives it up if there are too many.
func (l *lane) handle(ctx context.Context, o *letter, over bool) {
	results, _, err := l.d.n.o.Store.Read(ctx, store.Key(o.key))
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		l.d.n.o.Logger.Debug().Err(err).Str("target", l.target).Msg("a notification cannot be read; trying again")
		pause(ctx, l.reads.next())
		return
	case len(results[0].KVs) == 0:
		l.settled(o)
		return
	}
	l.reads.failures = 0
	kv := results[0].KVs[0]
	r, err := decodeRecord(kv.Value)
	switch {
	case err != nil:
		l.bury(ctx, o, kv, deadRecord{
			Reason:  fmt.Sprintf("the record is damaged: %v", err),
			Damaged: kv.Value[:min(len(kv.Value), maxDamaged)],
		})
	case over:
		l.bury(ctx, o, kv, deadRecord{
			Reason:   fmt.Sprintf("%d newer ones waited for the target, which is all that may", l.d.n.maxWaiting),
			Attempts: o.attempts, Record: &r,
		})
	default:
		l.send(ctx, o, kv, &r)
	}
}

func (l *lane) bury(ctx context.Context, o *letter, kv store.KV, dead deadRecord) {
	if l.d.bury(ctx, kv, dead) {
		l.settled(o)
	}
}

// send makes one attempt, and sees to what comes of it.
func (l *lane) send(ctx context.Context, o *letter, kv store.KV, r *record) {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	_, err := l.sender.Send(attempt, r.Event)
	switch {
	case err == nil:
		l.recover()
		l.d.n.metrics.sent.WithLabelValues(l.target).Inc()
		about(l.d.n.o.Logger.Info(), l.target, r).Msg("notified")
		if l.d.commit(ctx, store.Delete(kv.Key)) {
			l.settled(o)
		}
		return
	case ctx.Err() != nil:
		return // the term has ended, and with it the attempt
	}
	f := failureOf(err)
	l.failed(o, f)
	l.d.n.metrics.failed.WithLabelValues(l.target).Inc()
	about(l.d.n.o.Logger.Warn(), l.target, r).Int("attempts", o.attempts).Str("reason", f.Reason).Msg("a notification was not taken")
	now := time.Now()
	switch age := max(now.Sub(r.Queued), now.Sub(o.since)); {
	case f.Permanent:
		l.bury(ctx, o, kv, deadRecord{Reason: f.Reason, Attempts: o.attempts, Record: r})
	case age >= giveUpAfter:
		l.bury(ctx, o, kv, deadRecord{
			Reason:   fmt.Sprintf("tried for %v, the last time: %s", giveUpAfter, f.Reason),
			Attempts: o.attempts, Record: r,
		})
	default:
		l.tire(o, f, now)
	}
}

// failed notes that an attempt did.
func (l *lane) failed(o *letter, f *Failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.attempts++
	o.problem = f.Reason
}

// tire has the target rest after a failure, at least for as long as it asked for, and what it
// failed at by itself for longer.
func (l *lane) tire(o *letter, f *Failure, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest, l.problem = now.Add(max(l.trouble.next(), min(f.RetryAfter, longestRetryAfter))), f.Reason
	if !f.Down {
		o.rest = now.Add(o.own.next())
	}
}

// recover ends the target's trouble.
func (l *lane) recover() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble.failures, l.rest, l.problem = 0, time.Time{}, ""
}
