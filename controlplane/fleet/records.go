package fleet

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

const (
	// gather is how long changes are gathered to be written together.
	gather = 100 * time.Millisecond
	// perTxn is how many are written together, at most.
	perTxn = 100
	// maxRecords bounds what is remembered.
	maxRecords = 100_000
	// sweeps in the time for which a silent relay is remembered.
	sweeps = 60
)

// record is what the store remembers of a relay, as JSON.
type record struct {
	Region       string   `json:"region,omitempty"`
	Environments []string `json:"environments"`
}

func recordOf(m *member) record {
	return record{Region: m.region, Environments: m.environments()}
}

func (r record) differs(o record) bool {
	return r.Region != o.Region || !slices.Equal(r.Environments, o.Environments)
}

// member is a relay of which no server knows more.
func (r record) member(id string) *member {
	m := &member{id: id, region: r.Region, has: make([]applied, len(r.Environments))}
	for i, name := range r.Environments {
		m.has[i].environment = name
	}
	return m
}

// dirty are the relays whose records may not be as they should.
type dirty struct {
	mu    sync.Mutex
	marks map[string]mark
	last  uint64
	wake  chan struct{}
}

// mark tells whether the relay left; each has a number of its own.
type mark struct {
	left   bool
	number uint64
}

func newDirty() *dirty { return &dirty{marks: make(map[string]mark), wake: make(chan struct{}, 1)} }

func (d *dirty) add(id string, left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.marks[id] = mark{left, d.last}
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// some returns some of the relays.
func (d *dirty) some(n int) map[string]mark {
	d.mu.Lock()
	defer d.mu.Unlock()
	some := make(map[string]mark)
	for id, m := range d.marks {
		if len(some) == n {
			break
		}
		some[id] = m
	}
	return some
}

// done takes out those that were settled, unless they were added again meanwhile, and tells
// whether some remain.
func (d *dirty) done(settled map[string]mark) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, m := range settled {
		if d.marks[id] == m {
			delete(d.marks, id)
		}
	}
	return len(d.marks) > 0
}

// has tells whether a relay waits for its record to be written.
func (d *dirty) has(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	m, waits := d.marks[id]
	return waits && !m.left
}

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// writeRecords brings the store's records to what is known here until ctx ends, trying
// again where the store fails.
func (f *Fleet) writeRecords(ctx context.Context) {
	select {
	case <-f.relays.Loaded():
	case <-ctx.Done():
		return
	}
	backoff := firstBackoff
	for {
		select {
		case <-f.dirty.wake:
		case <-ctx.Done():
			return
		}
		wait, more := gather, true
		for more {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			settled, err := f.writeSome(ctx)
			more, wait = f.dirty.done(settled), 0
			switch {
			case err != nil:
				f.o.Logger.Debug().Err(err).Msg("the relays' records cannot be written; trying again")
				wait, backoff = backoff, min(2*backoff, lastBackoff)
			case len(settled) == 0:
				wait = gather // the mirror is behind
			default:
				backoff = firstBackoff
			}
		}
	}
}

// writeSome writes some records in one transaction, and returns the relays whose are then
// as they should be: none, if others wrote meanwhile what is not known here yet.
func (f *Fleet) writeSome(ctx context.Context) (map[string]mark, error) {
	some := f.dirty.some(perTxn)
	records, _ := f.relays.All()
	var txn store.Txn
	for id, mark := range some {
		left := mark.left
		have, there := records[id]
		switch m := f.local.get(id); {
		case left && there:
			txn.Ops = append(txn.Ops, store.Delete(relaysRoot+id))
		case m == nil || left || there && !have.Value.differs(recordOf(m)) || !there && len(records) >= maxRecords:
			continue
		default:
			value, err := json.Marshal(recordOf(m))
			if err != nil {
				return nil, err
			}
			txn.Ops = append(txn.Ops, store.Put(relaysRoot+id, value))
		}
		txn.Compares = append(txn.Compares, store.Unchanged(relaysRoot+id, have.Revision))
	}
	if len(txn.Ops) == 0 {
		return some, nil
	}
	out, err := f.o.Store.Commit(ctx, txn)
	if err != nil || !out.Committed {
		return nil, err
	}
	return some, nil
}

// sweep forgets relays that were silent for longer than they are remembered. It looks now
// and then, and counts from when it first saw one silent: clocks, and what servers know
// that are no more, do not matter.
func (f *Fleet) sweep(ctx context.Context) {
	silent := make(map[string]time.Time)
	look := time.NewTicker(max(f.o.Retain/sweeps, time.Millisecond))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if err := f.sweepOnce(ctx, silent, time.Now()); err != nil && ctx.Err() == nil {
			f.o.Logger.Debug().Err(err).Msg("relays that are silent are not forgotten yet")
		}
	}
}

func (f *Fleet) sweepOnce(ctx context.Context, silent map[string]time.Time, now time.Time) error {
	all, unreachable, err := f.look(ctx, "")
	if err != nil || len(unreachable) > 0 {
		return err
	}
	was := make(map[string]bool, len(silent))
	for id := range silent {
		was[id] = true
	}
	records, _ := f.relays.All()
	for _, m := range all {
		if m.connected {
			continue
		}
		delete(was, m.id)
		since, known := silent[m.id]
		if !known {
			silent[m.id] = now
			continue
		}
		if e, there := records[m.id]; there && now.Sub(since) >= f.o.Retain {
			if err := f.forget(ctx, m.id, e.Revision); err != nil {
				return err
			}
		}
	}
	for id := range was { // connected, or forgotten
		delete(silent, id)
	}
	f.dropUnrecorded(all)
	return nil
}

// dropUnrecorded lets go of what is known of relays that are gone from here, and are
// connected elsewhere or forgotten.
func (f *Fleet) dropUnrecorded(all []*member) {
	missing := make(map[string]bool)
	for _, m := range all {
		missing[m.id] = !m.connected
	}
	f.local.edit(func(byID map[string]*member) {
		for id, m := range byID {
			if !m.connected && !missing[id] {
				delete(byID, id)
			}
		}
	})
}

// forget deletes a record, unless it was written since.
func (f *Fleet) forget(ctx context.Context, id string, revision int64) error {
	_, err := f.o.Store.Commit(ctx, store.Txn{
		Compares: []store.Compare{store.Unchanged(relaysRoot+id, revision)},
		Ops:      []store.Op{store.Delete(relaysRoot + id)},
	})
	return err
}
