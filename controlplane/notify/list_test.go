package notify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
)

// named are such as 'waits oncall/evt_1'.
func named(list []notify.Notification) []string {
	var all []string
	for _, n := range list {
		state := "waits "
		if n.State == notify.Dead {
			state = "dead "
		}
		all = append(all, state+n.Target+"/"+n.ID)
	}
	return all
}

// Pages of any size, one after the other, are the list.
func TestListPages(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		var ops []store.Op
		for _, key := range []string{
			"n/a/evt_1", "n/a/evt_2", "n/ab/evt_1", "n/b/evt_3", "n-dead/a/evt_4", "n-dead/a/evt_5", "n-dead/b/evt_6",
		} {
			ops = append(ops, store.Put("/tidegate/v1/"+key, []byte("{}")))
		}
		b.commit(ops...)
		n := b.notifier(nil, nil)
		for name, tc := range map[string]struct {
			query notify.Query
			want  []string
		}{
			"all": {notify.Query{}, []string{
				"waits a/evt_1", "waits a/evt_2", "waits ab/evt_1", "waits b/evt_3", "dead a/evt_4", "dead a/evt_5", "dead b/evt_6",
			}},
			"of one target":        {notify.Query{Target: "a"}, []string{"waits a/evt_1", "waits a/evt_2", "dead a/evt_4", "dead a/evt_5"}},
			"in one state":         {notify.Query{State: notify.Dead}, []string{"dead a/evt_4", "dead a/evt_5", "dead b/evt_6"}},
			"of one, in one state": {notify.Query{Target: "b", State: notify.Waiting}, []string{"waits b/evt_3"}},
			"of nobody":            {notify.Query{Target: "c"}, nil},
		} {
			for limit := range len(tc.want) + 2 {
				var got []string
				q := tc.query
				q.Limit = limit
				for {
					list, after, err := n.List(t.Context(), q)
					if err != nil || limit > 0 && len(list) > limit {
						t.Fatalf("%s: %d, %v", name, len(list), err)
					}
					got = append(got, named(list)...)
					if q.After = after; after == "" {
						break
					}
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("%s, %d at once: %q, not %q", name, limit, got, tc.want)
				}
			}
		}
		for _, q := range []notify.Query{
			{After: "nonsense"}, {Target: "a", After: "/tidegate/v1/n/b/evt_3"}, {State: notify.Waiting, After: "/tidegate/v1/n-dead/a/evt_4"},
		} {
			if _, _, err := n.List(t.Context(), q); !errors.Is(err, notify.ErrCursor) {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}

// The leader knows what came of what waits, the others do not.
func TestProgress(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		r.answers(func(context.Context, notify.Event) error {
			return &notify.Failure{Reason: "not there", Down: true, RetryAfter: time.Minute}
		})
		n, other := b.notifier(map[string]notify.Sender{"oncall": r}, nil), b.notifier(nil, nil)
		for i := range 3 {
			b.put(n, event(i))
		}
		if n.Leads() {
			t.Error("it leads before it was elected")
		}
		began := time.Now()
		b.run(n)
		synctest.Wait()
		list, _, err := n.List(t.Context(), notify.Query{})
		if err != nil || len(list) != 3 || !n.Leads() {
			t.Fatalf("%d, leads %v, %v", len(list), n.Leads(), err)
		}
		for _, one := range list {
			p := one.Progress
			if p == nil || one.Event == nil || !one.Died.IsZero() || one.Queued.IsZero() {
				t.Fatalf("%+v", one)
			}
			text := fmt.Sprintf("%s: %d, %s", one.Event.Headline, p.Attempts, p.Problem)
			if !slices.Contains([]string{"event 0: 1, not there", "event 1: 0, not there", "event 2: 0, not there"}, text) {
				t.Error(text)
			}
			if wait := p.Next.Sub(began); wait != time.Minute {
				t.Errorf("%s: tried again after %v", one.Event.Headline, wait)
			}
			again, err := n.Get(t.Context(), one.Target, one.ID)
			if err != nil || *again.Progress != *p || again.ID != one.ID {
				t.Errorf("Get: %+v, %v", again, err)
			}
			if there, err := other.Get(t.Context(), one.Target, one.ID); err != nil || there.Progress != nil || there.Event.ID != one.ID {
				t.Errorf("of another server: %+v, %v", there, err)
			}
		}
		r.answers(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if list, _, err := n.List(t.Context(), notify.Query{}); err != nil || len(list) != 0 {
			t.Errorf("once all were taken: %+v, %v", list, err)
		}
		if _, err := n.Get(t.Context(), list[0].Target, list[0].ID); !errors.Is(err, notify.ErrNotFound) {
			t.Errorf("Get of what was taken: %v", err)
		}
	})
}

// A test is one attempt, of which nothing is kept, whoever leads.
func TestTest(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		for name, tc := range map[string]struct {
			answer func(context.Context, notify.Event) error
			taken  bool
			text   string
			after  time.Duration
		}{
			"taken":   {nil, true, "thanks", 0},
			"refused": {func(context.Context, notify.Event) error { return &notify.Failure{Reason: "404", Permanent: true} }, false, "404", 0},
			"fails":   {func(context.Context, notify.Event) error { return errors.New("broken") }, false, "broken", 0},
			"hangs": {
				func(ctx context.Context, _ notify.Event) error { <-ctx.Done(); return ctx.Err() },
				false, context.DeadlineExceeded.Error(), 10 * time.Second,
			},
		} {
			before := len(r.tried())
			r.answers(tc.answer)
			answer, err := n.Test(t.Context(), "oncall", "ada")
			if err != nil || answer.Taken != tc.taken || answer.Text != tc.text || answer.Elapsed != tc.after {
				t.Errorf("%s: %+v, %v", name, answer, err)
			}
			tried := r.tried()[before:]
			if len(tried) != 1 || tried[0].event.ID != answer.ID || tried[0].event.Kind != notify.Test || tried[0].event.Actor != "ada" {
				t.Errorf("%s: sent %+v", name, tried)
			}
			time.Sleep(time.Second) // a message is known by its time
		}
		if kept := b.keys("/tidegate/v1/n"); len(kept) > 0 {
			t.Errorf("kept: %q", kept)
		}
		if _, err := n.Test(t.Context(), "nobody", "ada"); !errors.Is(err, notify.ErrNoTarget) || !strings.Contains(err.Error(), "nobody") {
			t.Errorf("nobody: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r.answers(func(ctx context.Context, _ notify.Event) error { cancel(); <-ctx.Done(); return ctx.Err() })
		if _, err := n.Test(ctx, "oncall", "ada"); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller went away: %v", err)
		}
		if got := (notify.Target{Name: "x", Sender: r, Kinds: []notify.Kind{notify.Test}}); got.Check() == nil {
			t.Error("a target may ask for tests")
		}
	})
}
