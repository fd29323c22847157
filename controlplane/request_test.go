package controlplane

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// faultyStore loses answers.
type faultyStore struct {
	store.Store
	// loseAfter: commits happen and their answer is lost. loseBefore: they do not
	// happen. Counted down.
	loseAfter, loseBefore atomic.Int32
	// deaf: reads are lost too.
	deaf atomic.Bool
}

func (s *faultyStore) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if s.loseBefore.Load() > 0 {
		s.loseBefore.Add(-1)
		return store.Outcome{}, store.ErrUnavailable
	}
	out, err := s.Store.Commit(ctx, t)
	if s.loseAfter.Load() > 0 {
		s.loseAfter.Add(-1)
		return store.Outcome{}, store.ErrUnavailable
	}
	return out, err
}

func (s *faultyStore) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	if s.deaf.Load() && s.loseAfter.Load() == 0 && s.loseBefore.Load() == 0 {
		return nil, 0, store.ErrUnavailable
	}
	return s.Store.Read(ctx, ranges...)
}

func newFaulty(t *testing.T) (*fixture, *faultyStore) {
	t.Helper()
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	faulty := &faultyStore{Store: s}
	return openOn(t, faulty), faulty
}

func requests(f *fixture) map[string]func(id string) (proto.Message, error) {
	return map[string]func(id string) (proto.Message, error){
		"create": func(id string) (proto.Message, error) {
			return f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{
				Environment: production, Flag: boolFlag("new"), Reason: "r", RequestId: id,
			})
		},
		"set enabled": func(id string) (proto.Message, error) {
			return f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{
				Environment: production, FlagKey: "a", Reason: "r", RequestId: id,
			})
		},
		"promote": func(id string) (proto.Message, error) {
			return f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{
				FlagKey: "a", FromEnvironment: production, ToEnvironment: staging, Reason: "r", RequestId: id,
			})
		},
		"apply": func(id string) (proto.Message, error) {
			return f.apply(&controlv1.ApplyRequest{Flags: flagWrites(boolFlag("b"), boolFlag("x"), boolFlag("y")), RequestId: id})
		},
	}
}

// TestLostAnswerIsFoundByRetry: the server's own retries fail too; the caller's, with the
// same request id, returns the first result and writes nothing.
func TestLostAnswerIsFoundByRetry(t *testing.T) {
	for name := range requests(nil) {
		t.Run(name, func(t *testing.T) {
			f, faulty := newFaulty(t)
			f.create(boolFlag("a"))
			f.create(boolFlag("b"))
			call := requests(f)[name]
			faulty.loseAfter.Store(1)
			faulty.deaf.Store(true)
			if _, err := call("id-1"); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("a lost answer: %v", err)
			}
			faulty.deaf.Store(false)
			_, before, err := faulty.Read(f.ctx, store.Key(epochKey))
			if err != nil {
				t.Fatal(err)
			}
			first, err := call("id-1")
			if err != nil {
				t.Fatalf("the retry: %v", err)
			}
			second, err := call("id-1")
			if err != nil || !proto.Equal(first, second) {
				t.Errorf("retried twice: %v (%v), then %v", first, err, second)
			}
			if _, after, _ := faulty.Read(f.ctx, store.Key(epochKey)); after != before {
				t.Errorf("retries wrote: revision %d became %d", before, after)
			}
		})
	}
}

// TestLostAnswerIsSettledByTheServer: if the store answers again soon, the caller learns
// the true outcome without a retry.
func TestLostAnswerIsSettledByTheServer(t *testing.T) {
	for name := range requests(nil) {
		for _, lost := range []string{"before", "after"} {
			t.Run(name+" lost "+lost, func(t *testing.T) {
				f, faulty := newFaulty(t)
				f.create(boolFlag("a"))
				f.create(boolFlag("b"))
				_, before, _ := faulty.Read(f.ctx, store.Key(epochKey))
				if lost == "after" {
					faulty.loseAfter.Store(1)
				} else {
					faulty.loseBefore.Store(1)
				}
				if _, err := requests(f)[name](""); err != nil {
					t.Fatalf("%v", err)
				}
				if _, after, _ := faulty.Read(f.ctx, store.Key(epochKey)); after != before+1 {
					t.Errorf("revision %d became %d: the write happened %d times", before, after, after-before)
				}
			})
		}
	}
}

func TestRequestIDIsForOneChange(t *testing.T) {
	f, _ := newFixture(t)
	f.create(boolFlag("a"))
	disable := &controlv1.SetEnabledRequest{Environment: production, FlagKey: "a", Reason: "r", RequestId: "id-1"}
	first, err := f.SetEnabled(f.ctx, alice, disable)
	if err != nil {
		t.Fatal(err)
	}
	f.setEnabled("a", true)
	retried, err := f.SetEnabled(f.ctx, alice, disable)
	if err != nil || !proto.Equal(retried, first) {
		t.Errorf("retried after another change: %v, %v\nwant %v", retried, err, first)
	}
	if !f.get("a").GetFlag().GetEnabled() {
		t.Error("the retry changed something")
	}
	for name, other := range map[string]*controlv1.SetEnabledRequest{
		"reason":  {Environment: production, FlagKey: "a", Reason: "other", RequestId: "id-1"},
		"content": {Environment: production, FlagKey: "a", Enabled: true, Reason: "r", RequestId: "id-1"},
		"flag":    {Environment: production, FlagKey: "b", Reason: "r", RequestId: "id-1"},
	} {
		_, err := f.SetEnabled(f.ctx, alice, other)
		if e := as[*ExistsError](t, err); e != nil {
			mentions(t, err, "id-1", "another change")
		}
		_ = name
	}
	_, err = f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: boolFlag("b"), Reason: "r", RequestId: "id-1"})
	wants[*ExistsError](t, err)
	// Environments keep request ids apart.
	if _, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: staging, Flag: boolFlag("b"), Reason: "r", RequestId: "id-1"}); err != nil {
		t.Error(err)
	}
}

// TestLostLeaseIsReplaced: the lease of request records may be gone, after a restore or
// a long pause.
func TestLostLeaseIsReplaced(t *testing.T) {
	f, _ := newFaulty(t)
	f.leases.id, f.leases.granted = 4711, time.Now()
	f.create(boolFlag("a"))
	if f.leases.id == 4711 {
		t.Error("the lost lease is still in use")
	}
}

func TestStoreDown(t *testing.T) {
	f, s := newFixture(t)
	f.create(boolFlag("a"))
	s.SetDown(true)
	_, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: "a"})
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	_, err = f.update(boolFlag("a"), 1)
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("update: %v", err)
	}
	// What was applied is still known.
	if resp, err := f.ListEnvironments(f.ctx, nil); err != nil || resp.GetEnvironments()[0].GetCursor() == nil {
		t.Errorf("list environments: %v, %v", resp, err)
	}
	s.SetDown(false)
	f.setEnabled("a", false)
	f.caughtUp()
}
