package audit

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// TestSealedWhileWriting: eight writers write, several resources at once, while one leader after
// the other seals, and the store is compacted. In the end every entry is sealed once, in order.
func TestSealedWhileWriting(t *testing.T) {
	f := newFixture(t)
	const writers, each, terms = 8, 60, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r := &controlv1.ApplyRequest{Environment: production, Reason: "r"}
				for j := range 1 + i%4 {
					r.Segments = append(r.Segments, &controlv1.SegmentWrite{Segment: &flagv1.Segment{
						Key: fmt.Sprintf("w%d-%d", w, 3-j), Included: []string{fmt.Sprint(i)},
					}})
				}
				if _, err := f.authority.Apply(f.ctx, controlplane.Caller{Actor: "ann"}, r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { wg.Wait(); close(written) }()
	for term := range terms {
		elected := f.elect()
		stop := f.lead(elected)
		select {
		case <-written:
		case <-time.After(20 * time.Millisecond): // a term, not a wait for something
		}
		if term%2 == 0 { // deposed, not told to stop
			f.elect()
			f.enableSomething(term)
			if err := f.Lead(f.ctx, elected); !errors.Is(err, leader.ErrDeposed) {
				t.Errorf("term %d: %v", term, err)
			}
		} else if err := f.store.Compact(int64(elected)); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil && !errors.Is(err, leader.ErrDeposed) {
			t.Errorf("term %d: %v", term, err)
		}
	}
	<-written
	head := f.sealAll()
	proven, err := f.verify()
	if err != nil || proven.Unsealed != 0 || head.GetEntries() != int64(f.count()) {
		t.Errorf("%+v, %v: %d entries", proven, err, f.count())
	}
	if got := f.all(&controlv1.ListEntriesRequest{PageSize: 1000}); len(got) != f.count() {
		t.Errorf("%d are listed, of %d", len(got), f.count())
	}
}

// enableSomething writes an entry, so that there is something to seal.
func (f *fixture) enableSomething(n int) {
	f.t.Helper()
	f.create(fmt.Sprintf("term-%d", n), "bob", "r")
}

// TestTooMuchToTell: what is too much to be told does not keep a trail from being sealed.
func TestTooMuchToTell(t *testing.T) {
	f := newFixture(t)
	f.o.Announce = func(seal *controlv1.Seal, _ []byte) []store.Op {
		ops := make([]store.Op, 0, store.MaxTxnOps)
		for i := range store.MaxTxnOps {
			ops = append(ops, store.Put(fmt.Sprintf("/told/%d/%d", seal.GetNumber(), i), nil))
		}
		return ops
	}
	f.fill(5)
	if head := f.sealAll(); head.GetEntries() != 15 {
		t.Errorf("sealed are %v", head)
	}
}
