package controlplane

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// office is what a leader holds in these tests: its fence holds while it is the newest one.
const office = "/tidegate/v1/meta/test-office"

// scheduling is a server on a store, in a bubble of synctest, whose clock may be off.
type scheduling struct {
	*requesting
	off atomic.Int64
}

func newScheduling(t *testing.T, s store.Store) *scheduling {
	t.Helper()
	made := &scheduling{}
	a, err := Open(t.Context(), Options{
		Store: s, Replicas: replica.NewSet(replica.Options{}), Environments: []string{production, staging}, Logger: zerolog.Nop(),
		Now: func() time.Time { return time.Now().Add(time.Duration(made.off.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Authority: a, t: t, ctx: t.Context()}
	t.Cleanup(f.start())
	made.requesting = newRequesting(f)
	return made
}

// elect makes the server the leader until the returned function is called.
func (f *scheduling) elect() (depose func()) {
	f.t.Helper()
	out, err := f.authority.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put(office, nil)}})
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Lead(ctx, store.Unchanged(office, out.Revision)) }()
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			f.t.Errorf("Lead: %v", err)
		}
	}
}

// schedule proposes a flag, to be made after a while.
func (f *scheduling) schedule(key string, after time.Duration) int64 {
	f.t.Helper()
	resp, err := f.tryPropose(alice, &controlv1.ProposeChangeRequestRequest{
		Flags: []*controlv1.FlagWrite{{Flag: boolFlag(key)}}, ApplyAt: timestamppb.New(f.authority.now().Add(after)),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.GetChangeRequest().GetNumber()
}

// became checks what became of a change request, and that what is over is no longer scheduled.
func (f *scheduling) became(number int64, want controlv1.ChangeRequest_State, why string) {
	f.t.Helper()
	r := f.request(number).GetChangeRequest()
	if r.GetState() != want || !strings.Contains(r.GetClosingReason(), why) {
		f.t.Errorf("#%d: %v, %q; want %v, %q", number, r.GetState(), r.GetClosingReason(), want, why)
	}
	results, _, err := f.authority.store.Read(f.ctx, store.Key(dueKey(production, number)))
	if err != nil || (len(results[0].KVs) > 0) != (want == controlv1.ChangeRequest_STATE_OPEN) {
		f.t.Errorf("#%d: scheduled: %v, %v", number, results[0].KVs, err)
	}
}

// scheduled runs a test of a server on a store of its own.
func scheduled(t *testing.T, test func(t *testing.T, f *scheduling, s *memstore.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		t.Cleanup(func() { _ = s.Close() })
		test(t, newScheduling(t, s), s)
	})
}

const (
	stateOpen    = controlv1.ChangeRequest_STATE_OPEN
	stateApplied = controlv1.ChangeRequest_STATE_APPLIED
	stateFailed  = controlv1.ChangeRequest_STATE_FAILED
)

func TestAppliedWhenDue(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
		defer f.elect()()
		f.require(1)
		number := f.schedule("a", time.Minute)
		if err := f.approve(bob, number); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - time.Millisecond)
		synctest.Wait()
		f.became(number, stateOpen, "")
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		f.became(number, stateApplied, "")
		e := f.fullHistory("a")[0]
		if e.GetActor() != scheduleActor || e.GetPeer() != "one" || e.GetChangeRequestNumber() != number {
			t.Errorf("%v", e)
		}
		withdrawn := f.schedule("b", time.Minute)
		if err := f.withdraw(alice, withdrawn); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.became(withdrawn, controlv1.ChangeRequest_STATE_WITHDRAWN, "a mistake")
	})
}

// TestFailedWhenDue: what cannot be applied when it is due fails, and says why.
func TestFailedWhenDue(t *testing.T) {
	scheduled(t, func(_ *testing.T, f *scheduling, _ *memstore.Store) {
		late := f.schedule("late", time.Minute)
		time.Sleep(time.Minute + tolerance)
		onTime := f.schedule("on-time", time.Second)
		time.Sleep(2 * time.Second) // nobody leads
		depose := f.elect()
		synctest.Wait()
		f.became(late, stateFailed, "no server led, the store did not answer, or production was frozen")
		f.became(onTime, stateApplied, "")

		taken, unapproved := f.schedule("taken", time.Minute), f.schedule("unapproved", 2*time.Minute)
		f.create(boolFlag("taken"))
		f.setEnabled("taken", false)
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		f.became(taken, stateFailed, `flag "taken" in environment "production" exists already`)
		f.require(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		f.became(unapproved, stateFailed, "has 0 of the 1 approval")
		depose()
	})
}

// TestScheduleOutlivesTheStore: while the store does not answer, nothing is decided.
func TestScheduleOutlivesTheStore(t *testing.T) {
	scheduled(t, func(_ *testing.T, f *scheduling, s *memstore.Store) {
		defer f.elect()()
		number := f.schedule("a", time.Minute)
		synctest.Wait()
		s.SetDown(true)
		time.Sleep(10 * time.Minute)
		s.SetDown(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		f.became(number, stateApplied, "")
	})
}

// TestClocksAreSet: an early clock applies early, a late one late, and no clock twice.
func TestClocksAreSet(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
		defer f.elect()()
		number := f.schedule("a", 10*time.Hour)
		time.Sleep(time.Minute)
		f.off.Store(int64(10 * time.Hour)) // forward
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		f.became(number, stateApplied, "")
		revision := f.request(number).GetRevision()
		f.off.Store(0) // and back
		time.Sleep(11 * time.Hour)
		synctest.Wait()
		if got := f.request(number); got.GetRevision() != revision || len(f.fullHistory("a")) != 1 {
			t.Errorf("applied again: %v", got)
		}
	})
}

// TestScheduleIsWhatWasProposed: when it is applied is said by the change request, whatever is
// remembered of it elsewhere.
func TestScheduleIsWhatWasProposed(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, s *memstore.Store) {
		defer f.elect()()
		number, unscheduled := f.schedule("a", time.Hour), f.proposeFlag(boolFlag("b"))
		for _, n := range []int64{number, unscheduled} {
			if _, err := s.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put(dueKey(production, n), []byte("garbage"))}}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		f.became(number, stateOpen, "")
		f.became(unscheduled, stateOpen, "")
		time.Sleep(time.Hour)
		synctest.Wait()
		f.became(number, stateApplied, "")
		f.became(unscheduled, stateOpen, "")
	})
}

// TestTwoLeaders: of servers that both believe they lead, the one that does applies, once.
func TestTwoLeaders(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, s *memstore.Store) {
		old, younger := f, newScheduling(t, s)
		defer old.elect()()
		number := old.schedule("a", time.Minute)
		younger.off.Store(int64(-30 * time.Second)) // the old one comes first
		defer younger.elect()()
		time.Sleep(time.Minute + 20*time.Second)
		synctest.Wait()
		f.became(number, stateOpen, "")
		time.Sleep(time.Minute)
		synctest.Wait()
		f.became(number, stateApplied, "")
		if n := len(f.fullHistory("a")); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
}

// TestDeposedLeaderFailsNothing: a server that was the leader, and whose clock is ahead, does not
// say that a change request came too late.
func TestDeposedLeaderFailsNothing(t *testing.T) {
	scheduled(t, func(t *testing.T, old *scheduling, s *memstore.Store) {
		younger := newScheduling(t, s)
		number := old.schedule("a", time.Minute)
		defer old.elect()()
		defer younger.elect()()
		old.off.Store(int64(3 * time.Hour))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		younger.became(number, stateOpen, "")
		time.Sleep(time.Minute)
		synctest.Wait()
		younger.became(number, stateApplied, "")
	})
}

// TestLeaderDiesAtTheDueTime: a leader that ends before, while or after its transaction commits
// leaves it done or to be done, and the next one does it if it is.
func TestLeaderDiesAtTheDueTime(t *testing.T) {
	for name, commits := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New()
				t.Cleanup(func() { _ = s.Close() })
				dying := &dying{Store: s, commits: commits}
				first, second := newScheduling(t, dying), newScheduling(t, s)
				depose := first.elect()
				number := second.schedule("a", time.Minute)
				synctest.Wait()
				dying.now.Store(true)
				time.Sleep(2 * time.Minute)
				depose()
				second.became(number, map[bool]controlv1.ChangeRequest_State{false: stateOpen, true: stateApplied}[commits], "")
				defer second.elect()()
				time.Sleep(time.Second)
				synctest.Wait()
				second.became(number, stateApplied, "")
				if n := len(second.fullHistory("a")); n != 1 {
					t.Errorf("%d entries", n)
				}
			})
		})
	}
}

// dying is the store as a process sees it that gets no further than its next commit, which
// happens or not.
type dying struct {
	store.Store
	now     atomic.Bool
	commits bool
}

// Commit implements store.Store.
func (s *dying) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if !s.now.Load() {
		return s.Store.Commit(ctx, t)
	}
	if s.commits {
		if _, err := s.Store.Commit(ctx, t); err != nil {
			return store.Outcome{}, err
		}
	}
	<-ctx.Done()
	return store.Outcome{}, ctx.Err()
}

// TestApprovedAtTheLastMoment: an approval between a refusal and its record counts.
func TestApprovedAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		t.Cleanup(func() { _ = s.Close() })
		between := &intercepted{Store: s}
		f, other := newScheduling(t, between), newScheduling(t, s)
		other.require(1)
		number := other.schedule("a", time.Minute)
		synctest.Wait()
		defer f.elect()()
		synctest.Wait()
		between.before(func() { // it was refused, and that is what is about to be written
			if err := other.approve(bob, number); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Minute + 3*time.Second)
		synctest.Wait()
		f.became(number, stateApplied, "")
	})
}
