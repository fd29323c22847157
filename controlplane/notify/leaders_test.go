package notify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
)

// A leader that dies between sending and removing: the next one sends again, with the same
// ID. Nothing is lost.
func TestSuccession(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		first := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		r.answers(func(_ context.Context, e notify.Event) error {
			if e.Headline == "event 2" {
				b.store.SetDown(true) // it is taken, and nobody can write that down
			}
			return nil
		})
		for i := range 4 {
			b.put(first, event(i))
		}
		stop := b.run(first)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.took(); !slices.Equal(got, []string{"event 0", "event 1", "event 2"}) {
			t.Fatalf("the first leader told %q", got)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		b.store.SetDown(false)
		r.answers(nil)
		b.elect()
		b.run(b.notifier(map[string]notify.Sender{"oncall": r}, nil))
		synctest.Wait()
		if got := r.took(); !slices.Equal(got, []string{"event 0", "event 1", "event 2", "event 2", "event 3"}) {
			t.Errorf("both told %q", got)
		}
		tried := r.tried()
		if tried[2].event.ID != tried[3].event.ID || tried[2].event.ID == tried[4].event.ID {
			t.Errorf("IDs: %s, %s, then %s", tried[2].event.ID, tried[3].event.ID, tried[4].event.ID)
		}
		if left := b.waiting(); len(left) > 0 {
			t.Errorf("left in the outbox: %q", left)
		}
	})
}

// A leader that does not know that it was deposed changes nothing in the store.
func TestFence(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer error
	}{
		{"taken", nil},
		{"refused", &notify.Failure{Reason: "404", Permanent: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bed) {
				r := &receiver{}
				n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
				b.put(n, event(1))
				r.answers(func(context.Context, notify.Event) error { b.elect(); return c.answer })
				ended := make(chan error, 1)
				fence := b.fence
				go func() { ended <- n.Run(t.Context(), fence) }()
				if err := <-ended; !errors.Is(err, notify.ErrFenced) {
					t.Errorf("Run: %v", err)
				}
				if left := b.waiting(); len(left) != 1 {
					t.Errorf("in the outbox: %q", left)
				}
				if dead := letters(t, n); len(dead) > 0 {
					t.Errorf("dead: %+v", dead)
				}
			})
		})
	}
}

// moody is a store whose calls fail at random, some after they happened.
type moody struct {
	store.Store
	random  *rand.Rand
	percent atomic.Int32
}

func (m *moody) fails() bool { return m.random.Int32N(100) < m.percent.Load() }

func (m *moody) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	if m.fails() {
		return nil, 0, store.ErrUnavailable
	}
	return m.Store.Read(ctx, ranges...)
}

func (m *moody) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if m.fails() {
		return store.Outcome{}, store.ErrUnavailable
	}
	out, err := m.Store.Commit(ctx, t)
	if m.fails() {
		return store.Outcome{}, store.ErrUnavailable
	}
	return out, err
}

// lockedSource is shared by goroutines.
type lockedSource struct {
	turn chan struct{}
	rand.Source
}

func (l lockedSource) Uint64() uint64 {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.Source.Uint64()
}

// Random events, failures of targets and of the store, broken watches, and leaders that come
// and go: in the end each target was told everything, or it is a dead letter, and what came
// twice has one ID.
func TestNothingIsLost(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bed) { runRandom(t, b, seed) })
		})
	}
}

func runRandom(t *testing.T, b *bed, seed uint64) {
	random := rand.New(lockedSource{make(chan struct{}, 1), rand.NewPCG(seed, 1)})
	m := &moody{Store: b.store, random: random}
	m.percent.Store(20)
	var calm atomic.Bool
	receivers := map[string]*receiver{"a": {}, "b": {}, "c": {}}
	senders := map[string]notify.Sender{}
	for name, r := range receivers {
		senders[name] = r
		r.answers(func(ctx context.Context, _ notify.Event) error {
			if calm.Load() {
				return nil
			}
			switch random.IntN(12) {
			case 0:
				return &notify.Failure{Reason: "refused", Permanent: true}
			case 1, 2, 3:
				return errors.New("500")
			case 4, 5:
				return &notify.Failure{Reason: "down", Down: true}
			case 6:
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
	}
	n := b.notifierOn(m, senders, nil)
	stop := b.run(n)
	const events = 60
	for i := range events {
		b.put(n, event(i))
		time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
		switch random.IntN(8) {
		case 0:
			b.store.BreakWatches()
		case 1:
			_ = stop()
			b.elect()
			n = b.notifierOn(m, senders, nil)
			stop = b.run(n)
		}
	}
	calm.Store(true)
	m.percent.Store(0)
	time.Sleep(time.Hour)
	synctest.Wait()
	if left := b.waiting(); len(left) > 0 {
		t.Errorf("left in the outbox: %q", left)
	}
	accounted := make(map[string]bool)
	for name, r := range receivers {
		ids := make(map[string]string)
		for _, a := range r.tried() {
			if id := ids[a.event.Headline]; id != "" && id != a.event.ID {
				t.Errorf("%s has two IDs", a.event.Headline)
			}
			ids[a.event.Headline] = a.event.ID
			if a.err == nil {
				accounted[name+"/"+a.event.ID] = true
			}
		}
	}
	for _, d := range letters(t, n) {
		if d.Problem != "refused" {
			t.Errorf("dead for another reason: %+v", d)
		}
		accounted[d.Target+"/"+d.ID] = true
	}
	if len(accounted) != 3*events {
		t.Errorf("%d of %d are accounted for", len(accounted), 3*events)
	}
}

// What an operator settles while the leader is at work is not undone, and what is put back
// while it was just given up is delivered.
func TestRedeliver(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		r.answers(func(context.Context, notify.Event) error { return &notify.Failure{Reason: "403", Permanent: true} })
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		b.run(n)
		for i := range 3 {
			b.put(n, event(i))
		}
		synctest.Wait()
		dead := letters(t, n)
		if len(dead) != 3 || dead[0].Event.Headline != "event 2" || dead[2].Event.Headline != "event 0" {
			t.Fatalf("not the newest first: %+v", dead)
		}
		operator := b.notifier(nil, nil) // on another server
		if err := operator.Discard(t.Context(), "oncall", dead[0].ID); err != nil {
			t.Error(err)
		}
		r.answers(nil)
		for range 2 {
			if err := operator.Redeliver(t.Context(), "oncall", dead[1].ID); err != nil && !errors.Is(err, notify.ErrNotFound) {
				t.Error(err)
			}
		}
		synctest.Wait()
		if got := r.took(); !slices.Equal(got, []string{"event 1"}) {
			t.Errorf("took %q", got)
		}
		if tried := r.tried(); tried[len(tried)-1].event.ID != dead[1].ID {
			t.Error("its ID has changed")
		}
		if left := letters(t, n); len(left) != 1 || left[0].ID != dead[2].ID {
			t.Errorf("dead: %+v", left)
		}
		for _, f := range []func(context.Context, string, string) error{operator.Discard, operator.Redeliver} {
			if err := f(t.Context(), "oncall", dead[1].ID); !errors.Is(err, notify.ErrNotFound) {
				t.Errorf("again: %v", err)
			}
		}
	})
}

// meddled is a store in which something happens between a read and what follows.
type meddled struct {
	store.Store
	meddle func()
}

func (m *meddled) Read(ctx context.Context, ranges ...store.Range) ([]store.Result, int64, error) {
	results, revision, err := m.Store.Read(ctx, ranges...)
	m.meddle()
	return results, revision, err
}

// Of two who settle a dead letter, one does.
func TestSettledTwice(t *testing.T) {
	const key = "/tidegate/v1/n-dead/oncall/evt_a"
	dead := []byte(`{"reason":"404","record":{"queued":"2026-03-01T12:00:00Z","event":{"id":"evt_a","kind":"aborted"}}}`)
	b := &bed{t: t, store: memstore.New(), log: &syncBuffer{}}
	for name, meddle := range map[string]func(){
		"it went":           func() { b.commit(store.Delete(key)) },
		"it is another now": func() { b.commit(store.Put(key, dead)) },
	} {
		t.Run(name, func(t *testing.T) {
			b.commit(store.Put(key, dead))
			n := b.notifierOn(&meddled{b.store, meddle}, nil, nil)
			for _, f := range []func(context.Context, string, string) error{n.Redeliver, n.Discard} {
				if err := f(t.Context(), "oncall", "evt_a"); !errors.Is(err, notify.ErrNotFound) {
					t.Errorf("error: %v", err)
				}
			}
			if left := b.waiting(); len(left) > 0 {
				t.Errorf("in the outbox: %q", left)
			}
		})
	}
}

// hooked is a store in which something happens after a commit, before the one who asked for it
// knows.
type hooked struct {
	store.Store
	after func(store.Txn)
}

func (h *hooked) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	out, err := h.Store.Commit(ctx, t)
	h.after(t)
	return out, err
}

// A dead letter that is put back before the leader knows that it died is not forgotten.
func TestRedeliverEarly(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		operator := b.notifier(nil, nil)
		redelivered := false
		h := &hooked{b.store, func(txn store.Txn) {
			dead := slices.IndexFunc(txn.Ops, func(op store.Op) bool { return strings.HasPrefix(op.Key, "/tidegate/v1/n-dead/") })
			if dead < 0 || redelivered {
				return
			}
			redelivered = true
			if err := operator.Redeliver(t.Context(), "oncall", strings.TrimPrefix(txn.Ops[dead].Key, "/tidegate/v1/n-dead/oncall/")); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second) // the leader's watch delivers it
		}}
		r.answers(func(context.Context, notify.Event) error {
			r.answers(nil)
			return &notify.Failure{Reason: "403", Permanent: true}
		})
		n := b.notifierOn(h, map[string]notify.Sender{"oncall": r}, nil)
		b.put(n, event(1))
		b.run(n)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := r.took(); !redelivered || !slices.Equal(got, []string{"event 1"}) || len(b.waiting()) > 0 {
			t.Errorf("took %q, %q wait", got, b.waiting())
		}
	})
}

// An event that dies, is put back and dies again, over and over, is tried each time.
func TestRedeliverAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		r.answers(func(context.Context, notify.Event) error { return &notify.Failure{Reason: "403", Permanent: true} })
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		b.put(n, event(1))
		b.run(n)
		for range 50 {
			synctest.Wait()
			dead := letters(t, n)
			if len(dead) != 1 {
				t.Fatalf("dead: %+v", dead)
			}
			if err := n.Redeliver(t.Context(), "oncall", dead[0].ID); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if tried := r.tried(); len(tried) != 51 {
			t.Errorf("%d attempts", len(tried))
		}
	})
}

// Records that cannot be decoded are kept, said to be so, and hold nothing up.
func TestDamaged(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		b.commit(
			store.Put("/tidegate/v1/n/oncall/evt_a", []byte("\xff\x00")),
			store.Put("/tidegate/v1/n/oncall/evt_b", []byte("{}")),
			store.Put("/tidegate/v1/n/oncall/evt_c", []byte(strings.Repeat("x", 1<<20))),
			store.Put("/tidegate/v1/n/nonsense", nil),
			store.Put("/tidegate/v1/n-dead/oncall/evt_d", []byte("[")),
		)
		b.put(n, event(1))
		b.run(n)
		synctest.Wait()
		if got := r.took(); !slices.Equal(got, []string{"event 1"}) {
			t.Errorf("took %q", got)
		}
		dead := letters(t, n)
		if len(dead) != 5 || len(b.waiting()) > 0 {
			t.Fatalf("dead: %+v, waiting: %q", dead, b.waiting())
		}
		for _, d := range dead {
			if d.Event != nil || !strings.Contains(d.Problem, "damaged") {
				t.Errorf("%+v", d)
			}
			if err := n.Redeliver(t.Context(), d.Target, d.ID); !errors.Is(err, notify.ErrDamaged) {
				t.Errorf("Redeliver of %s: %v", d.ID, err)
			}
			if err := n.Discard(t.Context(), d.Target, d.ID); err != nil {
				t.Error(err)
			}
		}
		if left := letters(t, n); len(left) > 0 {
			t.Errorf("left: %+v", left)
		}
	})
}

// The newest thousand dead letters are kept, whoever wrote them.
func TestDeadLettersAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		for i := 0; i < 1050; i += 105 {
			var ops []store.Op
			for j := i; j < i+105; j++ {
				ops = append(ops, store.Put(fmt.Sprintf("/tidegate/v1/n-dead/old/evt_%d", j), []byte(`{"reason":"x"}`)))
			}
			b.commit(ops...)
		}
		r := &receiver{}
		r.answers(func(context.Context, notify.Event) error { return &notify.Failure{Reason: "403", Permanent: true} })
		n := b.notifier(map[string]notify.Sender{"a": r, "b": r}, nil)
		b.run(n)
		synctest.Wait()
		for i := range 10 {
			b.put(n, event(i))
		}
		synctest.Wait()
		dead := letters(t, n)
		if len(dead) != notify.MaxDeadLetters {
			t.Errorf("%d are kept", len(dead))
		}
		if fresh := slices.IndexFunc(dead, func(d letter) bool { return d.Target == "old" }); fresh != 20 {
			t.Errorf("%d of 20 new ones are kept", fresh)
		}
	})
}
