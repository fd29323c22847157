package notify_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
)

func TestDeliver(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		b.put(n, event(1)) // before anybody leads
		b.put(n, event(2))
		stop := b.run(n)
		synctest.Wait()
		b.put(n, event(3))
		synctest.Wait()
		if got := r.took(); !slices.Equal(got, []string{"event 1", "event 2", "event 3"}) {
			t.Errorf("took %q", got)
		}
		if left := b.waiting(); len(left) > 0 {
			t.Errorf("left in the outbox: %q", left)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// A store that holds more than one page of records gives up all of them, in order.
func TestDeliverManyPages(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		var want []string
		for i := range 1003 {
			b.put(n, event(i))
			want = append(want, fmt.Sprintf("event %d", i))
		}
		b.run(n)
		synctest.Wait()
		if got := r.took(); !slices.Equal(got, want) {
			t.Errorf("took %d events, the first %q", len(got), got[:min(len(got), 10)])
		}
	})
}

// One slow target never holds up the others, and is itself held to the timeout.
func TestSlowTarget(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		slow, quick := &receiver{}, &receiver{}
		slow.answers(func(ctx context.Context, _ notify.Event) error { <-ctx.Done(); return ctx.Err() })
		n := b.notifier(map[string]notify.Sender{"slow": slow, "quick": quick}, nil)
		b.run(n)
		began := time.Now()
		for i := range 5 {
			b.put(n, event(i))
		}
		synctest.Wait()
		if got := quick.took(); len(got) != 5 || time.Since(began) != 0 {
			t.Errorf("after %v the quick one took %q", time.Since(began), got)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if tried := slow.tried(); len(tried) == 0 || time.Since(tried[0].at) != 11*time.Second || !errors.Is(tried[0].err, context.DeadlineExceeded) {
			t.Errorf("the slow one was tried: %+v", tried)
		}
	})
}

// The wait doubles, is random, and ends at a minute.
func TestBackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		r.answers(func(context.Context, notify.Event) error { return &notify.Failure{Reason: "down", Down: true} })
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		b.put(n, event(1))
		b.run(n)
		time.Sleep(time.Hour)
		synctest.Wait()
		tried := r.tried()
		if len(tried) < 60 || len(tried) > 135 {
			t.Errorf("%d attempts in an hour", len(tried))
		}
		for i := range tried[1:] {
			wait, most := tried[i+1].at.Sub(tried[i].at), min(time.Second<<min(i, 10), time.Minute)
			if wait < most/2 || wait > most {
				t.Errorf("wait %d is %v, not %v to %v", i, wait, most/2, most)
			}
		}
	})
}

// A target that was down for long, and is back, is not punished for it later.
func TestBackoffStartsAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		down := func(context.Context, notify.Event) error { return &notify.Failure{Reason: "down", Down: true} }
		r := &receiver{}
		r.answers(down)
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		b.put(n, event(1))
		b.run(n)
		time.Sleep(time.Hour)
		r.answers(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		before := len(r.tried())
		r.answers(down)
		b.put(n, event(2))
		time.Sleep(time.Minute)
		synctest.Wait()
		tried := r.tried()[before:]
		if len(tried) < 2 || tried[1].at.Sub(tried[0].at) > time.Second {
			t.Errorf("%d attempts in a minute, the second after %v", len(tried), tried[len(tried)-1].at.Sub(tried[0].at))
		}
	})
}

// What goes while the store cannot be followed is forgotten all the same; once the term is
// over, nothing is told of what waits.
func TestWhatIsKnownOfTheOutbox(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		r.answers(func(context.Context, notify.Event) error {
			return &notify.Failure{Reason: "down", Down: true, RetryAfter: time.Hour}
		})
		registry := prometheus.NewRegistry()
		n := b.notifier(map[string]notify.Sender{"oncall": r}, registry)
		b.put(n, event(1))
		b.put(n, event(2))
		stop := b.run(n)
		synctest.Wait()
		if got := metric(t, registry, "tidegate_notify_waiting", "oncall"); got != 2 {
			t.Errorf("%v wait", got)
		}
		b.store.BreakWatches()
		b.commit(store.Delete(b.waiting()[0]))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := metric(t, registry, "tidegate_notify_waiting", "oncall"); got != 1 {
			t.Errorf("%v wait", got)
		}
		_ = stop()
		families, err := registry.Gather()
		if err != nil || slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "tidegate_notify_waiting" }) {
			t.Errorf("told by one who does not lead: %v, %v", families, err)
		}
	})
}

// An attempt that the end of the term cuts off is nobody's failure.
func TestTermEndsWhileSending(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		r.answers(func(ctx context.Context, _ notify.Event) error { <-ctx.Done(); return ctx.Err() })
		registry := prometheus.NewRegistry()
		n := b.notifier(map[string]notify.Sender{"oncall": r}, registry)
		b.put(n, event(1))
		stop := b.run(n)
		synctest.Wait()
		began := time.Now()
		if err := stop(); err != nil || time.Since(began) != 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if failed := metric(t, registry, "tidegate_notify_failed_attempts_total", "oncall"); failed != 0 || len(b.waiting()) != 1 {
			t.Errorf("%v failed, %q wait", failed, b.waiting())
		}
		if strings.Contains(b.log.String(), "not taken") {
			t.Errorf("log: %s", b.log)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		asked, least, most time.Duration
	}{
		{90 * time.Second, 90 * time.Second, 90 * time.Second},
		{0, 0, time.Second},
		{1000 * time.Hour, time.Hour, time.Hour}, // not for ever
		{time.Millisecond, 500 * time.Millisecond, time.Second},
	} {
		t.Run(c.asked.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bed) {
				r := &receiver{}
				r.answers(func(context.Context, notify.Event) error {
					r.answers(nil)
					return &notify.Failure{Reason: "too many", Down: true, RetryAfter: c.asked}
				})
				n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
				b.put(n, event(1))
				b.run(n)
				synctest.Wait()
				b.put(n, event(2)) // is not tried earlier, either
				time.Sleep(2 * time.Hour)
				synctest.Wait()
				tried := r.tried()
				if len(tried) != 3 {
					t.Fatalf("%d attempts", len(tried))
				}
				if wait := tried[1].at.Sub(tried[0].at); wait < c.least || wait > c.most {
					t.Errorf("tried again after %v, not %v to %v", wait, c.least, c.most)
				}
				if got := r.took(); !slices.Equal(got, []string{"event 1", "event 2"}) {
					t.Errorf("took %q", got)
				}
			})
		})
	}
}

// A target that is down keeps the order; an event that it fails at lets others pass.
func TestOrder(t *testing.T) {
	t.Run("down", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bed) {
			r := &receiver{}
			r.answers(func(context.Context, notify.Event) error { return &notify.Failure{Reason: "down", Down: true} })
			n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
			b.run(n)
			var want []string
			for i := range 20 {
				b.put(n, event(i))
				want = append(want, fmt.Sprintf("event %d", i))
				time.Sleep(30 * time.Second)
			}
			r.answers(nil)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := r.took(); !slices.Equal(got, want) {
				t.Errorf("took %q", got)
			}
		})
	})
	t.Run("poison", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bed) {
			r := &receiver{}
			r.answers(func(_ context.Context, e notify.Event) error {
				if e.Headline == "event 0" {
					return errors.New("500")
				}
				return nil
			})
			n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
			b.run(n)
			for i := range 20 {
				b.put(n, event(i))
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if got := r.took(); len(got) != i {
					t.Fatalf("after event %d: took %q", i, got)
				}
			}
			if got := r.tried(); len(got) > 60 {
				t.Errorf("%d attempts in 200 minutes", len(got))
			}
			r.answers(nil)
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			if got := r.took(); len(got) != 20 || got[19] != "event 0" {
				t.Errorf("took %q", got)
			}
		})
	})
}

// What is refused for good is given up at once, what fails after a day; not before.
func TestGiveUp(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		refuses, fails, takes := &receiver{}, &receiver{}, &receiver{}
		refuses.answers(func(context.Context, notify.Event) error { return &notify.Failure{Reason: "404", Permanent: true} })
		fails.answers(func(context.Context, notify.Event) error { return errors.New("500") })
		registry := prometheus.NewRegistry()
		n := b.notifier(map[string]notify.Sender{"refuses": refuses, "fails": fails, "takes": takes}, registry)
		b.put(n, event(1))
		b.run(n)
		synctest.Wait()
		dead := letters(t, n)
		if len(dead) != 1 || dead[0].Target != "refuses" || dead[0].Problem != "404" || dead[0].Attempts != 1 || dead[0].Event.Headline != "event 1" {
			t.Errorf("dead at once: %+v", dead)
		}
		time.Sleep(23*time.Hour + 30*time.Minute)
		synctest.Wait()
		if dead := letters(t, n); len(dead) != 1 {
			t.Errorf("dead after 23:30 h: %+v", dead)
		}
		if got := metric(t, registry, "tidegate_notify_oldest_seconds", "fails"); got != (23*time.Hour + 30*time.Minute).Seconds() {
			t.Errorf("the oldest waited %v s", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		dead = letters(t, n)
		if len(dead) != 2 || dead[0].Target != "fails" || !strings.Contains(dead[0].Problem, "24h") || !strings.Contains(dead[0].Problem, "500") {
			t.Errorf("dead after 24:30 h: %+v", dead)
		}
		for name, want := range map[string]map[string]float64{
			"tidegate_notify_sent_total":            {"takes": 1, "fails": 0, "refuses": 0},
			"tidegate_notify_failed_attempts_total": {"takes": 0, "refuses": 1, "fails": float64(len(fails.tried()))},
			"tidegate_notify_dead_total":            {"takes": 0, "fails": 1, "refuses": 1},
			"tidegate_notify_waiting":               {"takes": 0, "fails": 0, "refuses": 0},
			"tidegate_notify_oldest_seconds":        {"takes": 0, "fails": 0, "refuses": 0},
		} {
			for target, v := range want {
				if got := metric(t, registry, name, target); got != v {
					t.Errorf("%s of %s is %v, not %v", name, target, got, v)
				}
			}
		}
		if left := b.waiting(); len(left) > 0 {
			t.Errorf("left in the outbox: %q", left)
		}
	})
}

// A clock that is a day ahead gives nothing up untried; one that was behind does not keep it
// for ever.
func TestClocksDiffer(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		b.put(n, event(1))
		time.Sleep(48 * time.Hour)
		b.run(n)
		synctest.Wait()
		if got := r.took(); len(got) != 1 {
			t.Errorf("took %q", got)
		}
		r.answers(func(context.Context, notify.Event) error { return errors.New("500") })
		future := strings.ReplaceAll(string(n.Ops(event(2))[0].Value), `{"queued":"20`, `{"queued":"21`)
		b.commit(store.Put("/tidegate/v1/n/oncall/evt_2", []byte(future)))
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if dead := letters(t, n); len(dead) != 1 {
			t.Errorf("dead: %+v", dead)
		}
	})
}

// What is for a target that this server does not know waits for one that does.
func TestTargetElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		knows := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		stranger := b.notifier(nil, nil)
		b.put(knows, event(1))
		stop := b.run(stranger)
		time.Sleep(time.Hour)
		_ = stop()
		if left := b.waiting(); len(left) != 1 {
			t.Fatalf("in the outbox: %q", left)
		}
		b.elect()
		b.run(knows)
		synctest.Wait()
		if got := r.took(); len(got) != 1 {
			t.Errorf("took %q", got)
		}
	})
}

func TestOverflow(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		r := &receiver{}
		r.answers(func(context.Context, notify.Event) error { return &notify.Failure{Reason: "down", Down: true} })
		n := b.notifier(map[string]notify.Sender{"oncall": r}, nil)
		n.SetMaxWaiting(10)
		for i := range 13 {
			b.put(n, event(i))
		}
		b.run(n)
		time.Sleep(time.Minute)
		synctest.Wait()
		dead := letters(t, n)
		if len(dead) != 3 || len(b.waiting()) != 10 {
			t.Fatalf("%d are dead, %d wait", len(dead), len(b.waiting()))
		}
		if dead[2].Event.Headline != "event 0" || !strings.Contains(dead[2].Problem, "10 newer") {
			t.Errorf("the first that died: %+v", dead[2])
		}
	})
}

// letter is a dead letter.
type letter struct {
	notify.Notification
	notify.Progress
}

// letters are the dead ones, the newest first.
func letters(t *testing.T, n *notify.Notifier) []letter {
	t.Helper()
	list, _, err := n.List(t.Context(), notify.Query{State: notify.Dead})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(list, func(a, b notify.Notification) int { return cmp.Compare(b.Revision, a.Revision) })
	var all []letter
	for _, n := range list {
		all = append(all, letter{n, *n.Progress})
	}
	return all
}

func metric(t *testing.T, g prometheus.Gatherer, name, target string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == target }) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s of %s", name, target)
	return 0
}
