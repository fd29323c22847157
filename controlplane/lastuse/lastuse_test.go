package lastuse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
)

// clock is one that a test sets.
type clock struct{ now time.Time }

func server(s store.Store, c *clock) *Recorder {
	return New(Options{Store: s, Logger: zerolog.Nop(), Now: func() time.Time { return c.now }})
}

func at(t *testing.T, r *Recorder, id string) time.Time {
	t.Helper()
	uses, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return uses.At(id)
}

// TestServersAddUp: each server sees the latest use of all, and knows its own at once.
func TestServersAddUp(t *testing.T) {
	s, c := memstore.New(), &clock{time.Unix(6000, 0)}
	defer s.Close()
	one, two := server(s, c), server(s, c)
	one.Note("a")
	if got := at(t, one, "a"); got.Unix() != 6000 {
		t.Errorf("its own: %v", got)
	}
	if got := at(t, two, "a"); !got.IsZero() {
		t.Errorf("another's, not written yet: %v", got)
	}
	c.now = time.Unix(6090, 0)
	two.Note("a")
	two.Note("b")
	two.NoteAt("c", 1<<40) // by a clock that is ahead
	for _, r := range []*Recorder{two, one} {
		if err := r.Flush(t.Context()); err != nil { // the older after the newer
			t.Fatal(err)
		}
	}
	for id, want := range map[string]int64{"a": 6060, "b": 6060, "c": 6060} {
		for name, r := range map[string]*Recorder{"one": one, "two": two, "a third": server(s, c)} {
			if got := at(t, r, id); got.Unix() != want {
				t.Errorf("%s: %s: %v", name, id, got)
			}
		}
	}
}

// TestWritesAreBounded: however often something is used, it is written once a minute at most; what
// is not used writes nothing.
func TestWritesAreBounded(t *testing.T) {
	s, c := memstore.New(), &clock{time.Unix(6000, 0)}
	defer s.Close()
	r := server(s, c)
	revision := func() int64 {
		_, rev, err := s.Read(t.Context(), store.Prefix(root))
		if err != nil {
			t.Fatal(err)
		}
		return rev
	}
	before := revision()
	for i := range 100 {
		for n := range 1000 {
			r.Note(fmt.Sprint("id-", n))
		}
		c.now = time.Unix(6000+int64(i)/2, 0)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := revision() - before; n != 1 {
		t.Errorf("%d transactions for 100,000 uses in one minute, want 1", n)
	}
}

// TestForgotten: what was not used for 90 days is dropped.
func TestForgotten(t *testing.T) {
	s, c := memstore.New(), &clock{time.Unix(6000, 0)}
	defer s.Close()
	r := server(s, c)
	r.Note("old")
	flush := func() {
		t.Helper()
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	c.now = c.now.Add(kept + time.Minute)
	for i := range 100 { // some of which share its shard
		r.Note(fmt.Sprint("new-", i))
	}
	flush()
	if got := at(t, r, "old"); !got.IsZero() {
		t.Errorf("%v", got)
	}
}

// failing is a store that does not answer commits.
type failing struct {
	store.Store
	err error
}

func (f *failing) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if f.err != nil {
		return store.Outcome{}, f.err
	}
	return f.Store.Commit(ctx, t)
}

// TestWrittenLater: what cannot be written is with the next attempt.
func TestWrittenLater(t *testing.T) {
	m, c := memstore.New(), &clock{time.Unix(6000, 0)}
	defer m.Close()
	s := &failing{Store: m, err: store.ErrUnavailable}
	r := server(s, c)
	r.Note("a")
	if err := r.Flush(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	s.err = nil
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := at(t, server(m, c), "a"); got.Unix() != 6000 {
		t.Errorf("%v", got)
	}
}

// TestTogether: servers that write at the same time lose nothing.
func TestTogether(t *testing.T) {
	s, c := memstore.New(), &clock{time.Unix(6000, 0)}
	defer s.Close()
	var writing sync.WaitGroup
	for n := range 4 {
		writing.Go(func() {
			r := server(s, c)
			for i := range 50 {
				id := fmt.Sprintf("%d-%d", n, i)
				for r.Note(id); r.Flush(t.Context()) != nil; {
				}
			}
		})
	}
	writing.Wait()
	uses, err := server(s, c).Read(t.Context())
	if err != nil || len(uses) != 200 {
		t.Errorf("%d, %v", len(uses), err)
	}
}
