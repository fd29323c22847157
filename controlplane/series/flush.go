package series

import (
	"context"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
)

const (
	// maxOps and maxBytes are of one transaction; a single chunk may be larger than the latter.
	maxOps   = store.MaxTxnOps - 1
	maxBytes = 512 << 10
)

// flush writes what is full. What cannot be written now is tried again the next time.
func (r *Recorder) flush(ctx context.Context, term leader.Term) error {
	var t store.Txn
	var ids []id
	bytes := 0
	for _, of := range r.ids() {
		ops, size, err := r.puts(of)
		if err != nil {
			return err
		}
		if len(ids) > 0 && (len(t.Ops)+len(ops) > maxOps || bytes+size > maxBytes) {
			if err := r.commit(ctx, term, ids, t.Ops); err != nil {
				return err
			}
			t.Ops, ids, bytes = nil, nil, 0
		}
		t.Ops, ids, bytes = append(t.Ops, ops...), append(ids, of), bytes+size
	}
	if len(ids) == 0 {
		return nil
	}
	return r.commit(ctx, term, ids, t.Ops)
}

// puts are those of one rollout's full chunks.
func (r *Recorder) puts(of id) (ops []store.Op, size int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.held[of]
	at := make(map[string]int) // no key twice: a chunk that was finished early may be so again
	for _, f := range rec.full {
		value, err := r.packer.encode(f.chunk, rec.scales)
		if err != nil {
			return nil, 0, err
		}
		key := chunkKey(of.environment, of.rollout, f.level, f.number)
		size += len(key) + len(value)
		if i, twice := at[key]; twice {
			ops[i] = store.Put(key, value)
			continue
		}
		at[key] = len(ops)
		ops = append(ops, store.Put(key, value))
	}
	return ops, size, nil
}

// commit writes chunks of rollouts, unless one of them is deleted meanwhile: nothing of it must
// be left.
func (r *Recorder) commit(ctx context.Context, term leader.Term, ids []id, ops []store.Op) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ranges := make([]store.Range, len(ids))
	for i, of := range ids {
		ranges[i] = store.Key(r.o.StateKey(of.environment, of.rollout))
	}
	results, _, err := r.o.Store.Read(ctx, ranges...)
	if err != nil {
		return r.failed(err)
	}
	t := store.Txn{Compares: []store.Compare{term.Fence()}, Ops: ops}
	for i, result := range results {
		if len(result.KVs) == 0 {
			r.drop(ids[i]) // the others are written the next time
			return nil
		}
		t.Compares = append(t.Compares, store.CreatedAt(ranges[i].Key, result.KVs[0].CreateRevision))
	}
	out, err := r.o.Store.Commit(ctx, t)
	if err != nil {
		return r.failed(err)
	}
	if !out.Committed {
		return r.raced(ctx, term)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range ids {
		r.held[of].full = nil
	}
	return nil
}

// raced tells what came in between: another leader, or somebody who deleted a rollout.
func (r *Recorder) raced(ctx context.Context, term leader.Term) error {
	out, err := r.o.Store.Commit(ctx, store.Txn{Compares: []store.Compare{term.Fence()}})
	switch {
	case err != nil:
		return r.failed(err)
	case !out.Committed:
		return leader.ErrDeposed
	}
	return nil
}

func (r *Recorder) failed(err error) error {
	r.o.Logger.Warn().Err(err).Msg("the series of rollouts cannot be written; trying again")
	return err
}

// drop forgets a rollout.
func (r *Recorder) drop(of id) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.held, of)
}
