package live

import (
	"context"
	"slices"
	"sync"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	// firstEntries is how many entries a stream begins with.
	firstEntries = 100
	// entriesKept is how many are kept: a stream that is further behind misses some.
	entriesKept = 1000
	// entriesRetry is the wait after the trail could not be followed.
	entriesRetry = time.Second
)

// entries are the end of the environment's audit trail.
type entries struct {
	*view

	mu sync.Mutex
	// version counts the entries that there were; the newest is at the end of kept, whose first
	// is entry number version-len(kept).
	version int64
	kept    []keptEntry
}

// keptEntry is an entry without its resource, and the flag of the rollout that it is of, if it is of
// one.
type keptEntry struct {
	*controlv1.AuditEntry
	flag string
}

// since returns the entries after that many, and how many there were; missed tells that some in
// between are not kept any more. Below 0: the newest ones, which misses none.
func (e *entries) since(version int64) (next int64, list []keptEntry, missed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.version - int64(len(e.kept))
	switch {
	case version < 0:
		version = max(first, e.version-firstEntries)
	case version < first:
		version, missed = first, true
	}
	return e.version, e.kept[version-first:], missed
}

// run follows the trail. What was written while nobody looked is not looked for: the end of the
// trail is read anew.
func (e *entries) run(ctx context.Context) {
	for {
		err := e.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		e.o.Logger.Warn().Err(err).Str("environment", e.environment).Msg("the audit trail cannot be followed; trying again")
		if !wait(ctx, entriesRetry) {
			return
		}
	}
}

func (e *entries) follow(ctx context.Context) error {
	_, now, err := e.o.Authority.Head(ctx)
	if err != nil {
		return err
	}
	list, err := e.o.Trails.List(ctx, &controlv1.ListEntriesRequest{Environment: e.environment, PageSize: firstEntries}, nil)
	if err != nil {
		return err
	}
	for _, one := range list.GetEntries() {
		now = max(now, one.GetRevision())
	}
	if err := e.catchUp(ctx, list); err != nil {
		return err
	}
	e.wake()
	return e.o.Trails.Watch(ctx, &controlv1.WatchEntriesRequest{Environment: e.environment, FromRevision: now + 1}, nil,
		func(m *controlv1.WatchEntriesResponse) error {
			if m.GetEntry() != nil {
				if err := e.add(ctx, m.GetEntry()); err != nil {
					return err
				}
				e.wake()
			}
			return nil
		})
}

// catchUp adds what of a list, which is newest first, is newer than what is kept. Where the list
// does not reach back to that, what is between is missed.
func (e *entries) catchUp(ctx context.Context, list *controlv1.ListEntriesResponse) error {
	e.mu.Lock()
	newest, kept := int64(0), e.kept
	if n := len(kept); n > 0 {
		newest = kept[n-1].GetRevision()
	}
	n := slices.IndexFunc(list.GetEntries(), func(one *controlv1.AuditEntry) bool {
		return one.GetRevision() < newest || slices.ContainsFunc(kept, func(k keptEntry) bool { return sameEntry(k.AuditEntry, one) })
	})
	fresh := list.GetEntries()
	switch {
	case n >= 0:
		fresh = fresh[:n]
	case len(kept) > 0:
		e.kept = nil
		e.version++ // a gap, which counts as an entry that is not kept
	}
	e.mu.Unlock()
	for _, one := range slices.Backward(fresh) {
		if err := e.add(ctx, one); err != nil {
			return err
		}
	}
	return nil
}

func sameEntry(a, b *controlv1.AuditEntry) bool {
	return a.GetRevision() == b.GetRevision() && a.GetKind() == b.GetKind() && a.GetKey() == b.GetKey() && a.GetSequence() == b.GetSequence()
}

// add adds an entry.
func (e *entries) add(ctx context.Context, one *controlv1.AuditEntry) error {
	flag, err := e.o.Authority.EntryFlag(ctx, one)
	if err != nil {
		return err
	}
	one.Resource = nil
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kept) == entriesKept {
		e.kept = e.kept[1:] // streams may hold what was given to them: nothing is overwritten
	}
	e.kept = append(e.kept, keptEntry{one, flag})
	e.version++
	return nil
}
