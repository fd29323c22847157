package live

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/usage"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// factsAtOnce is how many flags' facts are read before streams see them.
	factsAtOnce = 1024
	// readTimeout bounds one look at the store.
	readTimeout = 10 * time.Second
)

// activities are those of the flags that there are, which bounds them. They are kept while
// nobody looks, so that only what changed meanwhile is read again.
type activities struct {
	*view
	// Of the goroutine that runs.
	facts map[string]known
	usage *usage.Usage
	read  time.Time // when usage was

	mu      sync.Mutex
	version int64
	byKey   map[string]*activity
}

// known is what was read of a flag at one of its revisions; nil facts: there are none.
type known struct {
	*controlplane.FlagFacts
	revision int64
}

type activity struct {
	version int64
	message *controlv1.FlagActivity
}

// since calls f with the activities of later versions, and returns the newest version.
func (a *activities) since(version int64, f func(*controlv1.FlagActivity)) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if version == a.version {
		return version
	}
	for _, one := range a.byKey {
		if one.version > version {
			f(one.message)
		}
	}
	return a.version
}

// run keeps them up to date.
func (a *activities) run(ctx context.Context) {
	if a.facts == nil {
		a.facts = make(map[string]known)
	}
	held, changes := a.replica.Subscribe()
	pending := a.missing(held)
	usageDue := time.NewTicker(a.o.UsageEvery)
	defer usageDue.Stop()
	if time.Since(a.read) >= a.o.UsageEvery {
		a.readUsage(ctx)
	}
	for {
		failed := !a.readFacts(ctx, pending)
		var retry <-chan time.Time
		if failed {
			retry = time.After(a.o.LookEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-retry:
		case <-usageDue.C:
			a.readUsage(ctx)
		case <-changes.Changed():
			for ok := true; ok; {
				_, _, ok = changes.Poll()
			}
			next := a.replica.Snapshot()
			a.follow(held, next, pending)
			held = next
		}
	}
}

// missing are the flags of a snapshot whose facts are not those of their revisions. What is of
// others is forgotten.
func (a *activities) missing(s *snapshot.Snapshot) map[string]int64 {
	pending, there := make(map[string]int64), make(map[string]bool)
	if s != nil {
		for item := range s.Items() {
			if item.Kind != syncv1.Kind_KIND_FLAG {
				continue
			}
			there[item.Key] = true
			if a.facts[item.Key].revision != item.ModRevision {
				pending[item.Key] = item.ModRevision
			}
		}
	}
	maps.DeleteFunc(a.facts, func(key string, _ known) bool { return !there[key] })
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.byKey, func(key string, _ *activity) bool { return !there[key] })
	return pending
}

// follow takes in which flags have changed.
func (a *activities) follow(from, to *snapshot.Snapshot, pending map[string]int64) {
	if from == nil || to == nil || from.Cursor().Epoch != to.Cursor().Epoch {
		clear(pending)
		maps.Copy(pending, a.missing(to))
		return
	}
	d := snapshot.Diff(from, to)
	for _, item := range d.Puts {
		if item.Kind == syncv1.Kind_KIND_FLAG {
			pending[item.Key] = item.ModRevision
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, gone := range d.Deletes {
		if gone.Kind == syncv1.Kind_KIND_FLAG {
			delete(pending, gone.Key)
			delete(a.facts, gone.Key)
			delete(a.byKey, gone.Key)
		}
	}
}

// readFacts reads those of the pending flags, and takes them from these; false: some could not be.
func (a *activities) readFacts(ctx context.Context, pending map[string]int64) bool {
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(pending)), factsAtOnce) {
		reading, cancel := context.WithTimeout(ctx, readTimeout)
		facts, err := a.o.Authority.ReadFlagFacts(reading, a.environment, keys)
		cancel()
		if err != nil {
			a.failed(ctx, err, "who changed flags last cannot be read; trying again")
			return false
		}
		for _, key := range keys {
			a.facts[key] = known{facts[key], pending[key]}
			delete(pending, key)
		}
		a.show(ctx, keys)
	}
	return true
}

func (a *activities) readUsage(ctx context.Context) {
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	u, err := usage.Read(reading, a.o.Store, a.environment)
	if err != nil {
		a.failed(ctx, err, "which flags are evaluated cannot be read; trying again")
		return
	}
	a.usage, a.read = u, time.Now()
	a.show(ctx, slices.Collect(maps.Keys(a.facts)))
}

func (a *activities) failed(ctx context.Context, err error, what string) {
	if ctx.Err() == nil {
		a.o.Logger.Warn().Err(err).Str("environment", a.environment).Msg(what)
	}
}

// show makes what is known of flags what streams see.
func (a *activities) show(ctx context.Context, keys []string) {
	now := time.Now()
	made := make([]*controlv1.FlagActivity, len(keys))
	for i, key := range keys {
		made[i] = a.message(ctx, key, now)
	}
	a.mu.Lock()
	next := a.version + 1
	for _, m := range made {
		if was := a.byKey[m.GetFlagKey()]; was == nil || !proto.Equal(was.message, m) {
			a.byKey[m.GetFlagKey()], a.version = &activity{next, m}, next
		}
	}
	isNew := a.version == next
	a.mu.Unlock()
	if isNew {
		a.wake()
	}
}

func (a *activities) message(ctx context.Context, key string, now time.Time) *controlv1.FlagActivity {
	m := &controlv1.FlagActivity{FlagKey: key}
	if f := a.facts[key].FlagFacts; f != nil {
		m.UpdatedAt, m.UpdatedBy, m.UpdatedAction = timestamppb.New(f.Updated), f.Actor, f.Action
		m.UpdatedReason, m.UpdatedRevision = f.Reason, f.Revision
		if !f.Created.IsZero() {
			m.CreatedAt = timestamppb.New(f.Created)
		}
		if a.usage != nil {
			var err error
			if m.Stale, err = a.o.Authority.StaleKinds(ctx, a.environment, f, a.usage); err != nil {
				a.failed(ctx, err, "whether a flag is stale cannot be found out; trying again")
			}
		}
	}
	if a.usage == nil {
		return m
	}
	if f := a.usage.Flag(key); f != nil {
		m.LastEvaluatedAt = timestamppb.New(f.Last())
		byVariant, from := f.Evaluations(now)
		if len(byVariant) > 0 {
			m.CountedFrom = timestamppb.New(from)
		}
		for _, name := range slices.Sorted(maps.Keys(byVariant)) {
			m.Evaluations = append(m.Evaluations, &controlv1.VariantEvaluations{Variant: name, Counts: byVariant[name]})
		}
	}
	return m
}
