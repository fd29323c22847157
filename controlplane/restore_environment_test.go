package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func (f *rolling) restoreTo(r *controlv1.RestoreEnvironmentRequest) (*controlv1.RestoreEnvironmentResponse, error) {
	r.Environment = production
	if r.GetReason() == "" && !r.GetValidateOnly() {
		r.Reason = "back"
	}
	return NewRestorer(f.Rollouts).RestoreEnvironment(f.ctx, alice, r)
}

func (f *rolling) mustRestore(r *controlv1.RestoreEnvironmentRequest) *controlv1.RestoreEnvironmentResponse {
	f.t.Helper()
	resp, err := f.restoreTo(r)
	if err != nil {
		f.t.Fatalf("RestoreEnvironment(%v): %v", r, err)
	}
	return resp
}

// stored reads the bytes of all flags and segments as they are, or were, in the store itself.
func (f *rolling) stored(s store.Store, revision int64) (map[string][]byte, []byte) {
	f.t.Helper()
	held, digest := make(map[string][]byte), sha256.New()
	for _, k := range []*kind{segmentKind, flagKind} {
		prefix := statePrefix(production, k)
		found, err := s.ReadAt(f.ctx, revision, store.Prefix(prefix))
		if err != nil {
			f.t.Fatal(err)
		}
		for _, kv := range found.KVs {
			held[kv.Key] = kv.Value
			addContent(digest, k, kv.Key[len(prefix):], kv.Value)
		}
	}
	return held, digest.Sum(nil)
}

func (f *rolling) now(s store.Store) int64 {
	f.t.Helper()
	_, revision, err := s.Read(f.ctx, store.Key(epochKey))
	if err != nil {
		f.t.Fatal(err)
	}
	return revision
}

// checkHolds makes sure that all references hold in what the store has at a revision.
func (f *rolling) checkHolds(s store.Store, revision int64) {
	f.t.Helper()
	held, _ := f.stored(s, revision)
	c := content{flagKind: {}, segmentKind: {}}
	for key, data := range held {
		r, _ := parseStateKey(key)
		m, err := r.kind.decode(data)
		if err != nil {
			f.t.Fatal(err)
		}
		c[r.kind][r.key] = m
	}
	if err := c.check(f.t); err != nil {
		f.t.Errorf("at revision %d: %v", revision, err)
	}
}

// TestRestoreAnyRevision: eight writers on two servers make 10,000 changes of all kinds. Every
// history is a chain. Then the environment is restored to 20 revisions, in any order, that the
// store has compacted; each time it is what it was, and references hold after each transaction.
func TestRestoreAnyRevision(t *testing.T) {
	const writers, wanted, restores = 8, 10_000, 20
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	servers := []*rolling{newRolling(runOn(t, s)), newRolling(runOn(t, s))}
	first := servers[0].now(s)
	var made atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			f, r := servers[w%2], rand.New(rand.NewPCG(uint64(w), 7))
			for made.Load() < wanted && !t.Failed() {
				changed, err := mixedWrite(f, r)
				tolerateMixed(t, err)
				if err == nil && changed {
					made.Add(1)
				}
			}
		})
	}
	wg.Wait()
	f := servers[0]
	entries := checkAllChains(t, f, s)
	if int64(entries) < made.Load() {
		t.Fatalf("%d changes were acknowledged, the trail has %d entries", made.Load(), entries)
	}
	last := f.now(s)
	r := rand.New(rand.NewPCG(3, 4))
	type past struct {
		revision int64
		held     map[string][]byte
		digest   []byte
	}
	var all []past
	for range restores {
		p := past{revision: first + r.Int64N(last-first+1)}
		p.held, p.digest = f.stored(s, p.revision)
		all = append(all, p)
	}
	if err := s.Compact(last); err != nil {
		t.Fatal(err)
	}
	transactions := int32(0)
	for _, p := range all {
		began := f.now(s)
		preview := f.mustRestore(&controlv1.RestoreEnvironmentRequest{Revision: p.revision, ValidateOnly: true})
		resp := f.mustRestore(&controlv1.RestoreEnvironmentRequest{Revision: p.revision, BaseRevision: preview.GetCurrentRevision()})
		held, digest := f.stored(s, f.now(s))
		if !maps.EqualFunc(held, p.held, bytes.Equal) {
			t.Fatalf("revision %d: restored are %d flags and segments, there were %d, or they differ", p.revision, len(held), len(p.held))
		}
		if !bytes.Equal(digest, p.digest) || !bytes.Equal(resp.GetDigest(), p.digest) {
			t.Errorf("revision %d: the digest was %x, is %x, and the answer says %x", p.revision, p.digest, digest, resp.GetDigest())
		}
		if n := len(preview.GetResults()); n != int(resp.GetCreated()+resp.GetUpdated()+resp.GetDeleted()) {
			t.Errorf("revision %d: the preview shows %d changes, made were %v", p.revision, n, resp)
		}
		for revision := began + 1; revision <= f.now(s); revision++ {
			f.checkHolds(s, revision)
		}
		transactions += resp.GetTransactions()
	}
	checkAllChains(t, f, s)
	for _, f := range servers {
		f.caughtUp()
	}
	a, b := servers[0].replicas.Replica(production).Snapshot(), servers[1].replicas.Replica(production).Snapshot()
	if a.Cursor().Digest != b.Cursor().Digest {
		t.Errorf("the servers do not agree: %v and %v", a.Cursor(), b.Cursor())
	}
	t.Logf("%d changes, %d entries, %d restores in %d transactions", made.Load(), entries, restores, transactions)
}

// mixedWrite makes one change, of some 60 flags and 15 segments.
func mixedWrite(f *rolling, r *rand.Rand) (changed bool, err error) {
	key, segment := fmt.Sprintf("f%d", r.IntN(60)), fmt.Sprintf("s%d", r.IntN(15))
	random := func() *flagv1.Flag {
		made := boolFlag(key)
		made.Description = fmt.Sprint(r.IntN(1000))
		if r.IntN(3) == 0 {
			made.Variants = append(made.Variants, boolFlag("x").GetVariants()[0])
			made.Variants[2].Name = "more"
		}
		for range r.IntN(3) {
			made.Prerequisites = append(made.Prerequisites, &flagv1.Prerequisite{
				FlagKey: fmt.Sprintf("f%d", r.IntN(60)), Variants: []string{[]string{"on", "off", "more"}[r.IntN(3)]},
			})
		}
		if r.IntN(3) == 0 {
			inSegment(made, segment)
		}
		return made
	}
	switch r.IntN(10) {
	case 0:
		_, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: random(), Reason: "r"})
		return true, err
	case 1, 2, 3:
		current, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: key})
		if err != nil {
			return false, err
		}
		resp, err := f.update(random(), current.GetFlag().GetRevision())
		return resp.GetEntry() != nil, err
	case 4, 5:
		resp, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: key, Enabled: r.IntN(2) == 0, Reason: "r"})
		return resp.GetEntry() != nil, err
	case 6:
		current, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: key})
		if err != nil {
			return false, err
		}
		return true, f.delete(key, current.GetFlag().GetRevision())
	case 7:
		current, err := f.GetSegment(f.ctx, &controlv1.GetSegmentRequest{Environment: production, SegmentKey: segment})
		if err != nil {
			return false, err
		}
		_, err = f.DeleteSegment(f.ctx, alice, &controlv1.DeleteSegmentRequest{
			Environment: production, SegmentKey: segment, BaseRevision: current.GetSegment().GetRevision(), Reason: "r",
		})
		return true, err
	}
	made := &flagv1.Segment{Key: segment, Included: []string{fmt.Sprint(r.IntN(1000))}}
	resp, err := f.Apply(f.ctx, alice, &controlv1.ApplyRequest{
		Environment: production, Reason: "r",
		Segments: []*controlv1.SegmentWrite{{Segment: made}}, Flags: []*controlv1.FlagWrite{{Flag: random()}},
	})
	return resp.GetRevision() != 0, err
}

// tolerateMixed lets pass what writers that do not know of each other are refused for.
func tolerateMixed(t *testing.T, err error) {
	t.Helper()
	var (
		conflict     *ConflictError
		precondition *PreconditionError
		notFound     *NotFoundError
		exists       *ExistsError
		invalid      *InvalidError // a flag that needs itself, or one flag twice
	)
	if err != nil && !errors.As(err, &conflict) && !errors.As(err, &precondition) && !errors.As(err, &notFound) &&
		!errors.As(err, &exists) && !errors.As(err, &invalid) {
		t.Errorf("unexpected: %v", err)
	}
}

// checkAllChains verifies the history of each flag and segment, and returns how many entries
// there are.
func checkAllChains(t *testing.T, f *rolling, s store.Store) int {
	t.Helper()
	results, _, err := s.Read(f.ctx, store.Prefix(auditKindPrefix(production, flagKind)), store.Prefix(auditKindPrefix(production, segmentKind)))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, result := range results {
		var later *controlv1.AuditEntry // of the same resource: keys run from newest to oldest
		for _, kv := range slices.Concat(result.KVs, []store.KV{{}}) {
			var e *controlv1.AuditEntry
			if kv.Key != "" {
				if e, err = decodeEntry(kv); err != nil {
					t.Fatal(err)
				}
				n++
			}
			switch {
			case later == nil:
			case e == nil || e.GetKey() != later.GetKey():
				if later.GetSequence() != 1 || len(later.GetPreviousHash()) != 0 {
					t.Fatalf("the history of %s begins with entry %d", later.GetKey(), later.GetSequence())
				}
			case later.GetSequence() != e.GetSequence()+1 || !bytes.Equal(later.GetPreviousHash(), entryHash(kv.Value)):
				t.Fatalf("the history of %s is broken at entry %d", e.GetKey(), later.GetSequence())
			}
			later = e
		}
	}
	return n
}

// TestRestoreInParts: a restoration that was interrupted goes on when it is asked for again;
// a repeated one is not made again; each entry says what it was for.
func TestRestoreInParts(t *testing.T) {
	s := &failing{Store: memstore.New()}
	t.Cleanup(func() { _ = s.Close() })
	f := newRolling(runOn(t, s))
	const flags = 2*maxChunkLength + 5
	for i := range flags {
		f.create(boolFlag(fmt.Sprintf("f%02d", i)))
	}
	good := f.now(s)
	for i := range flags {
		f.setEnabled(fmt.Sprintf("f%02d", i), false)
	}
	before, _ := f.stored(s, good)
	preview := f.mustRestore(&controlv1.RestoreEnvironmentRequest{Revision: good, ValidateOnly: true})
	if preview.GetTransactions() != 3 || len(preview.GetResults()) != flags || preview.GetUpdated() != flags || preview.GetRevision() != 0 {
		t.Errorf("preview: %d transactions, %d results", preview.GetTransactions(), len(preview.GetResults()))
	}
	request := &controlv1.RestoreEnvironmentRequest{Revision: good, BaseRevision: preview.GetCurrentRevision(), RequestId: "once"}
	s.refuseAfter(1)
	_, err := f.restoreTo(proto.CloneOf(request))
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "1 of 3 transactions were written") {
		t.Fatalf("interrupted: %v", err)
	}
	s.refuseAfter(-1)
	resp := f.mustRestore(proto.CloneOf(request))
	if resp.GetTransactions() != 2 || resp.GetUpdated() != flags-maxChunkLength {
		t.Errorf("the rest: %v", resp)
	}
	if held, _ := f.stored(s, f.now(s)); !maps.EqualFunc(held, before, bytes.Equal) {
		t.Error("it is not what it was")
	}
	for i := range flags {
		entry := f.fullHistory(fmt.Sprintf("f%02d", i))[2]
		if entry.GetAction() != controlv1.Action_ACTION_RESTORED || entry.GetRequestId() != "once" || entry.GetReason() != "back" ||
			entry.GetSourceRevision() == 0 || entry.GetActor() != "alice" {
			t.Fatalf("audited as %v", entry)
		}
	}
	f.setEnabled("f00", false)
	again := f.mustRestore(proto.CloneOf(request))
	if !proto.Equal(again, resp) || f.get("f00").GetFlag().GetEnabled() {
		t.Errorf("the same request again: %v; first: %v", again, resp)
	}
	request.Revision++
	if _, err := f.restoreTo(request); !errors.As(err, new(*ExistsError)) {
		t.Errorf("another request of the same id: %v", err)
	}
}

// failing is a store that is full after a number of transactions.
type failing struct {
	*memstore.Store
	left atomic.Int64
	on   atomic.Bool
}

func (s *failing) refuseAfter(n int64) {
	s.left.Store(n)
	s.on.Store(n >= 0)
}

func (s *failing) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if s.on.Load() && s.left.Add(-1) < 0 {
		return store.Outcome{}, store.ErrNoSpace
	}
	return s.Store.Commit(ctx, t)
}
