package audit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	// readAhead is how many entries are read at once, sealsAhead how many seals.
	readAhead  = 64
	sealsAhead = 8
	// askAgain is how often a watch is asked how far it is.
	askAgain = 200 * time.Millisecond
)

func hashOf(stored []byte) []byte {
	sum := sha256.Sum256(stored)
	return sum[:]
}

// decode reads an entry, which is stored without its revision.
func decode(stored []byte, revision int64) (*controlv1.AuditEntry, error) {
	e := new(controlv1.AuditEntry)
	if err := proto.Unmarshal(stored, e); err != nil {
		return nil, err
	}
	e.Revision = revision
	return e, nil
}

// lineOf is what a seal says of an entry. One that cannot be decoded is sealed all the same.
func lineOf(kv store.KV, root string) *controlv1.SealedEntry {
	line := &controlv1.SealedEntry{Key: strings.TrimPrefix(kv.Key, root), Revision: kv.ModRevision, Hash: hashOf(kv.Value)}
	if e, err := decode(kv.Value, kv.ModRevision); err == nil {
		line.Time, line.Actor, line.Action = e.GetTime(), e.GetActor(), e.GetAction()
	}
	return line
}

func byRevision(a, b *controlv1.SealedEntry) int {
	return cmp.Or(cmp.Compare(a.GetRevision(), b.GetRevision()), cmp.Compare(a.GetKey(), b.GetKey()))
}

// scan reads everything below a prefix, and returns the revision of the store when it began.
// Whatever was written by then is there, as nothing is ever deleted.
func scan(ctx context.Context, s store.Store, prefix string, take func(store.KV) error) (int64, error) {
	pages, began := store.NewPages(s, prefix, readAhead), int64(0)
	for {
		kvs, revision, err := pages.Next(ctx)
		if err != nil {
			return 0, err
		}
		if began = cmp.Or(began, revision); len(kvs) == 0 {
			return began, nil
		}
		for _, kv := range kvs {
			if err := take(kv); err != nil {
				return 0, err
			}
		}
	}
}

// after returns the lines of a trail's entries of later revisions, in their order, and the
// revision up to which these are all.
func after(ctx context.Context, s store.Store, environment string, revision int64) ([]*controlv1.SealedEntry, int64, error) {
	_, now, err := s.Read(ctx, store.Key(MarkKey))
	if err != nil || now <= revision {
		return nil, now, err
	}
	lines, err := watched(ctx, s, environment, revision, now)
	if errors.Is(err, store.ErrCompacted) {
		lines = nil
		now, err = scan(ctx, s, trailRoot(environment), func(kv store.KV) error {
			if kv.ModRevision > revision {
				lines = append(lines, lineOf(kv, trailRoot(environment)))
			}
			return nil
		})
		lines = slices.DeleteFunc(lines, func(l *controlv1.SealedEntry) bool { return l.GetRevision() > now })
	}
	slices.SortFunc(lines, byRevision)
	return lines, now, err
}

// watched has the store tell what was written between two revisions.
func watched(ctx context.Context, s store.Store, environment string, revision, now int64) ([]*controlv1.SealedEntry, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := s.Watch(ctx, trailRoot(environment), revision+1)
	if err != nil {
		return nil, err
	}
	defer watch.Close()
	ask := time.NewTicker(askAgain)
	defer ask.Stop()
	var lines []*controlv1.SealedEntry
	for reached := revision; reached < now; {
		if err := watch.RequestProgress(ctx); err != nil {
			return nil, err
		}
		select {
		case batch, open := <-watch.Batches():
			if !open {
				return nil, cmp.Or(watch.Err(), ctx.Err(), store.ErrUnavailable)
			}
			for _, event := range batch.Events {
				if !event.Deleted && event.KV.ModRevision <= now {
					lines = append(lines, lineOf(event.KV, trailRoot(environment)))
				}
			}
			reached = max(reached, batch.Revision)
		case <-ask.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return lines, nil
}

// sealed is a seal and its hash.
type sealed struct {
	*controlv1.Seal
	hash []byte
}

func decodeSeal(stored []byte) (sealed, error) {
	seal := new(controlv1.Seal)
	if err := proto.Unmarshal(stored, seal); err != nil {
		return sealed{}, err
	}
	return sealed{Seal: seal, hash: hashOf(stored)}, nil
}

// newest reads the newest seal of a trail; one of number 0: there is none.
func newest(ctx context.Context, s store.Store, environment string) (sealed, error) {
	r := store.Prefix(sealPrefix(environment))
	r.Limit = 1
	results, _, err := s.Read(ctx, r)
	if err != nil || len(results[0].KVs) == 0 {
		return sealed{Seal: &controlv1.Seal{Environment: environment}}, err
	}
	seal, err := decodeSeal(results[0].KVs[0].Value)
	if err != nil {
		return sealed{}, fmt.Errorf("%w: seal %s: %w", controlplane.ErrCorrupt, results[0].KVs[0].Key, err)
	}
	return seal, nil
}

// readSeals reads the seals from a number on, in the direction of step (1 or -1), up to and with
// the last. The error at a missing one comes with those before it.
func readSeals(ctx context.Context, s store.Store, environment string, from, last, step int64) ([]store.KV, error) {
	var ranges []store.Range
	for n := from; len(ranges) < sealsAhead && n > 0 && (last-n)*step >= 0; n += step {
		ranges = append(ranges, store.Key(sealKey(environment, n)))
	}
	if len(ranges) == 0 {
		return nil, nil
	}
	results, _, err := s.Read(ctx, ranges...)
	if err != nil {
		return nil, err
	}
	kvs := make([]store.KV, 0, len(results))
	for i, result := range results {
		if len(result.KVs) == 0 {
			return kvs, fmt.Errorf("%w: seal %d of the audit trail of %s is missing", controlplane.ErrCorrupt, from+int64(i)*step, environment)
		}
		kvs = append(kvs, result.KVs[0])
	}
	return kvs, nil
}

func (s sealed) head() *controlv1.TrailHead {
	if s.GetNumber() == 0 {
		return nil
	}
	return &controlv1.TrailHead{
		Environment: s.GetEnvironment(), Number: s.GetNumber(), Hash: s.hash, ThroughRevision: s.GetThroughRevision(),
		Entries: s.GetTotal(), Epoch: s.GetEpoch(), Time: s.GetTime(),
	}
}
