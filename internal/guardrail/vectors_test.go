package guardrail

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
)

// exact is the tolerance for values of mpmath, which the file prints with 12 digits;
// published is the absolute one for values that others have published.
const (
	exact     = 1e-9
	published = 1e-5
)

// vectors reads a section of testdata/vectors.json: its elements, each decoded into T.
func vectors[T any](t *testing.T, section string) []T {
	t.Helper()
	var v struct {
		Vectors []T `json:"vectors"`
	}
	if err := json.Unmarshal(sections(t)[section], &v); err != nil {
		t.Fatalf("%s: %v", section, err)
	}
	if len(v.Vectors) == 0 {
		t.Fatalf("no vectors in %s", section)
	}
	return v.Vectors
}

func sections(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestVectorSections fails when the file gets a section that no test knows.
func TestVectorSections(t *testing.T) {
	t.Parallel()
	want := []string{
		"A_clock_comparison", "A_normal_mixture", "A_relative_uplift_asympcs_n_clock", "B_quantile", "C_rates",
		"D_srm", "E_alpha", "F_stratified_difference", "G_model_metrics", "H_detection_size", "I_extras", "_about",
	}
	if got := slices.Sorted(maps.Keys(sections(t))); !slices.Equal(got, want) {
		t.Errorf("sections %q, want %q", got, want)
	}
}

func within(t *testing.T, what string, got, want, abs float64) {
	t.Helper()
	if !(math.Abs(got-want) <= abs) {
		t.Errorf("%s: got %.9g, want %.9g", what, got, want)
	}
}

// must returns v, or ends the test.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// kinds counts what a section's tests have seen, so that none is skipped.
type kinds map[string]int

func (k kinds) check(t *testing.T, want kinds) {
	t.Helper()
	if !maps.Equal(k, want) {
		t.Errorf("vectors by kind: %v, want %v", k, want)
	}
}

func TestVectorsNormalMixture(t *testing.T) {
	t.Parallel()
	seen := kinds{}
	for _, v := range vectors[struct {
		Kind        string
		V, S, Alpha float64
		VOpt        float64 `json:"v_opt"`
		EtaTwo      float64 `json:"eta_two_sided_approx"`
		EtaTwoExact float64 `json:"eta_two_sided_exact"`
		EtaOne      float64 `json:"eta_one_sided_approx"`
		Eta1, Eta2  float64
		Two         float64 `json:"two_sided"`
		One         float64 `json:"one_sided_closed"`
		OneExact    float64 `json:"one_sided_exact"`
		Ratio       float64 `json:"ratio_to_fixed_z2"`
		BestRho     float64 `json:"best_rho"`
		LogTwo      float64 `json:"two_sided_log_mixture"`
		LogOne      float64 `json:"one_sided_log_mixture"`
		TwoBound    float64 `json:"two_sided_bound"`
		OneBound    float64 `json:"one_sided_bound"`
	}](t, "A_normal_mixture") {
		seen[v.Kind]++
		two := NormalMixture{Eta: must[float64](t)(EtaTwoSided(v.VOpt, v.Alpha))}
		one := NormalMixture{Eta: must[float64](t)(EtaOneSided(v.VOpt, v.Alpha))}
		switch v.Kind {
		case "tuning":
			near(t, "eta, two sides", two.Eta, v.EtaTwo, exact)
			near(t, "eta, one side", one.Eta, v.EtaOne, exact)
			// The exact tuning makes the bound least; ours is a close form of it.
			best := NormalMixture{Eta: v.EtaTwoExact}.TwoSided(v.VOpt, v.Alpha)
			for _, f := range []float64{0.9, 0.99, 1.01, 1.1} {
				if b := (NormalMixture{Eta: v.EtaTwoExact * f}).TwoSided(v.VOpt, v.Alpha); b < best {
					t.Errorf("eta %v gives %v, below %v at the exact tuning", v.EtaTwoExact*f, b, best)
				}
			}
			near(t, "bound at the approximate eta", two.TwoSided(v.VOpt, v.Alpha), best, 1e-3)
		case "boundary":
			near(t, "eta2", two.Eta, v.Eta2, exact)
			near(t, "eta1", one.Eta, v.Eta1, exact)
			near(t, "two-sided", two.TwoSided(v.V, v.Alpha), v.Two, exact)
			near(t, "one-sided, closed", one.OneSided(v.V, v.Alpha), v.One, exact)
			near(t, "one-sided, exact", one.OneSidedExact(v.V, v.Alpha), v.OneExact, exact)
			// z of a test at a fixed size: Q(z) = α/2.
			z := boundary(0, 20, func(z float64) bool { return exp(logNormalCDF(-z)) > v.Alpha/2 })
			near(t, "price", two.TwoSided(v.V, v.Alpha)/math.Sqrt(v.V)/z, v.Ratio, exact)
		case "published":
			within(t, "eta", two.Eta, v.BestRho, published)
			within(t, "two-sided mixture", two.LogE(v.S, v.V), v.LogTwo, published)
			within(t, "one-sided mixture", one.LogEPositive(v.S, v.V), v.LogOne, published)
			within(t, "two-sided bound", two.TwoSided(v.V, v.Alpha), v.TwoBound, published)
			within(t, "one-sided bound", one.OneSidedExact(v.V, v.Alpha), v.OneBound, published)
		}
	}
	seen.check(t, kinds{"tuning": 3, "boundary": 3, "published": 1})
}

// The sequential interval of GrowthBook and PostHog has another clock (the number of units)
// and another variance (the delta method), and the same boundary.
func TestVectorsRelativeUplift(t *testing.T) {
	t.Parallel()
	for _, v := range vectors[struct {
		SumT      float64 `json:"sum_t"`
		SumSqT    float64 `json:"sumsq_t"`
		NT        int64   `json:"n_t"`
		SumC      float64 `json:"sum_c"`
		SumSqC    float64 `json:"sumsq_c"`
		NC        int64   `json:"n_c"`
		NStar     float64 `json:"N_star"`
		Alpha     float64
		Published struct {
			Point, SE float64
			CI        [2]float64
		}
		Ours struct {
			Point, SE float64
			CI        [2]float64
		}
	}](t, "A_relative_uplift_asympcs_n_clock") {
		a := Sample{N: v.NT, Sum: v.SumT, SumSq: v.SumSqT}
		c := Sample{N: v.NC, Sum: v.SumC, SumSq: v.SumSqC}
		point := a.Mean()/c.Mean() - 1
		se := math.Sqrt(a.Variance()/float64(a.N)+math.Pow(a.Mean()/c.Mean(), 2)*c.Variance()/float64(c.N)) / c.Mean()
		n := float64(a.N + c.N)
		m := NormalMixture{Eta: must[float64](t)(EtaTwoSided(v.NStar, v.Alpha))}
		half := se * m.TwoSided(n, v.Alpha) / math.Sqrt(n)
		near(t, "point", point, v.Ours.Point, exact)
		near(t, "standard error", se, v.Ours.SE, exact)
		near(t, "lower", point-half, v.Ours.CI[0], exact)
		near(t, "upper", point+half, v.Ours.CI[1], exact)
		within(t, "published lower", point-half, v.Published.CI[0], published)
		within(t, "published upper", point+half, v.Published.CI[1], published)
	}
}

func TestVectorsClock(t *testing.T) {
	t.Parallel()
	for _, v := range vectors[struct {
		NT     int64   `json:"n_t"`
		NC     int64   `json:"n_c"`
		P      float64 `json:"p_both"`
		Alpha  float64
		NStar  float64 `json:"N_star"`
		WOpt   float64 `json:"W_opt"`
		W      float64 `json:"harmonic_W"`
		SE     float64
		HalfN  float64 `json:"halfwidth_n_clock"`
		HalfW  float64 `json:"halfwidth_info_clock"`
		ZN, ZW float64 `json:"-"`
		ZNs    float64 `json:"z_n_clock"`
		ZWs    float64 `json:"z_info_clock"`
	}](t, "A_clock_comparison") {
		// Bernoulli variances p(1-p), with the n of the population, as the vectors have it.
		x := func(n int64) Sample {
			k := v.P * float64(n)
			return Sample{N: n, Sum: k, SumSq: k}
		}
		sigma2 := v.P * (1 - v.P)
		eta := must[float64](t)(EtaTwoSided(sigma2*v.WOpt, v.Alpha))
		d := must[*Difference](t)(NewDifference(DifferenceOptions{Eta: eta}))
		var s DifferenceState
		if err := d.Observe(&s, x(v.NT), x(v.NC)); err != nil {
			t.Fatal(err)
		}
		near(t, "W", s.W, v.W, exact)
		s.V = v.W * v.W * v.SE * v.SE
		i := must[Interval](t)(d.TwoSided(&s, v.Alpha))
		near(t, "half-width", (i.Upper-i.Lower)/2, v.HalfW, exact)
		near(t, "z", (i.Upper-i.Lower)/2/v.SE, v.ZWs, exact)
		n := float64(v.NT + v.NC)
		clock := NormalMixture{Eta: must[float64](t)(EtaTwoSided(v.NStar, v.Alpha))}
		near(t, "z by the number of units", clock.TwoSided(n, v.Alpha)/math.Sqrt(n), v.ZNs, exact)
		near(t, "half-width by the number of units", clock.TwoSided(n, v.Alpha)/math.Sqrt(n)*v.SE, v.HalfN, exact)
	}
}

func TestVectorsDifference(t *testing.T) {
	t.Parallel()
	for _, v := range vectors[struct {
		Name          string
		Alpha         float64
		Margin        float64 `json:"margin_abs"`
		Rel           float64
		VOpt          float64 `json:"v_opt"`
		Windows       [][6]float64
		U, W, V, Eta  float64
		Estimate      float64
		Lower, Upper  float64
		Breach        bool    `json:"breach_increase"`
		Safe          bool    `json:"noninferior_increase"`
		NaiveEstimate float64 `json:"naive_pooled_estimate"`
	}](t, "F_stratified_difference") {
		t.Run(v.Name, func(t *testing.T) {
			eta := must[float64](t)(EtaOneSided(v.VOpt, v.Alpha))
			near(t, "eta", eta, v.Eta, exact)
			d := must[*Difference](t)(NewDifference(DifferenceOptions{Relative: v.Rel, Eta: eta}))
			// The same the other way round: values negated, a fall is harm.
			mirror := must[*Difference](t)(NewDifference(DifferenceOptions{Direction: Decrease, Eta: eta}))
			var s, m DifferenceState
			var pooledT, pooledC Sample
			for _, w := range v.Windows {
				a := Sample{N: int64(w[0]), Sum: w[1], SumSq: w[2]}
				c := Sample{N: int64(w[3]), Sum: w[4], SumSq: w[5]}
				if err := d.Observe(&s, a, c); err != nil {
					t.Fatal(err)
				}
				pooledT, pooledC = pooledT.Add(a), pooledC.Add(c)
				a.Sum, c.Sum = -a.Sum, -c.Sum
				if err := mirror.Observe(&m, a, c); err != nil {
					t.Fatal(err)
				}
			}
			within(t, "U", s.U, v.U, exact*(1+math.Abs(v.U)))
			near(t, "W", s.W, v.W, exact)
			near(t, "V", s.V, v.V, exact)
			i := must[Interval](t)(d.OneSided(&s, v.Alpha))
			within(t, "estimate", i.Estimate, v.Estimate, exact*(1e-3+math.Abs(v.Estimate)))
			near(t, "lower", i.Lower, v.Lower, exact)
			near(t, "upper", i.Upper, v.Upper, exact)
			got := must[Verdict](t)(d.Judge(&s, v.Alpha, v.Margin))
			if got.Breach != v.Breach || got.Safe != v.Safe {
				t.Errorf("verdict %+v, want breach %v, safe %v", got, v.Breach, v.Safe)
			}
			if v.Rel == 0 {
				if reverse := must[Verdict](t)(mirror.Judge(&m, v.Alpha, v.Margin)); reverse != got {
					t.Errorf("mirrored verdict %+v, want %+v", reverse, got)
				}
				near(t, "naive", pooledT.Mean()-pooledC.Mean(), v.NaiveEstimate, exact)
			}
		})
	}
}
