package guardrail

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/bits.txt anew")

// TestBits holds the package to its promise of replay: the bits of every machine's state
// after a fixed sequence, on whatever architecture the test runs. If they change, records of
// decisions made before can no longer be replayed: the release notes must say so.
func TestBits(t *testing.T) {
	t.Parallel()
	const file = "testdata/bits.txt"
	got := replay(t)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("other bits than in %s:\n%s", file, got)
	}
}

func replay(t *testing.T) string {
	t.Helper()
	r := rand.New(rand.NewPCG(2026, 1))
	breaker := breaker(t, Increase, 1.05, Schedule{Horizon: 20, Tail: 0.1})
	gate := must[*RateGate](t)(NewRateGate(RateGateOptions{Ratio: 1.5}))
	mean := meanBreaker(t, Increase)
	diff := difference(t, DifferenceOptions{Relative: 0.05, Eta: 1234.5})
	srm := SRM{Concentration: 10000}
	var bs RateBreakerState
	var gs RateGateState
	var ms MeanBreakerState
	var ds DifferenceState
	var ss SRMState
	if err := srm.StartStage(&ss, []float64{0.05, 0.95}); err != nil {
		t.Fatal(err)
	}
	var sum Counts
	for range 50 {
		c := Counts{EventsT: r.Int64N(5), EventsC: r.Int64N(20), ExposuresT: 30 + r.Int64N(40), ExposuresC: 900 + r.Int64N(100)}
		sum = Counts{sum.EventsT + c.EventsT, sum.EventsC + c.EventsC, sum.ExposuresT + c.ExposuresT, sum.ExposuresC + c.ExposuresC}
		x, y := whole(r, c.ExposuresT), whole(r, c.ExposuresC)
		for _, err := range []error{
			breaker.Observe(&bs, c), gate.Observe(&gs, c), mean.Observe(&ms, x, y), diff.Observe(&ds, x, y),
			srm.Observe(&ss, []int64{c.ExposuresT, c.ExposuresC}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	var out strings.Builder
	line := func(name string, values ...float64) {
		fmt.Fprintf(&out, "%s", name)
		for _, v := range values {
			fmt.Fprintf(&out, " %x", v)
		}
		fmt.Fprintln(&out)
	}
	line("RateBreaker", append(bs.LogR[:], bs.LogPeak, bs.LogE(), bs.PValue())...)
	line("RateGate", append(gs.LogR[:], gs.LogE())...)
	line("MeanBreaker", append(ms.LogR[:5], ms.LogPeak, mean.LogE(&ms))...)
	line("Difference", ds.U, ds.V, ds.W)
	one, two := must[Interval](t)(diff.OneSided(&ds, 0.01)), must[Interval](t)(diff.TwoSided(&ds, 0.01))
	line("bounds", one.Lower, one.Upper, two.Lower, two.Upper)
	line("SRM", srm.LogE(&ss))
	ratio := must[Interval](t)(RateRatio([]Counts{sum}, 20, 0.01))
	line("RateRatio", ratio.Estimate, ratio.Lower, ratio.Upper)
	band := must[RankBand](t)(must[*Quantile](t)(NewQuantile(QuantileOptions{P: 0.99, Alpha: 0.01, NOpt: 1e4})).Band(123456))
	line("Quantile", float64(band.Lower), float64(band.Upper))
	line("UniformBand", must[*UniformBand](t)(NewUniformBand(UniformBandOptions{Alpha: 0.01, NMin: 50})).Radius(5000))
	_, threshold, err := PSINull(300, 500, 12, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	line("PSI", threshold)
	line("ProbabilityGreater", must[float64](t)(ProbabilityGreater(Beta{12.5, 80}, Beta{10, 91.5})))
	d := must[Detection](t)(breaker.Detect(Traffic{RateT: 0.03, RateC: 0.01, Share: 0.07}, 0.003))
	line("Detect", d.Events, d.Exposures)
	line("ExposuresToPass", must[float64](t)(gate.ExposuresToPass(&RateGateState{}, Traffic{RateT: 0.01, RateC: 0.01, Share: 0.07}, 3)))
	return out.String()
}

// whole draws n whole milliseconds: their sums are exact.
func whole(r *rand.Rand, n int64) Sample {
	s := Sample{N: n}
	for range n {
		x := float64(r.Int64N(500))
		s.Sum += x
		s.SumSq += x * x
	}
	return s
}
