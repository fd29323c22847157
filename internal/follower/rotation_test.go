package follower

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

var errAny = errors.New("broken")

func rotationOf(upstreams ...string) *rotation {
	return newRotation(Options{Upstreams: upstreams, BackoffMin: 500 * time.Millisecond, BackoffMax: 30 * time.Second})
}

func away(d time.Duration) error {
	return fmt.Errorf("wrapped: %w", &goodbyeError{message: &syncv1.Goodbye{Code: syncv1.Goodbye_CODE_DRAINING, Backoff: durationpb.New(d)}})
}

func TestRotationGoesRound(t *testing.T) {
	r, now := rotationOf("a", "b", "c"), time.Now()
	var order []string
	for i := range 9 {
		u, wait := r.next(now)
		order = append(order, u)
		if between := i%3 != 0; between && wait != 0 {
			t.Errorf("attempt %d waits %s within a round", i, wait)
		}
		if i == 0 && wait != 0 {
			t.Errorf("the first attempt waits %s", wait)
		}
		r.failed(u, errAny, 0, now)
	}
	if want := []string{"a", "b", "c", "a", "b", "c", "a", "b", "c"}; !slices.Equal(order, want) {
		t.Errorf("order %v", order)
	}
}

// TestRotationWaits: the wait after each round is random below a bound that doubles up
// to the maximum, and the bound begins anew after a stream that lived.
func TestRotationWaits(t *testing.T) {
	now := time.Now()
	longest := func(failures int) time.Duration {
		var most time.Duration
		for range 2000 {
			r := rotationOf("a")
			for range failures {
				r.failed("a", errAny, 0, now)
			}
			_, wait := r.next(now)
			if wait <= 0 {
				t.Fatalf("no wait after %d failures", failures)
			}
			most = max(most, wait)
		}
		return most
	}
	for failures, bound := range map[int]time.Duration{
		1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 6: 16 * time.Second, 7: 30 * time.Second, 50: 30 * time.Second,
	} {
		if most := longest(failures); most > bound || most < bound*9/10 {
			t.Errorf("after %d failures it waits at most %s, want %s", failures, most, bound)
		}
	}
	r := rotationOf("a")
	for range 20 {
		r.failed("a", errAny, 0, now)
	}
	r.failed("a", errAny, r.stable(), now)
	if _, wait := r.next(now); wait > 500*time.Millisecond {
		t.Errorf("after a stream that lived it waits %s", wait)
	}
}

func TestRotationLeavesAlone(t *testing.T) {
	r, now := rotationOf("a", "b"), time.Now()
	r.failed("a", away(10*time.Second), time.Hour, now)
	for range 3 {
		if u, _ := r.next(now); u != "b" {
			t.Fatalf("%s is next", u)
		}
		r.failed("b", errAny, 0, now)
	}
	// b, too: then the first to be due, when it is due.
	r.failed("b", away(time.Hour), 0, now)
	var least, most time.Duration = time.Hour, 0
	for range 1000 {
		u, wait := r.next(now)
		if u != "a" {
			t.Fatalf("%s is next", u)
		}
		least, most = min(least, wait), max(most, wait)
	}
	// Not all at the same moment: it is a whole fleet that was told to stay away.
	if least <= 10*time.Second || most > 10500*time.Millisecond || most-least < 400*time.Millisecond {
		t.Errorf("after %s to %s", least, most)
	}
	if u, wait := r.next(now.Add(9900 * time.Millisecond)); u != "a" || wait > 30*time.Second {
		t.Errorf("%s after %s", u, wait)
	}
	// It cannot be told to stay away for good.
	r = rotationOf("a")
	r.failed("a", away(24*365*time.Hour), 0, now)
	if _, wait := r.next(now); wait > 30500*time.Millisecond {
		t.Errorf("waits %s", wait)
	}
	r.failed("a", away(-time.Hour), 0, now)
	if _, wait := r.next(now); wait <= 0 {
		t.Errorf("waits %s", wait)
	}
}

// TestRotationSpreads: when an upstream ends that was followed, its followers do not all
// fall upon the next one in the same moment; but no more than that: the one after is
// tried at once.
func TestRotationSpreads(t *testing.T) {
	now := time.Now()
	var least, most time.Duration = time.Hour, 0
	for range 1000 {
		r := rotationOf("a", "b", "c")
		r.failed("a", errAny, time.Millisecond, now)
		u, wait := r.next(now)
		if u != "b" {
			t.Fatalf("%s is next", u)
		}
		least, most = min(least, wait), max(most, wait)
		r.failed("b", errAny, 0, now)
		if u, wait := r.next(now); u != "c" || wait != 0 {
			t.Fatalf("%s after %s", u, wait)
		}
	}
	if least <= 0 || most > 500*time.Millisecond || most-least < 400*time.Millisecond {
		t.Errorf("after %s to %s", least, most)
	}
}

// TestRotationAsksAgain: who sent what does not fit is asked once more, from nothing.
func TestRotationAsksAgain(t *testing.T) {
	r, now := rotationOf("a", "b"), time.Now()
	var order []string
	for range 4 {
		u, _ := r.next(now)
		order = append(order, u)
		r.failed(u, fmt.Errorf("%w: x", errDiffers), 0, now)
	}
	if want := []string{"a", "a", "b", "a"}; !slices.Equal(order, want) {
		t.Errorf("order %v", order)
	}
}
