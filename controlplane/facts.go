package controlplane

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/usage"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// FlagFacts are what the audit trail says of a flag that is there: who changed it last, and when
// it was made. They hold for one version of the flag.
type FlagFacts struct {
	// Revision of the newest change.
	Revision         int64
	Created, Updated time.Time
	Actor, Reason    string
	Action           controlv1.Action

	flag     *flagv1.Flag // without its variants and rules
	same     constant     // if constant
	constant bool
	// since when it serves everyone the same; zero: not looked for yet.
	since time.Time
}

// ReadFlagFacts reads the facts of flags, in about a read of the store for 100 of them. One that
// is not there, or whose entry cannot be decoded, is left out.
func (a *Authority) ReadFlagFacts(ctx context.Context, environment string, keys []string) (map[string]*FlagFacts, error) {
	facts := make(map[string]*FlagFacts, len(keys))
	var changed []string // since they were made
	for len(keys) > 0 {
		n := min(len(keys), store.MaxTxnOps)
		ranges := make([]store.Range, n)
		for i, key := range keys[:n] {
			ranges[i] = flagNamed(environment, key).newestEntry()
		}
		results, _, err := a.store.Read(ctx, ranges...)
		if err != nil {
			return nil, unavailable(err)
		}
		for i, key := range keys[:n] {
			f := a.newFacts(results[i])
			if f == nil {
				continue
			}
			if facts[key] = f; f.Created.IsZero() {
				changed = append(changed, key)
			}
		}
		keys = keys[n:]
	}
	return facts, a.readCreated(ctx, environment, changed, facts)
}

func flagNamed(environment, key string) resource {
	return resource{environment: environment, kind: flagKind, key: key}
}

// newFacts are those of a newest entry; nil: there is no such flag.
func (a *Authority) newFacts(newest store.Result) *FlagFacts {
	if len(newest.KVs) == 0 {
		return nil
	}
	e, err := decodeEntry(newest.KVs[0])
	if err != nil {
		a.logger.Error().Err(err).Str("key", newest.KVs[0].Key).Msg("an audit entry cannot be decoded: who changed this flag last is not shown")
		return nil
	}
	if e.GetFlag() == nil {
		return nil
	}
	f := &FlagFacts{
		Revision: e.GetRevision(), Updated: e.GetTime().AsTime(), Actor: e.GetActor(), Reason: e.GetReason(), Action: e.GetAction(),
		flag: &flagv1.Flag{Key: e.GetKey(), Kind: e.GetFlag().GetKind(), ExpectedLifetime: e.GetFlag().GetExpectedLifetime()},
	}
	f.same, f.constant = constantOutcome(e.GetFlag())
	if e.GetSequence() == 1 {
		f.Created = f.Updated
	}
	return f
}

// readCreated finds out when flags were made: with the first entry that there is, but for one
// that was deleted in between.
func (a *Authority) readCreated(ctx context.Context, environment string, keys []string, facts map[string]*FlagFacts) error {
	for len(keys) > 0 {
		n := min(len(keys), store.MaxTxnOps/2)
		ranges := make([]store.Range, 0, 2*n)
		for _, key := range keys[:n] {
			r := flagNamed(environment, key)
			ranges = append(ranges, store.Key(r.stateKey()), store.Key(r.auditKey(1)))
		}
		results, _, err := a.store.Read(ctx, ranges...)
		if err != nil {
			return unavailable(err)
		}
		for i, key := range keys[:n] {
			state, first := results[2*i].KVs, results[2*i+1].KVs
			if len(state) == 0 || len(first) == 0 {
				continue
			}
			if first[0].ModRevision != state[0].CreateRevision {
				if facts[key].Created, err = a.createdAgain(ctx, flagNamed(environment, key), state[0].CreateRevision); err != nil {
					return err
				}
				continue
			}
			if e, err := decodeEntry(first[0]); err == nil {
				facts[key].Created = e.GetTime().AsTime()
			}
		}
		keys = keys[n:]
	}
	return nil
}

// createdAgain is when a flag was made that had been deleted before; zero: it is not known.
func (a *Authority) createdAgain(ctx context.Context, r resource, revision int64) (time.Time, error) {
	newest, err := a.newestSequence(ctx, r)
	if err != nil || newest == 0 {
		return time.Time{}, err
	}
	e, err := a.entryAt(ctx, r, revision, newest)
	if err != nil || e == nil {
		return time.Time{}, err
	}
	return e.GetTime().AsTime(), nil
}

// StaleKinds tells why a flag is stale, by the standards of ListStaleFlags. What that takes of
// the trail is read once, and kept in the facts; few flags need it.
func (a *Authority) StaleKinds(ctx context.Context, environment string, f *FlagFacts, u *usage.Usage) ([]controlv1.StaleReason_Kind, error) {
	s := &staleness{Authority: a, environment: environment, unusedFor: defaultUnusedFor, constant: defaultConstantFor, now: a.now(), usage: u}
	c := &candidate{resource: flagNamed(environment, f.flag.GetKey()), flag: f.flag, created: f.Created}
	if c.created.IsZero() {
		c.created = f.Updated // at least as old
	}
	var kinds []controlv1.StaleReason_Kind
	for _, look := range []func(context.Context, *candidate) (*controlv1.StaleReason, error){
		s.unused,
		func(ctx context.Context, c *candidate) (*controlv1.StaleReason, error) {
			return s.constantBy(ctx, c, f)
		},
		s.expired,
	} {
		reason, err := look(ctx, c)
		if err != nil {
			return nil, err
		}
		if reason != nil {
			kinds = append(kinds, reason.GetKind())
		}
	}
	return kinds, nil
}

// constantBy is constantly, which reads the trail only where the facts do not settle it: of a
// flag that is old enough, and was changed lately.
func (s *staleness) constantBy(ctx context.Context, c *candidate, f *FlagFacts) (*controlv1.StaleReason, error) {
	switch k := c.flag.GetKind(); {
	case !f.constant, k == flagv1.FlagKind_FLAG_KIND_OPERATIONAL, k == flagv1.FlagKind_FLAG_KIND_PERMISSION:
		return nil, nil
	case s.now.Sub(f.Updated) >= s.constant:
		return s.reason(controlv1.StaleReason_KIND_CONSTANT, f.Updated, s.constant, f.same.words()+" for %s"), nil
	case s.now.Sub(c.created) < s.constant:
		return nil, nil
	}
	if f.since.IsZero() {
		since, err := s.sameSince(ctx, c, f.same)
		if err != nil || since.IsZero() {
			return nil, err
		}
		f.since = since
	}
	return s.reason(controlv1.StaleReason_KIND_CONSTANT, f.since, s.constant, f.same.words()+" for %s"), nil
}
