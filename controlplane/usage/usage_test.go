package usage_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	"github.com/tidegate/tidegate/controlplane/usage"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

const production = "production"

// bench is a store with a leader, on a clock of its own.
type bench struct {
	*testing.T
	store store.Store
	gone  sync.Map // flags that there are no more
}

// run calls f in a bubble.
func run(t *testing.T, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New()
		defer func() { _ = s.Close() }()
		f(&bench{T: t, store: s})
	})
}

func (b *bench) exists(_, key string) bool {
	_, gone := b.gone.Load(key)
	return !gone && (key == "a" || key == "b")
}

// lead begins a term; the recorder leads until the returned function is called.
func (b *bench) lead() (r *usage.Recorder, stop func() error) {
	b.Helper()
	out, err := b.store.Commit(b.Context(), store.Txn{Ops: []store.Op{store.Delete(leader.Key)}})
	if err != nil {
		b.Fatal(err)
	}
	if out, err = b.store.Commit(b.Context(), store.Txn{Ops: []store.Op{store.Put(leader.Key, nil)}}); err != nil {
		b.Fatal(err)
	}
	r, err = usage.NewRecorder(usage.Options{
		Store: b.store, Environments: func() []string { return []string{production} },
		Exists: b.exists, Logger: zerolog.Nop(),
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Lead(ctx, leader.Term(out.Revision)) }()
	synctest.Wait() // it has read what there is
	return r, func() error {
		defer cancel()
		select {
		case err := <-ended:
			return err
		default:
		}
		cancel()
		return <-ended
	}
}

func (b *bench) read() *usage.Usage {
	b.Helper()
	u, err := usage.Read(b.Context(), b.store, production)
	if err != nil {
		b.Fatal(err)
	}
	return u
}

func told(key, variant string, count uint64, at time.Time) []*telemetryv1.Evaluations {
	return []*telemetryv1.Evaluations{{FlagKey: key, Variant: variant, Count: count, LastAt: timestamppb.New(at)}}
}

// pass lets time go by, and everything that happens in it be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRecords(t *testing.T) {
	run(t, func(b *bench) {
		if u := b.read(); !u.Since.IsZero() || u.Flag("a") != nil {
			t.Errorf("of nothing: %+v", u)
		}
		r, stop := b.lead()
		began := time.Now()
		r.Observe(production, told("a", "on", 5, began))
		r.Observe(production, told("a", "", 1, began.Add(-30*time.Minute)))
		r.Observe(production, told("a", "off", 100, began.Add(-3*time.Hour))) // from a relay's spool
		r.Observe(production, told("gone", "on", 1, began))
		r.Observe(production, told("b", "on", 7, began.Add(24*time.Hour))) // by a clock that is ahead
		pass(time.Minute)

		u := b.read()
		if !u.Since.Equal(began.Truncate(time.Minute)) {
			t.Errorf("counted since %v, want %v", u.Since, began)
		}
		a := u.Flag("a")
		if !a.Last().Equal(began) || a.LastHour(began) != 6 {
			t.Errorf("a was evaluated last at %v, and %d times", a.Last(), a.LastHour(began))
		}
		want := map[string]time.Time{"on": began, "": began.Add(-30 * time.Minute), "off": began.Add(-3 * time.Hour)}
		if got := a.Variants(); !maps.EqualFunc(got, want, time.Time.Equal) {
			t.Errorf("variants %v, want %v", got, want)
		}
		if !u.Flag("b").Last().Equal(began) {
			t.Errorf("b was evaluated last at %v, which is to come", u.Flag("b").Last())
		}
		if u.Flag("gone") != nil {
			t.Error("a flag that is not there is kept")
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestLastHourPasses(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		began := time.Now()
		for range 12 { // 12 hours
			r.Observe(production, told("a", "on", 10, time.Now()))
			pass(30 * time.Minute)
			r.Observe(production, told("a", "on", 1, time.Now()))
			pass(30 * time.Minute)
		}
		u := b.read().Flag("a")
		// The spans of ten minutes are those that hold some of the last hour.
		if n := u.LastHour(time.Now()); n != 11 {
			t.Errorf("%d in the last hour, want 11", n)
		}
		if n := u.LastHour(time.Now().Add(31 * time.Minute)); n != 1 {
			t.Errorf("%d half an hour later, want 1", n)
		}
		if n := u.LastHour(time.Now().Add(48 * time.Hour)); n != 0 {
			t.Errorf("%d two days later", n)
		}
		if b.read().Since.After(began) {
			t.Error("counting began anew")
		}
		_ = stop()
	})
}

// Evaluations are told by variant and span, also after the next leader has taken over.
func TestEvaluationsByVariant(t *testing.T) {
	run(t, func(b *bench) {
		began := time.Now()
		r, stop := b.lead()
		r.Observe(production, told("a", "on", 5, began))
		r.Observe(production, told("a", "off", 2, began.Add(-20*time.Minute)))
		pass(time.Minute)
		_ = stop()
		pass(10 * time.Minute)
		r, stop = b.lead()
		r.Observe(production, told("a", "on", 7, time.Now()))
		pass(time.Minute)
		_ = stop()

		got, from := b.read().Flag("a").Evaluations(time.Now())
		want := map[string][]uint64{"on": {0, 0, 0, 0, 0, 5, 7}, "off": {0, 0, 0, 2, 0, 0, 0}}
		if !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("got %v, want %v", got, want)
		}
		if now := time.Now(); !from.Add(6 * usage.Span).Equal(now.Truncate(usage.Span)) {
			t.Errorf("the first span began at %v, now is %v", from, now)
		}
		if got, _ := b.read().Flag("a").Evaluations(time.Now().Add(40 * time.Minute)); !slices.Equal(got["on"], []uint64{0, 5, 7, 0, 0, 0, 0}) {
			t.Errorf("40 minutes later: %v", got)
		}
		if got, _ := b.read().Flag("a").Evaluations(time.Now().Add(2 * time.Hour)); len(got) != 0 {
			t.Errorf("2 hours later: %v", got)
		}
	})
}

// The next leader goes on from what the one before has written, with what it was told before
// it had read that.
func TestNextLeader(t *testing.T) {
	run(t, func(b *bench) {
		began := time.Now()
		r, stop := b.lead()
		r.Observe(production, told("a", "on", 5, began))
		pass(time.Minute)
		_ = stop()
		pass(20 * time.Minute)

		r, stop = b.lead()
		r.Observe(production, told("a", "off", 3, time.Now()))
		pass(time.Minute)
		u := b.read()
		if n := u.Flag("a").LastHour(time.Now()); n != 8 || !u.Since.Equal(began.Truncate(time.Minute)) {
			t.Errorf("%d evaluations since %v, want 8 since %v", n, u.Since, began)
		}
		if got := slices.Sorted(maps.Keys(u.Flag("a").Variants())); !slices.Equal(got, []string{"off", "on"}) {
			t.Errorf("variants %v", got)
		}
		_ = stop()
	})
}

func TestDeletedFlagsAreForgotten(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		r.Observe(production, told("a", "on", 5, time.Now()))
		pass(time.Minute)
		b.gone.Store("a", true)
		pass(time.Minute)
		if b.read().Flag("a") != nil {
			t.Error("it is still there")
		}
		_ = stop()
	})
}

// Who does not lead any more writes nothing.
func TestDeposed(t *testing.T) {
	run(t, func(b *bench) {
		r, stop := b.lead()
		_, stopNext := b.lead()
		r.Observe(production, told("a", "on", 5, time.Now()))
		pass(time.Minute)
		if err := stop(); !errors.Is(err, leader.ErrDeposed) {
			t.Errorf("got %v", err)
		}
		if b.read().Flag("a") != nil {
			t.Error("it was written")
		}
		_ = stopNext()
	})
}

// A store that fails for a while costs nothing.
func TestStoreFails(t *testing.T) {
	run(t, func(b *bench) {
		failing := &failing{Store: b.store}
		b.store = failing
		r, stop := b.lead()
		r.Observe(production, told("a", "on", 5, time.Now()))
		failing.fails.Store(true)
		pass(3 * time.Minute)
		failing.fails.Store(false)
		pass(time.Minute)
		if u := b.read().Flag("a"); u == nil {
			t.Error("it was lost")
		}
		_ = stop()
	})
}

// failing is a store that does not answer while it is told to.
type failing struct {
	store.Store
	fails atomic.Bool
}

func (f *failing) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if f.fails.Load() {
		return store.Outcome{}, store.ErrUnavailable
	}
	return f.Store.Commit(ctx, t)
}

func TestCorrupt(t *testing.T) {
	run(t, func(b *bench) {
		_, err := b.store.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put("/tidegate/v1/u/production/3", []byte{0xff})}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := usage.Read(t.Context(), b.store, production); !errors.Is(err, usage.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
		r, stop := b.lead() // which begins anew
		r.Observe(production, told("a", "on", 5, time.Now()))
		pass(time.Minute)
		_ = stop()
	})
}

func TestOptions(t *testing.T) {
	if _, err := usage.NewRecorder(usage.Options{}); err == nil {
		t.Error("made of nothing")
	}
}
