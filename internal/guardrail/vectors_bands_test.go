package guardrail

import (
	"slices"
	"testing"
)

func TestVectorsQuantile(t *testing.T) {
	t.Parallel()
	seen := kinds{}
	for _, v := range vectors[struct {
		Kind       string
		N          int64
		P, Alpha   float64
		NOpt       float64 `json:"n_opt"`
		K          float64
		SMinus     float64 `json:"s_minus"`
		SPlus      float64 `json:"s_plus"`
		Lower      int64   `json:"rank_lower"`
		Upper      int64   `json:"rank_upper"`
		Infinite   bool    `json:"upper_is_infinite"`
		LowerLevel float64 `json:"q_lower_level"`
		UpperLevel float64 `json:"q_upper_level"`
		Value      float64
		CAlpha05   float64 `json:"C_alpha_05"`
		TMin       int64   `json:"t_min"`
		C          float64
		T          int64
		Radius     float64
	}](t, "B_quantile") {
		seen[v.Kind]++
		switch v.Kind {
		case "rank_bounds":
			q := must[*Quantile](t)(NewQuantile(QuantileOptions{P: v.P, Alpha: v.Alpha, NOpt: v.NOpt}))
			near(t, "K", q.mixture.K, v.K, exact)
			band := must[RankBand](t)(q.Band(v.N))
			if want := (RankBand{Lower: v.Lower, Upper: v.Upper}); band != want {
				t.Errorf("n=%d p=%v: %+v, want %+v", v.N, v.P, band, want)
			}
			if infinite := band.Upper > v.N; infinite != v.Infinite {
				t.Errorf("n=%d p=%v: infinite %v", v.N, v.P, infinite)
			}
			// The real numbers of which the ranks are the integers.
			n, np := float64(v.N), v.P*float64(v.N)
			kept := func(s float64) bool { return q.mixture.logE(np+s, n-np-s) < q.threshold }
			minus, plus := boundary(0, -np, kept), n-np
			if !kept(plus) {
				plus = boundary(0, plus, kept)
			}
			near(t, "s_minus", minus, v.SMinus, exact)
			near(t, "s_plus", plus, v.SPlus, exact)
			near(t, "lower level", v.P+minus/n, v.LowerLevel, exact)
			near(t, "upper level", v.P+plus/n, v.UpperLevel, exact)
		case "published":
			b := must[*UniformBand](t)(NewUniformBand(UniformBandOptions{Alpha: 0.05, NMin: 100}))
			within(t, "radius", b.Radius(1000), v.Value, published)
			near(t, "C", b.c, v.CAlpha05, exact)
		case "dkw_lil_band":
			b := must[*UniformBand](t)(NewUniformBand(UniformBandOptions{Alpha: v.Alpha, NMin: v.TMin}))
			near(t, "C", b.c, v.C, exact)
			near(t, "radius", b.Radius(v.T), v.Radius, exact)
		}
	}
	seen.check(t, kinds{"rank_bounds": 4, "published": 1, "dkw_lil_band": 2})
}

func TestVectorsSRM(t *testing.T) {
	t.Parallel()
	seen := kinds{}
	for _, v := range vectors[struct {
		Kind      string
		Counts    []int64
		Expected  []float64
		K         float64
		LogE      float64   `json:"log_e"`
		P         float64   `json:"p_always_valid"`
		Alarm     bool      `json:"alarm_at_0_001"`
		Published []float64 `json:"log_bf_published"`
	}](t, "D_srm") {
		seen[v.Kind]++
		if v.Kind == "published" {
			// The prior there is Dirichlet(1, 1, 1), with a mean that is not the hypothesis.
			null, counts := []float64{0.4, 0.4, 0.2}, []float64{0, 0, 0}
			likelihood := 0.0
			for i, arm := range []int{0, 1, 0, 1, 2} {
				counts[arm]++
				likelihood += log(null[arm] * 3)
				prior, posterior := newLogDirichlet(3), newLogDirichlet(3+float64(i+1))
				for _, n := range counts {
					prior.add(1, 1.0/3)
					posterior.add(1+n, 1.0/3)
				}
				within(t, "log Bayes factor", posterior.sum-prior.sum-likelihood, v.Published[i], published)
			}
			continue
		}
		m := SRM{Concentration: v.K}
		var s SRMState
		if err := m.StartStage(&s, v.Expected); err != nil {
			t.Fatal(err)
		}
		if err := m.Observe(&s, v.Counts); err != nil {
			t.Fatal(err)
		}
		near(t, "log E", m.LogE(&s), v.LogE, exact)
		near(t, "p", min(1, exp(-m.LogE(&s))), v.P, 1e-8) // its digits are those of log E
		if alarm := m.LogE(&s) >= LogThreshold(0.001); alarm != v.Alarm {
			t.Errorf("%v: alarm %v", v.Counts, alarm)
		}
	}
	seen.check(t, kinds{"srm": 4, "published": 1})
}

func TestVectorsAlpha(t *testing.T) {
	t.Parallel()
	seen := kinds{}
	for _, v := range vectors[struct {
		Kind         string
		EValues      []float64 `json:"e_values"`
		Alpha        float64
		Rejected     []int   `json:"rejected_indices"`
		Total        float64 `json:"alpha_total"`
		Weights      []float64
		AlphaG       []float64 `json:"alpha_g"`
		EThreshold   []float64 `json:"e_threshold"`
		LogThreshold []float64 `json:"log_threshold"`
		Rollouts     float64   `json:"rollouts_per_year"`
		AlphaRollout float64   `json:"alpha_rollout"`
		Bound        float64
	}](t, "E_alpha") {
		seen[v.Kind]++
		switch v.Kind {
		case "e_BH":
			logs := make([]float64, len(v.EValues))
			for i, e := range v.EValues {
				logs[i] = log(e)
			}
			if got := must[[]int](t)(Discoveries(logs, v.Alpha)); !slices.Equal(got, v.Rejected) {
				t.Errorf("%v: %v, want %v", v.EValues, got, v.Rejected)
			}
		case "weighted_bonferroni":
			alphas := must[[]float64](t)(Allocate(v.Total, v.Weights))
			for g, alpha := range alphas {
				near(t, "alpha", alpha, v.AlphaG[g], exact)
				near(t, "threshold", exp(LogThreshold(alpha)), v.EThreshold[g], exact)
				near(t, "log threshold", LogThreshold(alpha), v.LogThreshold[g], exact)
			}
		case "fleet":
			total := 0.0
			for _, alpha := range must[[]float64](t)(Allocate(v.AlphaRollout, []float64{4, 2, 2, 1, 1})) {
				total += alpha
			}
			near(t, "false rollbacks a year", v.Rollouts*total, v.Bound, exact)
		}
	}
	seen.check(t, kinds{"e_BH": 2, "weighted_bonferroni": 2, "fleet": 1})
}
