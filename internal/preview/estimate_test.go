package preview

import (
	"math"
	"testing"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestEstimateIsTrue: over many stores, whose hashes differ, the estimates are right on the
// average, and the interval has the truth 95 times of 100.
func TestEstimateIsTrue(t *testing.T) {
	t.Parallel()
	const (
		runs     = 200
		subjects = 4000
	)
	inside, share, number, truth := 0, 0.0, 0.0, 0.0
	for run := range runs {
		r := newRelay(t, enough)
		r.Follow(snapshot.Epoch{Counter: 1, Random: uint64(run)}, start)
		for subject := range subjects {
			r.answers(subject)
		}
		if run == 0 {
			truth = trueShare(r, subjects, 30)
		}
		p := Estimate(r.compares(30, Subjects))
		if p.GetComplete() || p.GetSampled() != Subjects {
			t.Fatalf("got %v", p)
		}
		share += p.GetShare() / runs
		number += float64(p.GetSubjects()) / runs
		if p.GetShareLow() <= truth && truth <= p.GetShareHigh() {
			inside++
		}
	}
	t.Logf("%d of %d intervals have the truth, %.4f; the mean is %.4f, of %.0f subjects", inside, runs, truth, share, number)
	if inside < runs*92/100 || inside > runs*98/100 {
		t.Errorf("%d of %d intervals have the truth", inside, runs)
	}
	if math.Abs(share-truth) > 0.005 {
		t.Errorf("the mean share is %v, the truth %v", share, truth)
	}
	if math.Abs(number-subjects) > 0.02*subjects {
		t.Errorf("the mean number is %v of %v", number, subjects)
	}
}

// trueShare counts for whom another percentage makes a difference.
func trueShare(r *relay, subjects int, percent uint32) float64 {
	after, n := environmentOf(splitFlag(r.t, "checkout", percent)), 0
	for subject := range subjects {
		c := subjectContext(subject)
		if compare(r.env.Evaluate("checkout", c), after.Evaluate("checkout", c)).differs {
			n++
		}
	}
	return float64(n) / float64(subjects)
}

// TestEstimateOfFew: whoever knows all does not guess, and of nobody there is no share.
func TestEstimateOfFew(t *testing.T) {
	t.Parallel()
	r := newRelay(t, enough)
	if p := Estimate(r.compares(100, Subjects)); p.GetSampled() != 0 || p.GetSubjects() != 0 || len(p.GetTransitions()) != 0 {
		t.Errorf("of nobody: %v", p)
	}
	for subject := range 20 {
		r.answers(subject)
		r.answers(subject)
	}
	p := Estimate(r.compares(100, Subjects))
	want := trueShare(r, 20, 100)
	if !p.GetComplete() || p.GetSubjects() != 20 || p.GetSampled() != 20 || p.GetShare() != want ||
		p.GetShareLow() != want || p.GetShareHigh() != want {
		t.Errorf("got %v, want the share %v of 20", p, want)
	}
	if n := len(p.GetTransitions()); n != 3 { // on, off and vip
		t.Errorf("got %d transitions: %v", n, p.GetTransitions())
	}
	if first := p.GetTransitions()[0]; first.GetBefore() != "off" || first.GetAfter() != "on" || !first.GetDiffers() {
		t.Errorf("most go %v", first)
	}
}

// TestWilson: its ends are the shares from which what was seen is 1.96 standard errors off.
func TestWilson(t *testing.T) {
	t.Parallel()
	for n := 1.0; n <= 256; n *= 2 {
		for x := 0.0; x <= n; x++ {
			low, high := wilson(x, n)
			for _, end := range []float64{low, high} {
				off, limit := x/n-end, 1.959963984540054*math.Sqrt(end*(1-end)/n)
				if atEdge := end == 0 || end == 1; math.Abs(math.Abs(off)-limit) > 1e-9 && !atEdge {
					t.Errorf("%v of %v: %v is off by %v, want %v", x, n, end, off, limit)
				}
			}
			if low > x/n || high < x/n || x == 0 && low > 1e-9 || x > 0 && low <= 0 || x == n && high < 1-1e-9 || x < n && high >= 1 {
				t.Errorf("%v of %v: %v to %v", x, n, low, high)
			}
		}
	}
}

// TestSubjectsOfASampleThatWasCutShort: where another relay has fewer, the bound is not a subject.
func TestSubjectsOfASampleThatWasCutShort(t *testing.T) {
	t.Parallel()
	f := &syncv1.PreviewFlag{Below: 1 << 63, Relays: 1, Transitions: []*syncv1.PreviewTransition{{Subjects: []uint64{1, 2, 3}}}}
	if got := Estimate(f).GetSubjects(); got != 6 {
		t.Errorf("3 in the lower half make %d", got)
	}
	f.Below = 4
	f.Transitions[0].Subjects[2] = 3
	if got := Estimate(f).GetSubjects(); got != 1<<62 {
		t.Errorf("got %d", got)
	}
}
