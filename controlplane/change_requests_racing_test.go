package controlplane

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
)

// TestApplierOfTheTransaction: nor is what was applied by somebody who is no longer who they were
// found to be.
func TestApplierOfTheTransaction(t *testing.T) {
	f, s := newFixture(t)
	between := &intercepted{Store: s}
	other := newRequesting(runOn(t, between)).asked()
	f.require(1)
	ann, ben, cleo := other.person("ann"), other.person("ben"), other.person("cleo")
	number := other.propose(ann, "a")
	if err := other.approve(ben, number); err != nil {
		t.Fatal(err)
	}
	gone := newRequesting(f)
	between.before(func() { gone.edit(cleo, func(i *accessv1.Identity) { i.Disabled = true }) })
	_, err := other.applyAs(cleo, number)
	mentions(t, as[*PreconditionError](t, err), "cleo@example.com, who applies it, is disabled")
}

// TestRightsOfTheTransaction: rights that are taken before it commits are not there.
func TestRightsOfTheTransaction(t *testing.T) {
	f, s := newFixture(t)
	between := &intercepted{Store: s}
	other := newRequesting(runOn(t, between)).asked()
	f.require(1)
	ann, ben := other.person("ann"), other.person("ben")
	gone := newRequesting(f)
	for name, c := range map[string]struct{ loses, applies Caller }{
		"the approver": {ben, ann}, "the proposer": {ann, ben}, // in whose place ben applies
	} {
		number := other.propose(ann, strings.ReplaceAll(name, " ", "-"))
		if err := other.approve(ben, number); err != nil {
			t.Fatal(err)
		}
		between.before(func() { gone.edit(c.loses, func(i *accessv1.Identity) { i.Disabled = true }) })
		_, err := other.applyAs(c.applies, number)
		mentions(t, as[*PreconditionError](t, err), "has 0 of the 1 approval", "disabled")
		gone.edit(c.loses, func(i *accessv1.Identity) { i.Disabled = false })
	}
}

// TestRightsAreNotKnown: while identities cannot be read, nothing is decided.
func TestRightsAreNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &forgetful{Store: memstore.New(), prefix: "/tidegate/v1/i/"}
		t.Cleanup(func() { _ = s.Close() })
		f := newScheduling(t, s)
		defer f.elect()()
		ann := f.asked().person("ann")
		number := f.scheduleAs(ann, "a", time.Minute)
		s.forgets.Store(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		s.forgets.Store(false)
		f.became(number, stateOpen, "")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f.became(number, stateApplied, "")
	})
}

// forgetful is a store that does not answer for what is under a prefix.
type forgetful struct {
	store.Store
	prefix  string
	forgets atomic.Bool
}

// Read implements store.Store.
func (s *forgetful) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	if s.forgets.Load() && slices.ContainsFunc(ranges, func(r store.Range) bool { return strings.HasPrefix(r.Key, s.prefix) }) {
		return nil, 0, store.ErrUnavailable
	}
	return s.Store.Read(ctx, ranges...)
}
