package follower

import (
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// TestRefusals: the waits between questions for what is refused are at least what the
// upstream asks for, grow up to the maximum whatever it asks for, and begin anew after a
// while of peace; an upstream that grants and revokes in turns gains nothing.
func TestRefusals(t *testing.T) {
	const least, most = 500 * time.Millisecond, 30 * time.Second
	now := time.Now()
	for name, c := range map[string]struct{ asked, from time.Duration }{
		"none": {0, 0}, "negative": {-time.Hour, 0}, "some": {5 * time.Second, 5 * time.Second}, "forever": {time.Hour, most},
	} {
		for times, bound := range map[int]time.Duration{1: least, 2: 2 * least, 5: 16 * least, 9: most, 40: most} {
			var longest time.Duration
			for range 500 {
				var r refusal
				for range times {
					r.refuse(c.asked, least, most, now)
				}
				wait := r.again.Sub(now)
				if wait <= c.from || wait > c.from+bound {
					t.Fatalf("%s: after %d refusals %s", name, times, wait)
				}
				longest = max(longest, wait)
			}
			if longest < c.from+bound*9/10 {
				t.Errorf("%s: after %d refusals at most %s", name, times, longest)
			}
		}
	}
	var r refusal
	for range 20 {
		r.refuse(0, least, most, now)
	}
	r.refuse(0, least, most, now.Add(2*most+1))
	if wait := r.again.Sub(now.Add(2*most + 1)); wait > least {
		t.Errorf("after a while of peace %s", wait)
	}
}

// TestAsking: what is refused is left out until it is due, unless nothing else is left.
func TestAsking(t *testing.T) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	in := newIntake(Options{
		InstanceID: "relay", Replicas: replica.NewSet(replica.Options{}), Environments: []string{"a", "b"},
		BackoffMin: time.Second, BackoffMax: time.Minute, Logger: zerolog.Nop(),
	}, newDurability(nil, zerolog.Nop(), m), m)
	now := time.Now()
	expect := func(want ...string) {
		t.Helper()
		var got []string
		for _, sc := range in.open(now) {
			got = append(got, sc.GetEnvironment())
		}
		if len(got) != len(want) || got[0] != want[0] {
			t.Fatalf("asked for %v, want %v", got, want)
		}
	}
	goodbye := func(others bool, environments ...string) {
		t.Helper()
		err := in.handle(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Goodbye{Goodbye: &syncv1.Goodbye{
			Code: syncv1.Goodbye_CODE_REVOKED, Environments: environments, Backoff: durationpb.New(10 * time.Second),
		}}}, now)
		if atOnce(err) != others {
			t.Fatalf("%v: others are left: %v", err, !others)
		}
	}
	expect("a", "b")
	if _, ok := in.untilAsk(now); ok {
		t.Error("there is nothing to ask for later")
	}
	goodbye(true, "a")
	expect("b")
	if wait, ok := in.untilAsk(now); !ok || wait <= 10*time.Second || wait > 11*time.Second {
		t.Errorf("asks again after %s", wait)
	}
	goodbye(false, "a") // it was not asked for: a stream that ends so is one that failed
	expect("b")
	goodbye(false, "b")
	expect("a", "b") // the rotation waits
	goodbye(false)
	now = now.Add(time.Hour)
	expect("a", "b")
	goodbye(true, "b")
	expect("a")
	now = now.Add(5 * time.Second)
	if wait, ok := in.untilAsk(now); !ok || wait <= 5*time.Second {
		t.Errorf("asks again after %s", wait)
	}
	now = now.Add(time.Hour)
	if wait, _ := in.untilAsk(now); wait != 0 {
		t.Errorf("overdue, and asks again after %s", wait)
	}
	expect("a", "b")
}
