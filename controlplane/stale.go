package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/usage"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

const (
	day = 24 * time.Hour
	// What makes a flag stale unless a request says otherwise.
	defaultUnusedFor   = 14 * day
	defaultConstantFor = 30 * day
	// staleHistory is how many changes of a flag are looked at to find out since when it
	// serves everyone the same.
	staleHistory = 200
)

// staleness finds flags that may have had their time.
type staleness struct {
	*Authority
	environment         string
	unusedFor, constant time.Duration
	now                 time.Time
	usage               *usage.Usage
}

// candidate is a flag that may be stale.
type candidate struct {
	resource
	flag    *flagv1.Flag
	kv      store.KV
	created time.Time // zero: not known yet
}

// ListStaleFlags lists the flags that may have had their time, and why.
func (a *Authority) ListStaleFlags(ctx context.Context, r *controlv1.ListStaleFlagsRequest) (*controlv1.ListStaleFlagsResponse, error) {
	s := &staleness{Authority: a, environment: r.GetEnvironment(), now: a.now()}
	var check checker
	check.environment("environment", r.GetEnvironment())
	if !keyPrefixPattern.MatchString(r.GetKeyPrefix()) {
		check.add("key_prefix", "must be the beginning of a key, which %s; got %q", keyRule, truncate(r.GetKeyPrefix(), maxEcho))
	}
	s.unusedFor = check.positive("unused_for", r.GetUnusedFor(), defaultUnusedFor)
	s.constant = check.positive("constant_for", r.GetConstantFor(), defaultConstantFor)
	if err := check.err(); err != nil {
		return nil, err
	}
	if err := a.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	var err error
	if s.usage, err = usage.Read(ctx, a.store, r.GetEnvironment()); err != nil {
		return nil, usageError(err)
	}
	resp := &controlv1.ListStaleFlagsResponse{}
	if !s.usage.Since.IsZero() {
		resp.CountedSince = timestamppb.New(s.usage.Since)
	}
	resp.Revision, err = s.each(ctx, r.GetKeyPrefix(), func(c *candidate) error {
		reasons, err := s.reasons(ctx, c)
		if err != nil || len(reasons) == 0 {
			return err
		}
		if err := s.find(ctx, c); err != nil {
			return err
		}
		resp.Flags = append(resp.Flags, s.stale(c, reasons))
		return nil
	})
	return resp, err
}

// positive reads a duration that must be more than 0; unset: the standard.
func (c *checker) positive(field string, d *durationpb.Duration, standard time.Duration) time.Duration {
	switch {
	case d == nil:
		return standard
	case !d.IsValid() || d.AsDuration() <= 0:
		c.add(field, "must be more than 0")
	}
	return d.AsDuration()
}

func usageError(err error) error {
	if errors.Is(err, usage.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return unavailable(err)
}

// each calls f with every flag, in the order of the keys, as of one revision.
func (s *staleness) each(ctx context.Context, prefix string, f func(*candidate) error) (revision int64, err error) {
	p := page{keys: store.Prefix(statePrefix(s.environment, flagKind) + prefix), size: maxListPage}
	for {
		kvs, at, more, err := s.readPage(ctx, p)
		if err != nil {
			return 0, err
		}
		for _, kv := range kvs {
			flag, ok := flagKind.version(store.Result{KVs: []store.KV{kv}}).message.(*flagv1.Flag)
			if !ok {
				continue // which the list of flags logs
			}
			c := &candidate{resource: resource{environment: s.environment, kind: flagKind, key: flag.GetKey()}, flag: flag, kv: kv}
			if err := f(c); err != nil {
				return 0, err
			}
		}
		if p.revision = at; !more {
			return at, nil
		}
		p.keys.Key = kvs[len(kvs)-1].Key + "\x00"
	}
}

// reasons tells why a flag is stale, if it is.
func (s *staleness) reasons(ctx context.Context, c *candidate) ([]*controlv1.StaleReason, error) {
	var reasons []*controlv1.StaleReason
	for _, look := range []func(context.Context, *candidate) (*controlv1.StaleReason, error){s.unused, s.constantly, s.expired} {
		reason, err := look(ctx, c)
		if err != nil {
			return nil, err
		}
		if reason != nil {
			reasons = append(reasons, reason)
		}
	}
	return reasons, nil
}

// unused looks at when the flag was evaluated.
func (s *staleness) unused(ctx context.Context, c *candidate) (*controlv1.StaleReason, error) {
	if s.usage.Since.IsZero() {
		return nil, nil
	}
	if u := s.usage.Flag(c.key); u != nil {
		return s.reason(controlv1.StaleReason_KIND_UNUSED, u.Last(), s.unusedFor, "was evaluated last %s ago"), nil
	}
	if s.now.Sub(s.usage.Since) < s.unusedFor {
		return nil, nil
	}
	if err := s.find(ctx, c); err != nil {
		return nil, err
	}
	if c.created.After(s.usage.Since) {
		return s.reason(controlv1.StaleReason_KIND_UNUSED, c.created, s.unusedFor, "was never evaluated since it was made %s ago"), nil
	}
	return s.reason(controlv1.StaleReason_KIND_UNUSED, s.usage.Since, s.unusedFor, "was not evaluated since counting began %s ago"), nil
}

// constantly looks at since when the flag serves everyone the same.
func (s *staleness) constantly(ctx context.Context, c *candidate) (*controlv1.StaleReason, error) {
	if k := c.flag.GetKind(); k == flagv1.FlagKind_FLAG_KIND_OPERATIONAL || k == flagv1.FlagKind_FLAG_KIND_PERMISSION {
		return nil, nil // which may for years
	}
	same, ok := constantOutcome(c.flag)
	if !ok {
		return nil, nil
	}
	since, err := s.sameSince(ctx, c, same)
	if err != nil || since.IsZero() {
		return nil, err
	}
	return s.reason(controlv1.StaleReason_KIND_CONSTANT, since, s.constant, same.words()+" for %s"), nil
}

// sameSince finds the oldest of the changes, newest first, after which the flag served
// everyone the same.
func (s *staleness) sameSince(ctx context.Context, c *candidate, same constant) (time.Time, error) {
	var since time.Time
	p := page{keys: store.Prefix(c.auditPrefix()), size: defaultHistoryPage}
	for seen := 0; seen < staleHistory; {
		kvs, _, more, err := s.readPage(ctx, p)
		if err != nil {
			return time.Time{}, err
		}
		for _, kv := range kvs {
			entry, err := decodeEntry(kv)
			if err != nil {
				return time.Time{}, err
			}
			then, ok := constantOutcome(entry.GetFlag())
			if entry.GetFlag() == nil || !ok || then != same {
				return since, nil
			}
			since = entry.GetTime().AsTime()
		}
		if !more {
			return since, nil
		}
		seen += len(kvs)
		p.keys.Key = kvs[len(kvs)-1].Key + "\x00"
	}
	return since, nil
}

// expired looks at the flag's age.
func (s *staleness) expired(ctx context.Context, c *candidate) (*controlv1.StaleReason, error) {
	if c.flag.GetExpectedLifetime() == nil {
		return nil, nil
	}
	if err := s.find(ctx, c); err != nil || c.created.IsZero() {
		return nil, err
	}
	expected := c.flag.GetExpectedLifetime().AsDuration()
	end := c.created.Add(expected)
	if s.now.Before(end) {
		return nil, nil
	}
	return &controlv1.StaleReason{
		Kind: controlv1.StaleReason_KIND_EXPIRED, Since: timestamppb.New(end),
		Text: fmt.Sprintf("is %s old, and was expected to be there for %s", inDays(s.now.Sub(c.created)), inDays(expected)),
	}, nil
}

// reason is one that holds if it began long enough ago.
func (s *staleness) reason(kind controlv1.StaleReason_Kind, since time.Time, enough time.Duration, format string) *controlv1.StaleReason {
	age := s.now.Sub(since)
	if age < enough {
		return nil
	}
	return &controlv1.StaleReason{Kind: kind, Text: fmt.Sprintf(format, inDays(age)), Since: timestamppb.New(since)}
}

// find finds out when a flag was made: the time of the change that made it.
func (s *staleness) find(ctx context.Context, c *candidate) error {
	if !c.created.IsZero() {
		return nil
	}
	newest, err := s.newestSequence(ctx, c.resource)
	if err != nil || newest == 0 {
		return err
	}
	entry, err := s.entryAt(ctx, c.resource, c.kv.CreateRevision, newest)
	if err == nil && entry != nil {
		c.created = entry.GetTime().AsTime()
	}
	return err
}

func (s *staleness) stale(c *candidate, reasons []*controlv1.StaleReason) *controlv1.StaleFlag {
	m := &controlv1.StaleFlag{
		FlagKey: c.key, Owner: c.flag.GetOwner(), Kind: c.flag.GetKind(), Revision: c.kv.ModRevision,
		Reasons: reasons, Usage: usageProto(s.usage.Flag(c.key), s.now),
	}
	if !c.created.IsZero() {
		m.CreatedAt = timestamppb.New(c.created)
	}
	return m
}
