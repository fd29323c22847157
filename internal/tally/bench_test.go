package tally_test

import (
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/counterfile"
	"github.com/tidegate/tidegate/internal/tally"
)

// benchSite has a flag with a rollout, one with a rollout by segments, and one without.
func benchSite(tb testing.TB) *site { return benchSiteWith(tb, tally.Options{}) }

func benchSiteWith(tb testing.TB, o tally.Options) *site {
	s := newSite(tb, o)
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 1000)
	by := watched()
	by.Key = "segments"
	s.begin(by, 1000)
	s.must(s.apply(splitFlag("plain", 1000)))
	s.settle().cut()
	return s
}

// contexts are of many users.
func contexts(n int) []eval.Context {
	list := make([]eval.Context, n)
	for i := range list {
		list[i] = eval.Context{TargetingKey: user(i), Attributes: eval.Map{"country": fmt.Sprint("c", i%5)}}
	}
	return list
}

// An evaluation alone, counted, and counted but for what flags without a rollout serve; for
// each kind of flag, of 8,192 users in turn.
func BenchmarkExposed(b *testing.B) {
	users := contexts(8192)
	for _, key := range []string{"plain", "flag-r", "flag-segments"} {
		for _, how := range []string{"alone", "counted", "counted in a file, too", "rollouts alone counted"} {
			s := benchSite(b)
			switch how {
			case "counted in a file, too": // as relays do
				file, err := counterfile.Open(filepath.Join(b.TempDir(), "exposures"))
				s.must(err)
				s = benchSiteWith(b, tally.Options{Exposures: file})
			case "rollouts alone counted":
				s = benchSiteWith(b, tally.Options{EvaluationsEvery: -1})
			}
			env := s.snapshot.Eval()
			f := env.Flag(key)
			count := func(*eval.Result, *eval.Context) {}
			if how != "alone" {
				count = s.tally.Exposed
			}
			b.Run(key+"/"+how, func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					i := 0
					var r eval.Result
					for pb.Next() {
						ctx := &users[i&8191]
						i++
						r = env.EvaluateFlag(f, ctx)
						count(&r, ctx)
					}
				})
			})
		}
	}
}

// Observations a second: an event with one of each kind, then of one kind each.
func BenchmarkObserve(b *testing.B) {
	s := benchSite(b)
	users := contexts(8192)
	for name, o := range map[string]*telemetryv1.Observation{
		"happened": failed("errors"), "number": number("cost", 1), "duration": took("latency", 20*time.Millisecond), "unwatched": failed("x"),
	} {
		o.FlagKey = "flag-r"
		list := []*telemetryv1.Observation{o}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				i := 0
				for pb.Next() {
					s.tally.Observe(&tally.Event{Context: &users[i&8191], Observations: list}, s.now.Add(time.Duration(i)*time.Millisecond))
					i++
				}
			})
		})
	}
}

// What a second costs with many rollouts, all of them busy.
func BenchmarkCut(b *testing.B) {
	s, tell := busySite(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		tell(20)
		b.StartTimer()
		s.cut()
	}
}

// The hot path does not allocate, nor does an observation once its window has begun.
func TestNoAlloc(t *testing.T) {
	s := benchSite(t)
	ctx := &contexts(1)[0]
	for _, key := range []string{"plain", "flag-r", "flag-segments"} {
		r := s.snapshot.Eval().Evaluate(key, ctx)
		s.tally.Exposed(&r, ctx)
		if n := testing.AllocsPerRun(100, func() { s.tally.Exposed(&r, ctx) }); n != 0 {
			t.Errorf("an answer of %s: %v allocations", key, n)
		}
	}
	for _, o := range []*telemetryv1.Observation{failed("errors"), number("cost", 1), took("latency", time.Second)} {
		e := &tally.Event{Context: ctx, Observations: []*telemetryv1.Observation{o}}
		at := s.now
		s.tally.Observe(e, at)
		n := testing.AllocsPerRun(100, func() {
			at = at.Add(10 * time.Second) // so that it is not folded
			s.tally.Observe(e, at)
		})
		if n != 0 {
			t.Errorf("an observation of %s: %v allocations", o.GetMetric(), n)
		}
	}
}

// busySite has rollouts with 10 metrics each, three of them quantiles; tell makes traffic for
// all of them.
func busySite(tb testing.TB, rollouts int) (s *site, tell func(users int)) {
	s = newSite(tb, tally.Options{})
	var all []*rolloutv1.Rollout
	for i := range rollouts {
		r := &rolloutv1.Rollout{Key: fmt.Sprintf("r%04d", i)}
		for m := range 10 {
			g := &rolloutv1.Guardrail{Name: fmt.Sprint("g", m), Metric: fmt.Sprint("m", m), Statistic: rolloutv1.Statistic_STATISTIC_RATE}
			switch {
			case m >= 7:
				g.Statistic = rolloutv1.Statistic_STATISTIC_QUANTILE
			case m >= 4:
				g.Statistic = rolloutv1.Statistic_STATISTIC_MEAN
			}
			r.Guardrails = append(r.Guardrails, g)
		}
		all = append(all, r)
	}
	s.beginAll(all, 5000)
	s.settle().cut()
	round := 0
	return s, func(users int) {
		round++
		for i := range rollouts {
			flag := fmt.Sprintf("flag-r%04d", i)
			for u := range users {
				key := user(round*users + u)
				s.expose(flag, key)
				var list []*telemetryv1.Observation
				for m := range 10 {
					o := failed(fmt.Sprint("m", m))
					if m >= 4 {
						o = took(fmt.Sprint("m", m), time.Duration(1+(u*7919+round)%1000)*time.Millisecond)
					}
					o.FlagKey = flag
					list = append(list, o)
				}
				s.observe(key, list...)
			}
		}
	}
}

// Memory is bounded by what the snapshot holds: it is the same after ten windows and after
// many, each with new users, and stays below 100 MiB for 1,000 rollouts with 10 metrics, what
// is on its way out included. An hour brings the same again: a window leaves nothing behind
// but the sizes of sets, which are bounded.
func TestMemory(t *testing.T) {
	rollouts, windows, users := 1000, 24, 5
	if testing.Short() || raceEnabled {
		rollouts = 100
	}
	s, tell := busySite(t, rollouts)
	before := heap()
	var early, late int64
	for w := range windows {
		if w%4 > 0 {
			s.cut()
			continue
		}
		tell(users)
		batches := s.cut()
		if late = heap() - before; w == windows/3 {
			early = late
		}
		runtime.KeepAlive(batches)
	}
	if late > 100<<20 || late > early+early/4+1<<20 {
		t.Errorf("%d bytes after %d windows, %d after %d", late, windows, early, windows/3)
	}
	if a := s.tally.Account(); a.LostBy[tally.Overflow] != 0 || a.MemoryBytes > 48<<20 {
		t.Errorf("%+v", a)
	}
	t.Logf("%d rollouts: %.1f MiB, of it %.1f of the budget", rollouts, float64(late)/(1<<20), float64(s.tally.Account().MemoryBytes)/(1<<20))
}

// hourOf is of how many rollouts TestHour is.
var hourOf = flag.Int("rollouts", 0, "of how many rollouts TestHour is; 0: a few")

// An hour of traffic, second by second, with new users in each: what is kept does not grow after the
// first ten minutes, which is as long as anything is remembered. A leak of one word for each
// rollout and second is more than is allowed. 'go test -run TestHour -args -rollouts 1000' takes some
// minutes.
func TestHour(t *testing.T) {
	rollouts := *hourOf
	switch {
	case rollouts > 0:
	case testing.Short() || raceEnabled:
		rollouts = 10
	default:
		rollouts = 25
	}
	const hour, settled = 3600, 600
	s, tell := busySite(t, rollouts)
	before := heap()
	var first int64
	for second := 1; second <= hour; second++ {
		tell(1)
		batches := s.cut()
		if second%settled > 0 {
			continue
		}
		now := heap() - before
		t.Logf("%d rollouts, after %d s: %.2f MiB, of it %.2f of the budget", rollouts, second,
			float64(now)/(1<<20), float64(s.tally.Account().MemoryBytes)/(1<<20))
		if second == settled {
			first = now
		}
		if allowed := int64(rollouts*(hour-settled)*4 + 64<<10); now > first+allowed {
			t.Errorf("%d bytes after %d s, %d after %d; at most %d more", now, second, first, settled, allowed)
		}
		runtime.KeepAlive(batches)
	}
	a := s.tally.Account()
	if told := uint64(rollouts * hour * 11); a.Emitted+a.Folded != told || a.Lost != 0 {
		t.Errorf("%d emitted, %d folded, %d lost of %d", a.Emitted, a.Folded, a.Lost, told)
	}
}

// Ten million users: nothing grows but the sets, and those up to their size.
func TestManyUsers(t *testing.T) {
	users := 10_000_000
	if testing.Short() || raceEnabled {
		users = 300_000
	}
	s := newSite(t, tally.Options{EvaluationsEvery: -1})
	s.begin(&rolloutv1.Rollout{Key: "r", Guardrails: guardrails()}, 100)
	s.settle().cut()
	l := newLedger(t)
	env, f := s.snapshot.Eval(), s.snapshot.Eval().Flag("flag-r")
	var key []byte
	for i := range users {
		key = strconv.AppendInt(append(key[:0], "user-"...), int64(i), 10)
		ctx := &eval.Context{TargetingKey: string(key)}
		r := env.EvaluateFlag(f, ctx)
		s.tally.Exposed(&r, ctx)
		if i%100_000 == 0 {
			l.add(s.cut()...)
		}
	}
	l.add(s.cut()...)
	if l.emitted != uint64(users) {
		t.Errorf("emitted %d", l.emitted)
	}
	if n := s.tally.Account().MemoryBytes; n > 400<<10 {
		t.Errorf("%d bytes for one step", n)
	}
	treated, all := float64(l.cell("r", 1, inTreatment).GetNewSubjects()), float64(l.cell("r", 1, inControl).GetNewSubjects())
	all += treated
	if e := math.Sqrt(0.01 * 0.99 / all); math.Abs(treated/all-0.01) > 4*e {
		t.Errorf("%v of %v new subjects are in the treatment", treated, all)
	}
	t.Logf("%.0f new subjects of %d users", all, users)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
