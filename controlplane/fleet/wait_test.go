package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/fleet"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// wait returns all answers of WaitApplied.
func (s *server) wait(t *testing.T, r *controlv1.WaitAppliedRequest) (answers []*controlv1.WaitAppliedResponse, err error) {
	t.Helper()
	err = s.WaitApplied(t.Context(), r, func(a *controlv1.WaitAppliedResponse) error {
		answers = append(answers, a)
		return nil
	})
	return answers, err
}

// waiter is a WaitApplied under way.
type waiter struct {
	t       *testing.T
	answers chan *controlv1.WaitAppliedResponse
	ended   chan error
}

func (s *server) begin(t *testing.T, r *controlv1.WaitAppliedRequest) *waiter {
	t.Helper()
	w := &waiter{t: t, answers: make(chan *controlv1.WaitAppliedResponse, 1000), ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		w.ended <- s.WaitApplied(ctx, r, func(a *controlv1.WaitAppliedResponse) error { w.answers <- a; return nil })
		close(w.answers)
	}()
	t.Cleanup(func() {
		cancel()
		for range w.answers {
		}
	})
	return w
}

// until takes answers up to one that says this.
func (w *waiter) until(want string) {
	w.t.Helper()
	var got string
	late := time.After(30 * time.Second)
	for got != want {
		select {
		case a, ok := <-w.answers:
			if !ok {
				w.t.Fatalf("it ended with %v; last answer %q, want %q", <-w.ended, got, want)
			}
			got = fmt.Sprintf("%d of %d", a.GetApplied(), a.GetTotal())
			var missing []string
			for _, m := range a.GetMissing() {
				missing = append(missing, m.GetInstanceId())
			}
			slices.Sort(missing)
			for _, id := range missing {
				got += " " + id
			}
			if a.GetLast() {
				got += fmt.Sprintf(", last, reached %v", a.GetReached())
			}
		case <-late:
			w.t.Fatalf("last answer %q, want %q", got, want)
		}
	}
}

const minute = time.Minute

func TestWaitApplied(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one, two := c.start("one"), c.start("two")
	a, b := one.join("a", "boot", 1), two.join("b", "boot", 1)
	one.lists(t, "a on one@0, b on two@0")
	w := one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 2, Timeout: durationpb.New(minute)})
	w.until("0 of 2 a b")
	state := one.publish(2)
	if two.publish(2) != state {
		t.Fatal("the servers differ")
	}
	a.Ack("e", state, tree.Rejections{})
	w.until("1 of 2 b")
	third := two.join("c", "boot", 1)
	w.until("1 of 3 b c")
	b.Ack("e", state, tree.Rejections{})
	w.until("2 of 3 c")
	third.Leave(false)
	third = one.join("c", "boot", 2)
	third.Ack("e", state, tree.Rejections{})
	w.until("3 of 3, last, reached true")
	if err := <-w.ended; err != nil {
		t.Error(err)
	}

	// Who had it counts, also when it is lost; who is lost without it is missing; who
	// leaves is not waited for.
	a.Leave(false)
	b.Leave(false)
	one.lists(t, "a gone@2, b gone@2, c on one@2")
	state = one.publish(3)
	w = one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 2, Timeout: durationpb.New(minute)})
	w.until("3 of 3, last, reached true")
	w = one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 3, Timeout: durationpb.New(minute), Fraction: 0.3})
	w.until("0 of 3 a b c")
	third.Ack("e", state, tree.Rejections{})
	w.until("1 of 3 a b, last, reached true")
	w = one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 3, Timeout: durationpb.New(minute)})
	w.until("1 of 3 a b")
	one.join("a", "boot", 3).Leave(true)
	w.until("1 of 2 b")
	two.join("b", "new boot", 1).Ack("e", state, tree.Rejections{})
	w.until("2 of 2, last, reached true")
}

func TestWaitForNobody(t *testing.T) {
	t.Parallel()
	one := newCluster(t).start("one", func(o *fleet.Options) { o.Advertise = "" })
	answers, err := one.wait(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 5})
	if err != nil || len(answers) != 1 || !answers[0].GetLast() || !answers[0].GetReached() || answers[0].GetTotal() != 0 {
		t.Errorf("%v, %v", answers, err)
	}
}

// A relay whose state has not changed since has a later revision, too.
func TestQuietEnvironment(t *testing.T) {
	t.Parallel()
	one := newCluster(t).start("one", func(o *fleet.Options) { o.Advertise = "" })
	a := one.join("a", "boot", 1)
	state := one.publish(10)
	a.Ack("e", state, tree.Rejections{})
	one.lists(t, "a on one@10")
	w := one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 15, Timeout: durationpb.New(minute)})
	w.until("0 of 1 a") // nobody knows yet what there is at 15
	one.replicas.Replica("e").Advance(20)
	w.until("1 of 1, last, reached true")

	// What it has stood up to revision 29.
	one.publish(30)
	one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 29, Timeout: durationpb.New(minute)}).until("1 of 1, last, reached true")
	short := &controlv1.WaitAppliedRequest{Environment: "e", Revision: 30, Timeout: durationpb.New(20 * time.Millisecond)}
	one.begin(t, short).until("0 of 1 a, last, reached false")
}

func TestNewEpochEndsTheWait(t *testing.T) {
	t.Parallel()
	one := newCluster(t).start("one", func(o *fleet.Options) { o.Advertise = "" })
	a := one.join("a", "boot", 1)
	one.lists(t, "a on one@0")
	w := one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 9, Timeout: durationpb.New(minute)})
	w.until("0 of 1 a")
	fresh := snapshot.New("e", snapshot.Epoch{Counter: 2}).Advance(50)
	if err := one.replicas.Replica("e").Publish(fresh, fresh.Full()); err != nil {
		t.Fatal(err)
	}
	a.Ack("e", fresh.Cursor(), tree.Rejections{})
	if err := <-w.ended; !errors.Is(err, fleet.ErrEpoch) {
		t.Errorf("%v", err)
	}
}

func TestStoppedServerEndsTheWait(t *testing.T) {
	t.Parallel()
	one := newCluster(t).start("one")
	one.join("a", "boot", 1)
	one.lists(t, "a on one@0")
	w := one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 9, Timeout: durationpb.New(minute)})
	w.until("0 of 1 a")
	one.stop()
	if err := <-w.ended; !errors.Is(err, fleet.ErrStopped) {
		t.Errorf("%v", err)
	}
}

func TestWaitAppliedValidates(t *testing.T) {
	t.Parallel()
	one := newCluster(t).start("one")
	for name, r := range map[string]*controlv1.WaitAppliedRequest{
		"environment": {Revision: 1},
		"revision":    {Environment: "e"},
		"fraction":    {Environment: "e", Revision: 1, Fraction: 1.01},
		"negative":    {Environment: "e", Revision: 1, Fraction: -1},
		"timeout":     {Environment: "e", Revision: 1, Timeout: durationpb.New(time.Hour)},
		"past":        {Environment: "e", Revision: 1, Timeout: durationpb.New(-time.Second)},
		"bad timeout": {Environment: "e", Revision: 1, Timeout: &durationpb.Duration{Nanos: -5, Seconds: 5}},
	} {
		var invalid *controlplane.InvalidError
		if _, err := one.wait(t, r); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var missing *controlplane.NotFoundError
	if _, err := one.wait(t, &controlv1.WaitAppliedRequest{Environment: "x", Revision: 1}); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
	if _, err := one.ListRelays(t.Context(), &controlv1.ListRelaysRequest{Environment: "x"}); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
}

// Acks of a large fleet come as few answers.
func TestAnswersAreFew(t *testing.T) {
	t.Parallel()
	one := newCluster(t).start("one", func(o *fleet.Options) { o.Advertise = "" })
	const relays = 300
	state := one.publish(2)
	for i := range relays {
		one.join(fmt.Sprintf("r%03d", i), "boot", 1).Ack("e", state, tree.Rejections{})
	}
	last := one.join("z", "boot", 1)
	eventually(t, func() bool { return strings.Count(one.list(t), "on one") == relays+1 }, func() string { return "not all relays are known" })
	began := time.Now()
	w := one.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 2, Timeout: durationpb.New(minute)})
	w.until(fmt.Sprintf("%d of %d z", relays, relays+1))
	last.Ack("e", state, tree.Rejections{})
	n := 1
	for range w.answers {
		n++
	}
	if most := 10 + int(time.Since(began)/(50*time.Millisecond)); n > most {
		t.Errorf("%d answers", n)
	}
}

// TestRejectedIsNotApplied: a relay that has a state but cannot use what was written in it
// goes on with the version before: the flag that was switched off is on there.
func TestRejectedIsNotApplied(t *testing.T) {
	c := newCluster(t)
	one := c.start("one")
	two := c.start("two")
	a, b := one.join("a", "boot", 1), two.join("b", "boot", 1)
	one.publish(2)
	two.publish(2)
	state := one.publish(3)
	two.publish(3)
	a.Ack("e", state, tree.Rejections{Count: 1, Newest: 2}) // of something else, before
	b.Ack("e", state, tree.Rejections{Count: 1, Newest: 3})
	var got string
	eventually(t, func() bool {
		answers, err := one.wait(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 3, Timeout: durationpb.New(0)})
		if err != nil {
			t.Fatal(err)
		}
		last := answers[len(answers)-1]
		got = fmt.Sprintf("%d of %d", last.GetApplied(), last.GetTotal())
		return last.GetTotal() == 2 && last.GetMissing() != nil && last.GetMissing()[0].GetInstanceId() == "b" && got == "1 of 2"
	}, func() string { return "applied on " + got })
}

// TestRevokedIsNotWaitedFor: a relay whose key was revoked dropped its state: nobody waits
// for it, on no server, also once all have started anew.
func TestRevokedIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one, two := c.start("one"), c.start("two")
	a, b := one.join("a", "boot", 1), one.join("b", "boot", 1)
	a.Ack("e", one.publish(2), tree.Rejections{})
	two.publish(2)
	one.lists(t, "a on one@2, b on one@0")
	b.Revoke([]string{"e"})
	b.Leave(false)
	for _, s := range []*server{one, two} {
		s.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 2, Timeout: durationpb.New(minute)}).until("1 of 1, last, reached true")
	}
	eventually(t, func() bool {
		results, _, err := c.store.Read(t.Context(), store.Prefix("/tidegate/v1/relays/"))
		return err == nil && len(results[0].KVs) == 2 && strings.Contains(string(results[0].KVs[1].Value), `"environments":[]`)
	}, func() string { return "its record is not written" })
	one.stop()
	two.stop()
	three := c.start("three")
	three.publish(2)
	w := three.begin(t, &controlv1.WaitAppliedRequest{Environment: "e", Revision: 2, Timeout: durationpb.New(minute)})
	w.until("0 of 1 a")
}
