package leader

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
)

// candidate is an elector that runs, and tells when it leads.
type candidate struct {
	*Elector
	stop    func()
	elected chan Term
	ended   chan time.Time
}

// start runs a candidate that leads until its term is over.
func start(t *testing.T, s store.Store, id string) *candidate {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &candidate{Elector: newElector(t, s, id), elected: make(chan Term, 100), ended: make(chan time.Time, 100)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx, func(ctx context.Context, term Term) error {
			c.elected <- term
			<-ctx.Done()
			c.ended <- time.Now()
			return ctx.Err()
		})
	}()
	c.stop = func() { cancel(); <-done }
	t.Cleanup(c.stop)
	return c
}

func TestOneLeadsAndHandsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		a := start(t, s, "a")
		synctest.Wait()
		first := <-a.elected
		b, c := start(t, s, "b"), start(t, s, "c")
		time.Sleep(time.Minute)
		for _, one := range []*candidate{a, b, c} {
			if r, _, ok := one.Leader(); !ok || r.InstanceID != "a" || r.Address != "a:7013" {
				t.Errorf("%s takes %+v, %v for the leader", one.o.InstanceID, r, ok)
			}
		}
		if len(b.elected)+len(c.elected) != 0 {
			t.Fatal("two lead")
		}
		handed := time.Now()
		a.stop()
		synctest.Wait()
		if time.Since(handed) != 0 || len(b.elected)+len(c.elected) != 1 {
			t.Fatalf("a leader that stops does not hand over at once: %d lead after %v", len(b.elected)+len(c.elected), time.Since(handed))
		}
		select {
		case second := <-b.elected:
			if second <= first {
				t.Errorf("term %d after %d", second, first)
			}
		case <-c.elected:
		}
	})
}

// A leader whose lease is not confirmed ends before the lease can have.
func TestStepsDownInTime(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"no answer": store.ErrUnavailable, "expired": store.ErrLeaseNotFound} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New()
				cut := newUnreliable(s, 1, 1)
				a := start(t, cut, "a")
				<-a.elected
				time.Sleep(12*time.Second + 300*time.Millisecond)
				b := start(t, s, "b")
				began := time.Now()
				cut.keepAlive.Store(&failure)
				ended := <-a.ended
				if lived := ended.Sub(began); lived > a.o.TTL {
					t.Errorf("it led for %v after its lease was last confirmed", lived)
				}
				select {
				case <-b.elected:
				case <-a.elected: // it tried again, which is fine, too
				}
				if waited := time.Since(began); waited > 2*a.o.TTL {
					t.Errorf("nobody led for %v", waited)
				}
			})
		})
	}
}

// A claim that succeeded, and of which the store did not say so, is a term.
func TestClaimOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		u := newUnreliable(s, 1, 1)
		failure := store.ErrUnavailable
		u.afterCommit.Store(&failure)
		term := <-start(t, u, "a").elected
		out, err := s.Commit(t.Context(), store.Txn{Compares: []store.Compare{term.Fence()}})
		if err != nil || !out.Committed {
			t.Errorf("the term's fence does not hold: %v, %v", out, err)
		}
	})
}

// A leader that is told by its key that it leads no more ends at once.
func TestKeyTakenAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		a := start(t, s, "a")
		first := <-a.elected
		time.Sleep(time.Second)
		began := time.Now()
		if _, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Delete(Key)}}); err != nil {
			t.Fatal(err)
		}
		if ended := <-a.ended; ended != began {
			t.Errorf("it led on for %v", ended.Sub(began))
		}
		if second := <-a.elected; second <= first {
			t.Errorf("term %d after %d", second, first)
		}
	})
}

// Who cannot lead lets others try, and does not try without pause.
func TestLeadFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		e := newElector(t, s, "a")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var tries atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.Run(ctx, func(context.Context, Term) error { tries.Add(1); return errGone })
		}()
		time.Sleep(time.Minute)
		if n := tries.Load(); n < 5 || n > 40 {
			t.Errorf("%d tries in a minute", n)
		}
		b := start(t, s, "b")
		<-b.elected
		cancel()
		<-done
	})
}

// A store that was restored from a backup goes back in its revisions.
func TestRestoredStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		backup := s.Backup()
		for range 100 {
			if _, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put("/other", nil)}}); err != nil {
				t.Fatal(err)
			}
		}
		a := start(t, s, "a")
		<-a.elected
		s.Restore(backup)
		<-a.ended
		term := <-a.elected
		out, err := s.Commit(t.Context(), store.Txn{Compares: []store.Compare{term.Fence()}})
		if err != nil || !out.Committed || term > 100 {
			t.Errorf("term %d, %v, %v", term, out, err)
		}
	})
}

// TestFence: whatever fails, and however long who leads is held up, no two leaders'
// transactions both commit.
func TestFence(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { fence(t, seed) })
		})
	}
}

func fence(t *testing.T, seed uint64) {
	s := memstore.New()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	random := rand.New(rand.NewPCG(seed, 0))
	candidates := 2 + int(seed%2)
	views := make([]*unreliable, 0, candidates)
	for i := range candidates {
		u := newUnreliable(s, seed, uint64(i+1))
		views = append(views, u)
		e := newElector(t, u, fmt.Sprint(i))
		running.Go(func() {
			e.Run(ctx, func(ctx context.Context, term Term) error {
				return count(ctx, u, e.o.InstanceID, term, func() {
					switch u.random.IntN(100) {
					case 0:
						time.Sleep(time.Duration(u.random.IntN(20)) * time.Second) // stopped
					default:
						time.Sleep(time.Duration(u.random.IntN(200)) * time.Millisecond)
					}
				})
			})
		})
	}
	for range 60 {
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		switch u := views[random.IntN(candidates)]; random.IntN(5) {
		case 0:
			u.percent.Store(100) // cut off
		case 1:
			u.percent.Store(30)
		case 2:
			s.BreakWatches()
		case 3:
			s.SetDown(true)
			time.Sleep(time.Duration(random.IntN(8)) * time.Second)
			s.SetDown(false)
		default:
			u.percent.Store(0)
		}
	}
	for _, u := range views {
		u.percent.Store(0)
	}
	before, _ := checkCount(t, s)
	time.Sleep(time.Minute)
	cancel()
	running.Wait()
	after, terms := checkCount(t, s)
	if after <= before {
		t.Errorf("nobody leads after the faults: %d then, %d now", before, after)
	}
	t.Logf("%d increments in %d terms", after, terms)
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"no store":    {InstanceID: "a"},
		"no instance": {Store: memstore.New()},
		"short":       {Store: memstore.New(), InstanceID: "a", TTL: 500 * time.Millisecond},
		"fraction":    {Store: memstore.New(), InstanceID: "a", TTL: 1500 * time.Millisecond},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
