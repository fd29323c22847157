package controlplane

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// freezer freezes what the server's environments are.
func (f *scheduling) freezer() *freezing {
	f.t.Helper()
	return newFreezing(&fixture{Authority: f.Authority, t: f.t, ctx: f.ctx})
}

// TestFrozenWhenDue: a freeze holds up what is due, and what is lifted within the hour is written
// then; after it the change request has failed, and says what held it up.
func TestFrozenWhenDue(t *testing.T) {
	for name, lifted := range map[string]time.Duration{"seconds later": 5 * time.Second, "at the last minute": 59 * time.Minute, "never": 0} {
		t.Run(name, func(t *testing.T) {
			scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
				defer f.elect()()
				f.require(1)
				number := f.schedule("a", time.Minute)
				if err := f.approve(bob, number); err != nil {
					t.Fatal(err)
				}
				freezer := f.freezer()
				freezer.freeze(0, production)
				time.Sleep(time.Minute + time.Second)
				synctest.Wait()
				f.became(number, stateOpen, "")
				if lifted == 0 {
					time.Sleep(tolerance - 2*time.Second)
					synctest.Wait()
					f.became(number, stateOpen, "")
					time.Sleep(4 * time.Second)
					synctest.Wait()
					f.became(number, stateFailed, "more than an hour later environment \"production\" is frozen")
					f.became(number, stateFailed, "checkout is down")
					return
				}
				time.Sleep(lifted)
				synctest.Wait()
				f.became(number, stateOpen, "")
				if _, err := freezer.lift(production); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				f.became(number, stateApplied, "")
			})
		})
	}
}

// TestHeldUpAndLookedAtAgain: what a freeze holds up is held to what is true when it is lifted.
func TestHeldUpAndLookedAtAgain(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(f *scheduling, ann, ben Caller, number int64)
		want      controlv1.ChangeRequest_State
		why       string
	}{
		"nothing happens": {func(*scheduling, Caller, Caller, int64) {}, stateFailed, "has 0 of the 1 approval"},
		"it is approved": {func(f *scheduling, _, ben Caller, number int64) {
			if err := f.approve(ben, number); err != nil {
				f.t.Error(err)
			}
		}, stateApplied, ""},
		"it is approved, and the approver leaves": {func(f *scheduling, _, ben Caller, number int64) {
			if err := f.approve(ben, number); err != nil {
				f.t.Error(err)
			}
			f.remove(ben)
		}, stateFailed, "that of ben@example.com, who was deleted, does not count"},
		"it is approved, and the proposer leaves": {func(f *scheduling, ann, ben Caller, number int64) {
			if err := f.approve(ben, number); err != nil {
				f.t.Error(err)
			}
			f.remove(ann)
		}, stateFailed, "ann@example.com, who proposed it, was deleted"},
		"no approval is asked for any more": {func(f *scheduling, _, _ Caller, _ int64) { f.require(0) }, stateApplied, ""},
		"somebody rejects it": {func(f *scheduling, _, ben Caller, number int64) {
			if err := f.reject(ben, number); err != nil {
				f.t.Error(err)
			}
		}, controlv1.ChangeRequest_STATE_REJECTED, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
				defer f.elect()()
				f.require(1)
				ann, ben := f.asked().person("ann"), f.person("ben")
				number := f.scheduleAs(ann, "a", time.Minute)
				freezer := f.freezer()
				freezer.freeze(0)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				f.became(number, stateOpen, "")
				if name == "no approval is asked for any more" { // a freeze refuses that, too
					if _, err := freezer.lift(); err != nil {
						t.Fatal(err)
					}
				}
				c.meanwhile(f, ann, ben, number)
				_, _ = freezer.lift()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				f.became(number, c.want, c.why)
			})
		})
	}
}

// TestNotBeforeItsTime: what is scheduled is applied before only by who says that this is meant,
// and the trail shows it.
func TestNotBeforeItsTime(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, _ *memstore.Store) {
		number := f.schedule("a", time.Hour)
		_, err := f.applyAs(bob, number)
		mentions(t, as[*PreconditionError](t, err), "change request #1 is to be applied at 2000-01-01T01:00:00Z, and is by itself then", "tidegate request apply 1 --now")
		if got := f.request(number); got.GetChangeRequest().GetState() != stateOpen || got.GetObstacle() != "" {
			t.Errorf("%v", got)
		}
		now := &controlv1.ApplyChangeRequestRequest{Environment: production, Number: number, Now: true, Reason: "the shop opens early", RequestId: "once"}
		applied, err := f.ApplyChangeRequest(f.ctx, bob, now)
		if err != nil || !applied.GetChangeRequest().GetAppliedEarly() {
			t.Fatalf("%v, %v", applied, err)
		}
		if repeated, err := f.ApplyChangeRequest(f.ctx, bob, now); err != nil || repeated.GetRevision() != applied.GetRevision() {
			t.Errorf("the same request again: %v, %v", repeated, err)
		}
		var shown bool
		for _, c := range applied.GetEntry().GetChanges() {
			shown = shown || c.GetPath() == "applied_early" && c.GetAfter() == "true"
		}
		if !shown {
			t.Errorf("the trail: %v", applied.GetEntry())
		}
		// What is due, or was never scheduled, is not early, whatever is said.
		due, whenever := f.schedule("b", time.Minute), f.proposeFlag(boolFlag("c"))
		time.Sleep(time.Minute)
		for _, n := range []int64{due, whenever} {
			got, err := f.ApplyChangeRequest(f.ctx, bob, &controlv1.ApplyChangeRequestRequest{Environment: production, Number: n, Now: n == whenever})
			if err != nil || got.GetChangeRequest().GetAppliedEarly() {
				t.Errorf("%v, %v", got, err)
			}
		}
	})
}

// TestRestoredStoreAppliesNothing: what is scheduled in a store that was restored from a backup may
// have been rejected since. It fails at once, and says so; what is proposed after that is applied.
func TestRestoredStoreAppliesNothing(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, s *memstore.Store) {
		rejected, soon := f.schedule("rejected", 2*time.Hour), f.schedule("soon", time.Minute)
		unscheduled := f.proposeFlag(boolFlag("unscheduled"))
		backup := s.Backup()
		if err := f.reject(bob, rejected); err != nil {
			t.Fatal(err)
		}
		s.Restore(backup)
		if _, err := BeginEpochOf(f.ctx, s, Caller{Actor: "tidegate restore"}, "restored from monday"); err != nil {
			t.Fatal(err)
		}
		defer f.elect()()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for _, number := range []int64{rejected, soon} {
			f.became(number, stateFailed, "the store was restored, or began another epoch, since it was proposed (tidegate restore at 2000-01-01T00:")
			f.became(number, stateFailed, "restored from monday); it may have been rejected")
			f.became(number, stateFailed, "propose it again")
		}
		if got := f.request(unscheduled).GetChangeRequest().GetState(); got != stateOpen {
			t.Errorf("not scheduled: %v", got)
		}
		if got := f.request(unscheduled).GetCautions(); len(got) != 1 || !strings.Contains(got[0], "restored from monday") {
			t.Errorf("%v", got)
		}
		again := f.schedule("again", time.Minute)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.became(again, stateApplied, "")
		if got := f.request(again).GetCautions(); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// TestStoreWentBack: a leader that sees that the store has lost what it had applies nothing
// before a new epoch begins, which ends what was scheduled.
func TestStoreWentBack(t *testing.T) {
	scheduled(t, func(t *testing.T, f *scheduling, s *memstore.Store) {
		defer f.elect()()
		number := f.schedule("a", time.Minute)
		synctest.Wait()
		backup := s.Backup()
		for range 3 {
			f.create(boolFlag("lost"))
			if err := f.delete("lost", f.get("lost").GetRevision()); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.reject(bob, number); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Restore(backup)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		f.became(number, stateOpen, "")
		if _, err := f.BeginEpoch(f.ctx, alice, &controlv1.BeginEpochRequest{Expected: f.getEpoch().GetEpoch(), Reason: "restored"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		f.became(number, stateFailed, "restored); it may have been rejected")
	})
}

// TestEpochBeginsAtTheDueTime: one that begins between a look and its write is no way around.
func TestEpochBeginsAtTheDueTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		t.Cleanup(func() { _ = s.Close() })
		between := &intercepted{Store: s}
		f := newScheduling(t, between)
		number := f.schedule("a", time.Minute)
		defer f.elect()()
		synctest.Wait()
		between.before(func() {
			if _, err := BeginEpochOf(f.ctx, s, alice, "restored"); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		f.became(number, stateFailed, "restored); it may have been rejected")
	})
}

// TestOutlived: what says no epoch is of the first one, and of no other.
func TestOutlived(t *testing.T) {
	first, second := drawEpoch(1), drawEpoch(2)
	for _, c := range []struct {
		of   *controlv1.ChangeRequest
		now  *epochState
		over bool
	}{
		{&controlv1.ChangeRequest{Epoch: first.Proto()}, &epochState{epoch: first}, false},
		{&controlv1.ChangeRequest{Epoch: first.Proto()}, &epochState{epoch: second}, true},
		{&controlv1.ChangeRequest{Epoch: first.Proto()}, &epochState{epoch: drawEpoch(1)}, true},
		{&controlv1.ChangeRequest{}, &epochState{epoch: first}, false},
		{&controlv1.ChangeRequest{}, &epochState{epoch: second}, true},
	} {
		if got := outlived(c.of, c.now); (got != "") != c.over {
			t.Errorf("%v in %v: %q", c.of, c.now.epoch, got)
		}
	}
}

// TestNamesByCase: where nobody is asked, another case is no second person.
func TestNamesByCase(t *testing.T) {
	f := requestingFixture(t)
	f.require(2)
	number := f.proposeFlag(boolFlag("a"))
	mentions(t, as[*PreconditionError](t, f.approve(Caller{Actor: "Alice"}, number)), "somebody else has to approve it")
	for _, name := range []string{"bob", "BOB"} {
		if err := f.approve(Caller{Actor: name}, number); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.applyAs(alice, number)
	mentions(t, as[*PreconditionError](t, err), "has 1 of the 2 approvals")
}

// TestProposedInAnEpoch: a change request knows in which epoch it was proposed.
func TestProposedInAnEpoch(t *testing.T) {
	f := requestingFixture(t)
	got := f.request(f.proposeFlag(boolFlag("a"))).GetChangeRequest()
	if !proto.Equal(got.GetEpoch(), f.getEpoch().GetEpoch()) || got.GetAppliedEarly() {
		t.Errorf("%v", got)
	}
}
