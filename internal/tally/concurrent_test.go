package tally_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
)

// Everything is counted in exactly one batch, or lost with a reason, while others count, cut,
// widen and end rollouts: the account is exact, and so is each cell.
func TestConservation(t *testing.T) {
	s := newSite(t, tally.Options{Settling: 3 * time.Second})
	for _, key := range []string{"r", "q"} {
		r := watched()
		r.Key, r.Unit = key, rolloutv1.Unit_UNIT_REQUEST
		s.begin(r, 100)
	}
	var current atomic.Pointer[snapshot.Snapshot]
	current.Store(s.snapshot)
	now := atomic.Int64{}
	merged := report(t, nil)

	const workers, each = 4, 4000
	var exposures, taken, reported atomic.Uint64
	model := make([]map[place]uint64, workers)
	var work sync.WaitGroup
	for w := range workers {
		model[w] = map[place]uint64{}
		work.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range each {
				snap := current.Load()
				key := []string{"r", "q"}[random.IntN(2)]
				ctx := &eval.Context{TargetingKey: user(random.IntN(5000))}
				r := snap.Eval().Evaluate("flag-"+key, ctx)
				s.tally.Exposed(&r, ctx)
				if outcome, _ := r.Assignment(); outcome != 0 {
					exposures.Add(1)
					model[w][place{key, stepOf(t, snap, key), armOf(r.Variant)}]++
				}
				if random.IntN(4) == 0 {
					at := start.Add(time.Duration(now.Load()))
					n, _ := s.tally.Observe(&tally.Event{Context: ctx, Observations: []*telemetryv1.Observation{
						failed("errors"), number("cost", 1), took("latency", time.Second),
					}}, at)
					taken.Add(uint64(n))
				}
				if random.IntN(500) == 0 && s.tally.Merge(merged, 2) == nil {
					reported.Add(merged.GetTally().GetCounted() + 2)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()

	l := newLedger(t)
	step := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s.now = s.now.Add(time.Second)
		now.Store(int64(s.now.Sub(start)))
		if step++; step%3 == 0 && step < 60 {
			s.widen("r", uint32(min(100+step*100, 10_000)))
			current.Store(s.snapshot)
		}
		s.tally.Turn(s.now)
		l.add(s.cut()...)
	}
	for range 30 {
		l.add(s.cut()...)
	}
	a := s.tally.Account()
	if a.Emitted != l.emitted || a.Lost != l.lost || a.Counted != l.counted {
		t.Errorf("the account says %+v, the batches %d, %d, %d", a, l.emitted, l.counted, l.lost)
	}
	// Of observations of both rollouts' metrics: each counts for both of the flags.
	if want := exposures.Load() + 2*taken.Load() + reported.Load(); l.emitted != want {
		t.Errorf("emitted %d, want %d", l.emitted, want)
	}
	if l.counted+l.lost != l.emitted {
		t.Errorf("counted %d and lost %d are not the %d emitted", l.counted, l.lost, l.emitted)
	}
	want := map[place]uint64{}
	for _, m := range model {
		for at, n := range m {
			want[at] += n
		}
	}
	for _, c := range merged.GetWindows()[0].GetCells() {
		want[place{"r", 1, c.GetArm()}] += c.GetExposures() * reported.Load() / (merged.GetTally().GetCounted() + 2)
	}
	var late uint64
	for at, n := range want {
		got := l.cells[at].GetExposures()
		if got > n {
			t.Errorf("%v: %d exposures, there were %d", at, got, n)
		}
		late += n - min(got, n)
	}
	if late != a.LostBy[tally.Late] {
		t.Errorf("%d exposures are missing, %d are declared late", late, a.LostBy[tally.Late])
	}
}

// Cutting as often as it goes, while others count the same thing as often as it goes.
func TestSwap(t *testing.T) {
	s := newSite(t, tally.Options{})
	s.begin(&rolloutv1.Rollout{Key: "r"}, 5000)
	var stop atomic.Bool
	var counted atomic.Uint64
	var work sync.WaitGroup
	for range 3 {
		work.Go(func() {
			ctx := &eval.Context{TargetingKey: "u"}
			r := s.snapshot.Eval().Evaluate("flag-r", ctx)
			n := uint64(0)
			for ; !stop.Load() || n == 0; n++ {
				s.tally.Exposed(&r, ctx)
			}
			counted.Add(n)
		})
	}
	l := newLedger(t)
	cuts := 20_000
	if raceEnabled {
		cuts = 2000
	}
	for range cuts {
		l.add(s.cut()...)
	}
	stop.Store(true)
	work.Wait()
	l.add(s.cut()...)
	if l.emitted != counted.Load() {
		t.Errorf("emitted %d of %d", l.emitted, counted.Load())
	}
}

func armOf(v *eval.Variant) telemetryv1.Arm {
	if v.Name == "on" {
		return inTreatment
	}
	return inControl
}

// stepOf is the step that a snapshot's rollout is at.
func stepOf(t *testing.T, s *snapshot.Snapshot, key string) uint64 {
	for _, item := range s.Rollouts() {
		if item.Key == key {
			r, err := item.Rollout()
			if err != nil {
				t.Error(err)
			}
			return r.GetStatus().GetStep()
		}
	}
	t.Errorf("no rollout %q", key)
	return 0
}

// Cuts end windows between any two additions: many goroutines count what one would.
func TestConcurrentAsSequential(t *testing.T) {
	count := func(workers int) *ledger {
		s := newSite(t, tally.Options{})
		r := watched()
		r.Unit = rolloutv1.Unit_UNIT_REQUEST
		s.begin(r, 3000)
		s.settle().cut()
		s.cut()
		at := s.now
		stop := make(chan struct{})
		var cutting sync.WaitGroup
		l := newLedger(t)
		cutting.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					l.add(s.cut()...)
				}
			}
		})
		var work sync.WaitGroup
		for w := range workers {
			work.Go(func() {
				for i := w; i < 6000; i += workers {
					ctx := &eval.Context{TargetingKey: user(i), Attributes: eval.Map{"country": fmt.Sprint(i % 5)}}
					r := s.snapshot.Eval().Evaluate("flag-r", ctx)
					s.tally.Exposed(&r, ctx)
					e := &tally.Event{Context: ctx, ExposedAt: at.Add(-time.Minute), Observations: []*telemetryv1.Observation{number("cost", float64(i))}}
					if i%3 == 0 {
						e.Observations = append(e.Observations, failed("errors"))
					}
					s.tally.Observe(e, at)
				}
			})
		}
		work.Wait()
		close(stop)
		cutting.Wait()
		return l.add(s.cut()...)
	}
	one, many := count(1), count(8)
	for at, c := range one.cells {
		if many.cells[at].GetExposures() != c.GetExposures() {
			t.Errorf("%v: %d exposures, alone %d", at, many.cells[at].GetExposures(), c.GetExposures())
		}
		for name, m := range one.metrics[at] {
			n := many.metrics[at][name]
			if n.GetCount() != m.GetCount() || n.GetEvents() != m.GetEvents() || n.GetSum() != m.GetSum() || n.GetExposures() != m.GetExposures() {
				t.Errorf("%v %s: %v, alone %v", at, name, n, m)
			}
		}
	}
	if one.emitted+one.lost == 0 || one.lost != 0 || many.lost != 0 {
		t.Errorf("lost %d, alone %d", many.lost, one.lost)
	}
}

// The shares of the arms among distinct subjects are those of the split, however full the set
// is: within 4 standard errors.
func TestUnbiased(t *testing.T) {
	for density, rounds := range map[float64]int{0.1: 100, 1: 20, 4: 10} {
		t.Run(fmt.Sprint(density), func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(density*10), 7))
			users := int(density * tally.MinBits)
			var exposed, observed shares
			for range rounds {
				// A set of its own each: a new rollout begins with the smallest one.
				s := newSite(t, tally.Options{})
				s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 100)
				s.settle().cut()
				for range users {
					u := fmt.Sprint(random.Uint64())
					for range 1 + random.IntN(3) {
						s.expose("flag-r", u)
						s.observe(u, failed("errors"))
					}
				}
				l := newLedger(t).add(s.cut()...)
				exposed.add(l.cell("r", 1, inTreatment).GetSubjects(), l.cell("r", 1, inControl).GetSubjects())
				observed.add(l.metric("r", 1, inTreatment, "errors").GetCount(), l.metric("r", 1, inControl, "errors").GetCount())
			}
			for kind, n := range map[string]shares{"exposed": exposed, "observed": observed} {
				if e := math.Sqrt(0.01 * 0.99 / n.all); math.Abs(n.treated/n.all-0.01) > 4*e {
					t.Errorf("%s: the treatment has %.5f of %v distinct subjects, want 0.01 within %.5f", kind, n.treated/n.all, n.all, 4*e)
				}
				if most := float64(rounds * users); n.all > most || density <= 0.1 && n.all < 0.9*most {
					t.Errorf("%s: %v distinct subjects of %v", kind, n.all, most)
				}
			}
		})
	}
}

// shares are distinct subjects.
type shares struct{ treated, all float64 }

func (s *shares) add(treated, control uint64) {
	s.treated += float64(treated)
	s.all += float64(treated + control)
}
