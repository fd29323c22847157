package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	// sealLength is how many entries a seal has, about: those of one revision stay together.
	sealLength = 256
	// sealBytes is how large a transaction of seals may be, about, before the rest goes to another
	// one; opsAtOnce how many keys it may have.
	sealBytes = 256 << 10
	opsAtOnce = 64
	// announceBytes and announceOps bound what has people told of one seal, which is not worth more.
	announceBytes = 512 << 10
	announceOps   = 32
	// markLag is how many revisions the mark may be behind while there is nothing to seal.
	markLag = 1000
	// retryAfter is the wait after the store failed.
	retryAfter = time.Second
)

// Lead seals all trails until ctx ends or the term is over, which is leader.ErrDeposed. Where the
// store fails it begins again.
func (t *Trails) Lead(ctx context.Context, term leader.Term) error {
	for {
		s := &sealer{Trails: t, fence: term.Fence(), chains: make(map[string]*chain)}
		err := s.run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // to end with the context is no failure
		case errors.Is(err, leader.ErrDeposed):
			return err
		}
		t.o.Logger.Warn().Err(err).Msg("audit trails cannot be sealed; trying again")
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return nil
		}
	}
}

// sealer seals from what the store had when it began.
type sealer struct {
	*Trails
	fence  store.Compare
	chains map[string]*chain
	// reached is the revision up to which all entries were seen, marked the one that is stored.
	reached, marked int64
}

// chain is one trail.
type chain struct {
	sealed                           // the newest
	pending []*controlv1.SealedEntry // not sealed yet
}

func (s *sealer) run(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := s.o.Store.Watch(ctx, controlplane.AuditRoot, s.reached+1)
	if err != nil {
		return err
	}
	defer watch.Close()
	if err := s.seal(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(s.o.Interval)
	defer tick.Stop()
	for {
		select {
		case batch, open := <-watch.Batches():
			if !open {
				return fmt.Errorf("the watch ended: %w", watch.Err())
			}
			if err := s.take(ctx, batch); err != nil {
				return err
			}
		case <-tick.C:
			if err := s.seal(ctx); err != nil {
				return err
			}
			if err := watch.RequestProgress(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// load finds out what is sealed, and what is not. From the mark on the store still has it all,
// or else whole trails are read.
func (s *sealer) load(ctx context.Context) error {
	results, now, err := s.o.Store.Read(ctx, store.Key(MarkKey))
	if err != nil {
		return err
	}
	for _, kv := range results[0].KVs {
		if n, err := strconv.ParseInt(string(kv.Value), 10, 64); err == nil && n <= now {
			s.marked = n
		}
	}
	s.reached = s.marked
	if s.marked > 0 && s.watchable(ctx) {
		return nil
	}
	environments, err := s.trails(ctx)
	if err != nil {
		return err
	}
	s.reached = now
	for _, environment := range environments {
		c, err := s.chain(ctx, environment)
		if err != nil {
			return err
		}
		root := trailRoot(environment)
		_, err = scan(ctx, s.o.Store, root, func(kv store.KV) error {
			if kv.ModRevision > c.GetThroughRevision() && kv.ModRevision <= now {
				c.pending = append(c.pending, lineOf(kv, root))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// watchable tells whether the store still has what was written since the mark.
func (s *sealer) watchable(ctx context.Context) bool {
	_, err := s.o.Store.ReadAt(ctx, s.marked, store.Key(MarkKey))
	return err == nil
}

// trails lists those that there are.
func (s *sealer) trails(ctx context.Context) ([]string, error) {
	var found []string
	r := store.Prefix(controlplane.AuditRoot)
	r.Limit = 1
	for {
		results, _, err := s.o.Store.Read(ctx, r)
		if err != nil || len(results[0].KVs) == 0 {
			return found, err
		}
		environment, _ := trailOf(results[0].KVs[0].Key)
		found, r.Key = append(found, environment), store.PrefixEnd(trailRoot(environment))
	}
}

func trailOf(key string) (environment, rest string) {
	environment, rest, _ = strings.Cut(strings.TrimPrefix(key, controlplane.AuditRoot), "/")
	return environment, rest
}

// chain is that of a trail, read when it is first needed.
func (s *sealer) chain(ctx context.Context, environment string) (*chain, error) {
	if c := s.chains[environment]; c != nil {
		return c, nil
	}
	last, err := newest(ctx, s.o.Store, environment)
	if err != nil {
		return nil, err
	}
	c := &chain{sealed: last}
	s.chains[environment] = c
	return c, nil
}

// take takes in what was written, and seals what is much.
func (s *sealer) take(ctx context.Context, batch store.Batch) error {
	full := false
	for _, event := range batch.Events {
		kv := event.KV
		if event.Deleted || kv.CreateRevision != kv.ModRevision {
			s.altered.Inc()
			s.o.Logger.Error().Str("key", kv.Key).Int64("revision", kv.ModRevision).Bool("deleted", event.Deleted).
				Msg("an audit entry was changed after it was written, which tidegate never does: verify the trail")
			continue
		}
		environment, _ := trailOf(kv.Key)
		c, err := s.chain(ctx, environment)
		if err != nil {
			return err
		}
		if kv.ModRevision > c.GetThroughRevision() {
			c.pending = append(c.pending, lineOf(kv, trailRoot(environment)))
		}
		full = full || len(c.pending) >= sealLength
	}
	s.reached = max(s.reached, batch.Revision)
	if full {
		return s.seal(ctx)
	}
	return nil
}

// seal seals all that was seen, and then moves the mark.
func (s *sealer) seal(ctx context.Context) error {
	for {
		ops, more, err := s.nextSeals(ctx)
		if err != nil {
			return err
		}
		if !more {
			if len(ops) == 0 && s.reached-s.marked < markLag {
				return nil
			}
			ops = append(ops, store.Put(MarkKey, []byte(strconv.FormatInt(s.reached, 10))))
		}
		t := store.Txn{Compares: []store.Compare{s.fence}, Ops: ops}
		for _, op := range ops {
			if strings.HasPrefix(op.Key, SealRoot) {
				t.Compares = append(t.Compares, store.Absent(op.Key))
			}
		}
		out, err := s.o.Store.Commit(ctx, t)
		switch {
		case err != nil:
			return err
		case !out.Committed:
			return s.refused(ctx)
		}
		s.seals.Add(float64(len(t.Compares) - 1))
		if !more {
			s.marked = s.reached
			return nil
		}
	}
}

// refused tells why a seal was not written: the term is over, or an earlier attempt had
// succeeded, which is found by beginning again.
func (s *sealer) refused(ctx context.Context) error {
	out, err := s.o.Store.Commit(ctx, store.Txn{Compares: []store.Compare{s.fence}})
	if err == nil && !out.Committed {
		return leader.ErrDeposed
	}
	return errors.Join(errors.New("a seal of that number is there already"), err)
}

// nextSeals makes seals of what is pending; more: not of all of it.
func (s *sealer) nextSeals(ctx context.Context) (ops []store.Op, more bool, err error) {
	size := 0
	for _, environment := range slices.Sorted(maps.Keys(s.chains)) {
		c := s.chains[environment]
		slices.SortFunc(c.pending, byRevision) // those of one revision come as they were written
		for len(c.pending) > 0 {
			if size > sealBytes || len(ops) > opsAtOnce {
				return ops, true, nil
			}
			made, err := s.nextSeal(ctx, c)
			if err != nil {
				return nil, false, err
			}
			ops, size = append(ops, made...), size+sizeOf(made)
		}
	}
	return ops, false, nil
}

// nextSeal makes one seal, and what has people told of it.
func (s *sealer) nextSeal(ctx context.Context, c *chain) ([]store.Op, error) {
	epoch, _, err := s.o.Head(ctx)
	if err != nil {
		return nil, err
	}
	seal := c.next(s.reached)
	seal.Epoch, seal.Time = epoch.Proto(), timestamppb.New(s.o.Now())
	stored, err := proto.MarshalOptions{Deterministic: true}.Marshal(seal)
	if err != nil {
		return nil, err
	}
	c.sealed = sealed{Seal: seal, hash: hashOf(stored)}
	put := store.Put(sealKey(seal.GetEnvironment(), seal.GetNumber()), stored)
	return append(s.announced(seal, c.hash), put), nil
}

// announced is what has people told of a seal.
func (s *sealer) announced(seal *controlv1.Seal, hash []byte) []store.Op {
	if s.o.Announce == nil {
		return nil
	}
	told := s.o.Announce(seal, hash)
	if sizeOf(told) > announceBytes || len(told) > announceOps {
		s.o.Logger.Error().Str("environment", seal.GetEnvironment()).Int64("seal", seal.GetNumber()).
			Msg("too many targets are to be told of the audit trail: nobody is told of this seal")
		return nil
	}
	return told
}

func sizeOf(ops []store.Op) (size int) {
	for _, op := range ops {
		size += len(op.Key) + len(op.Value)
	}
	return size
}

// next takes the next seal's entries off what is pending.
func (c *chain) next(reached int64) *controlv1.Seal {
	n := min(len(c.pending), sealLength)
	for n < len(c.pending) && c.pending[n].GetRevision() == c.pending[n-1].GetRevision() {
		n++
	}
	seal := &controlv1.Seal{
		Environment: c.GetEnvironment(), Number: c.GetNumber() + 1, PreviousHash: c.hash, ThroughRevision: reached,
		Total: c.GetTotal() + int64(n), Latest: c.GetLatest(), Entries: c.pending[:n:n],
	}
	if n < len(c.pending) {
		seal.ThroughRevision = c.pending[n-1].GetRevision()
	}
	for _, line := range seal.GetEntries() {
		if at := line.GetTime(); at != nil && (seal.GetLatest() == nil || at.AsTime().After(seal.GetLatest().AsTime())) {
			seal.Latest = at
		}
	}
	c.pending = c.pending[n:]
	return seal
}
