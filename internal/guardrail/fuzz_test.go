package guardrail

import (
	"errors"
	"math"
	"testing"
)

// FuzzRateBreaker: whatever comes, a count is refused without a trace or leaves a state that
// is valid, and no lower than the restart allows: ln R_j ≥ ln w_n + ln Λ_j.
func FuzzRateBreaker(f *testing.F) {
	f.Add(int64(3), int64(50), int64(261), int64(4969), int64(0), int64(0), int64(1), int64(1), 1.05, false)
	f.Add(int64(MaxCount), int64(0), int64(MaxCount), int64(MaxCount), int64(0), int64(MaxCount), int64(MaxCount), int64(MaxCount), 1000.0, true)
	f.Add(int64(0), int64(1), int64(1), int64(MaxCount), int64(1), int64(0), int64(MaxCount), int64(1), 0.001, false)
	f.Fuzz(func(t *testing.T, nt, nc, et, ec, nt2, nc2, et2, ec2 int64, ratio float64, fall bool) {
		d := Increase
		if fall {
			d = Decrease
		}
		b, err := NewRateBreaker(RateBreakerOptions{Direction: d, Ratio: ratio, Schedule: Schedule{Horizon: 3, Tail: 0.1}})
		if err != nil {
			if !errors.Is(err, ErrOptions) {
				t.Fatal(err)
			}
			return
		}
		g := must[*RateGate](t)(NewRateGate(RateGateOptions{Direction: d, Ratio: ratio}))
		var s RateBreakerState
		var gs RateGateState
		for range 3 {
			for _, c := range []Counts{{nt, nc, et, ec}, {nt2, nc2, et2, ec2}} {
				before := s
				err := b.Observe(&s, c)
				if gateErr := g.Observe(&gs, c); (err == nil) != (gateErr == nil) {
					t.Fatalf("breaker %v, gate %v", err, gateErr)
				}
				if err != nil {
					if !errors.Is(err, ErrCounts) || s != before {
						t.Fatalf("%v: %+v became %+v", err, before, s)
					}
					continue
				}
				if err := errors.Join(s.Validate(), gs.Validate()); err != nil {
					t.Fatal(err)
				}
				if s.Windows != before.Windows+1 || s.LogPeak < s.LogE() || before.Windows > 0 && s.LogPeak < before.LogPeak {
					t.Fatalf("%+v became %+v", before, s)
				}
				e, _ := b.test.evidence(c)
				for j, r := range s.LogR {
					if least := b.schedule.logWeight(s.Windows) + b.test.logLambda(e, j); r < least {
						t.Fatalf("R of alternative %d is %v, below %v", j, r, least)
					}
				}
				if p := s.PValue(); !(p >= 0 && p <= 1) || math.IsNaN(s.LogE()) || math.IsNaN(gs.LogE()) {
					t.Fatalf("p %v, %+v, %+v", p, s, gs)
				}
			}
		}
	})
}

// FuzzMeans: the same for samples.
func FuzzMeans(f *testing.F) {
	f.Add(int64(200), 600.0, 2600.0, int64(800), 2400.0, 9800.0, 20.0, 0.0, false)
	f.Add(int64(2), 1e60, 1e60, int64(MaxCount), -1e60, 1e60, 1e-300, 0.1, true)
	f.Add(int64(1), 0.0, 0.0, int64(2), 5e-324, 5e-324, 1.0, 999.0, false)
	f.Fuzz(func(t *testing.T, nt int64, sumT, sqT float64, nc int64, sumC, sqC, margin, relative float64, fall bool) {
		d := Increase
		if fall {
			d = Decrease
		}
		b, err := NewMeanBreaker(MeanBreakerOptions{
			Direction: d, Margin: margin, Relative: relative, Shifts: []float64{1e-3, 25, 1e9},
			Schedule: Schedule{Horizon: 3, Tail: 0.1},
		})
		if err != nil {
			return
		}
		x := must[*Difference](t)(NewDifference(DifferenceOptions{Direction: d, Relative: relative, Eta: 1000}))
		var s MeanBreakerState
		var ds DifferenceState
		a, c := Sample{nt, sumT, sqT}, Sample{nc, sumC, sqC}
		for range 4 {
			for _, w := range [][2]Sample{{a, c}, {c, a}} {
				before, diffBefore := s, ds
				err, diffErr := b.Observe(&s, w[0], w[1]), x.Observe(&ds, w[0], w[1])
				if err != nil && (!errors.Is(err, ErrSample) || s != before) || diffErr != nil && (!errors.Is(diffErr, ErrSample) || ds != diffBefore) {
					t.Fatalf("%v, %v: %+v became %+v, %+v became %+v", err, diffErr, before, s, diffBefore, ds)
				}
				if err := errors.Join(s.Validate(), ds.Validate()); err != nil {
					t.Fatal(err)
				}
				i := must[Interval](t)(x.OneSided(&ds, 0.01))
				if math.IsNaN(i.Estimate) || math.IsNaN(i.Lower) || math.IsNaN(i.Upper) || i.Lower > i.Upper || math.IsNaN(b.LogE(&s)) {
					t.Fatalf("%+v, %+v, log E %v", ds, i, b.LogE(&s))
				}
			}
		}
	})
}

// FuzzPaired: sums of two values per unit never give a sample that is refused later, nor NaN.
func FuzzPaired(f *testing.F) {
	f.Add(int64(1000), 120.0, 5000.0, 180.0, 30000.0, 700.0, 0.1, 5.0)
	f.Add(int64(2), 1e30, 1e30, 1e60, 1e60, 1e60, 1e3, 1e-9)
	f.Fuzz(func(t *testing.T, n int64, y, x, yy, xx, xy, k, m float64) {
		p := PairedSample{N: n, SumY: y, SumX: x, SumYY: yy, SumXX: xx, SumXY: xy}
		if r, se, err := p.Ratio(); err == nil && (math.IsNaN(r) || math.IsNaN(se)) {
			t.Fatalf("ratio %v, standard error %v", r, se)
		}
		for _, f := range []func(a, b float64) (Sample, error){p.Linearize, p.Adjust} {
			if s, err := f(k, m); err == nil && s.Validate() != nil {
				t.Fatalf("%+v: %v", s, s.Validate())
			}
		}
		if r, err := CUPED(p, p); err == nil && (math.IsNaN(r.Theta) || math.IsNaN(r.AdjustStdErr) || r.AdjustStdErr > r.RawStdErr*(1+1e-6)+1e-300) {
			t.Fatalf("%+v", r)
		}
	})
}

// FuzzIntervals: what looks for roots ends, and is in order.
func FuzzIntervals(f *testing.F) {
	f.Add(int64(13), int64(50), int64(261), int64(4969), 20.0, 0.01, 0.99)
	f.Add(int64(MaxCount), int64(MaxCount), int64(MaxCount), int64(MaxCount), 1e12, 1e-300, 0.5)
	f.Add(int64(3), int64(1), int64(MaxCount), int64(1), 20.0, 0.01, 0.5)
	f.Fuzz(func(t *testing.T, nt, nc, et, ec int64, k, alpha, p float64) {
		i, err := RateRatio([]Counts{{nt, nc, et, ec}}, k, alpha)
		if err == nil && !(i.Lower <= i.Estimate*(1+1e-9) && i.Estimate <= i.Upper*(1+1e-9)) {
			t.Fatalf("%+v", i)
		}
		if q, err := NewQuantile(QuantileOptions{P: p, Alpha: alpha, NOpt: k}); err == nil {
			b, err := q.Band(et)
			if err == nil && (b.Lower < 0 || b.Lower > b.Upper || b.Upper > et+1) {
				t.Fatalf("%+v of %d", b, et)
			}
		}
	})
}

// TestNoAlloc: a decider observes hundreds of guardrails each second.
func TestNoAlloc(t *testing.T) {
	b := breaker(t, Increase, 1.05, Schedule{Horizon: 360, Tail: 0.1})
	g := must[*RateGate](t)(NewRateGate(RateGateOptions{Ratio: 1.5}))
	m := meanBreaker(t, Increase)
	d := difference(t, DifferenceOptions{Eta: 100})
	srm := SRM{Concentration: 10000}
	var bs RateBreakerState
	var gs RateGateState
	var ms MeanBreakerState
	var ds DifferenceState
	var ss SRMState
	if err := srm.StartStage(&ss, []float64{0.1, 0.9}); err != nil {
		t.Fatal(err)
	}
	c := Counts{EventsT: 3, EventsC: 10, ExposuresT: 50, ExposuresC: 950}
	x, y := constantish(50, 200, 1e4), constantish(950, 200, 1e4)
	users := []int64{5, 45}
	sum := 0.0
	if n := testing.AllocsPerRun(100, func() {
		_ = b.Observe(&bs, c)
		_ = g.Observe(&gs, c)
		_ = m.Observe(&ms, x, y)
		_ = d.Observe(&ds, x, y)
		_ = srm.Observe(&ss, users)
		sum += bs.LogE() + gs.LogE() + m.LogE(&ms) + srm.LogE(&ss)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	c := Counts{EventsT: 3, EventsC: 10, ExposuresT: 50, ExposuresC: 950}
	b.Run("RateBreaker", func(b *testing.B) {
		m, err := NewRateBreaker(RateBreakerOptions{Ratio: 1.05, Schedule: Schedule{Horizon: 360, Tail: 0.1}})
		if err != nil {
			b.Fatal(err)
		}
		var s RateBreakerState
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Observe(&s, c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("RateGate", func(b *testing.B) {
		m, err := NewRateGate(RateGateOptions{Ratio: 1.5})
		if err != nil {
			b.Fatal(err)
		}
		var s RateGateState
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Observe(&s, c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("MeanBreaker", func(b *testing.B) {
		m, err := NewMeanBreaker(MeanBreakerOptions{Shifts: []float64{25, 50, 100, 200, 400}, Schedule: Schedule{Horizon: 360, Tail: 0.1}})
		if err != nil {
			b.Fatal(err)
		}
		var s MeanBreakerState
		x, y := constantish(50, 200, 1e4), constantish(950, 200, 1e4)
		b.ReportAllocs()
		for b.Loop() {
			if err := m.Observe(&s, x, y); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOnDemand(b *testing.B) {
	b.Run("RateRatio", func(b *testing.B) {
		stages := []Counts{{13, 50, 261, 4969}, {30, 500, 2610, 49690}, {600, 500, 50000, 50000}}
		for b.Loop() {
			if _, err := RateRatio(stages, 20, 0.01); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Quantile.Band of 1e9", func(b *testing.B) {
		q, err := NewQuantile(QuantileOptions{P: 0.99, Alpha: 0.0125, NOpt: 1e4})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := q.Band(1e9); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ProbabilityGreater", func(b *testing.B) {
		for b.Loop() {
			if _, err := ProbabilityGreater(Beta{121, 881}, Beta{101, 901}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
