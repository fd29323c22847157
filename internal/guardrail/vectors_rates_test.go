package guardrail

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"testing"
)

func TestVectorsRates(t *testing.T) {
	t.Parallel()
	seen := kinds{}
	for _, v := range vectors[struct {
		Kind       string
		NT         int64     `json:"N_t"`
		NC         int64     `json:"N_c"`
		ET         int64     `json:"e_t"`
		EC         int64     `json:"e_c"`
		R0         float64   `json:"r0"`
		R1         float64   `json:"r1"`
		Grid       []float64 `json:"grid_multipliers"`
		LogE       float64   `json:"log_e"`
		Geq1000    bool      `json:"e_geq_1000"`
		At5        float64   `json:"log_lambda_at_r0x5"`
		Theta      float64   `json:"theta0"`
		K          float64
		LogTwo     float64 `json:"log_e_two_sided"`
		LogOne     float64 `json:"log_e_one_sided"`
		Alpha      float64
		Lower, MLE float64
		Upper      float64
		Passes     bool  `json:"passes_alpha_0_05"`
		Horizon    int64 `json:"horizon_T"`
		Windows    string
		Plain      []at    `json:"log_e_plain_at"`
		Restart    []at    `json:"log_e_restart_at"`
		Threshold  float64 `json:"alarm_log_threshold"`
		FirstPlain *int    `json:"first_alarm_plain"`
		First      *int    `json:"first_alarm_restart"`
	}](t, "C_rates") {
		seen[v.Kind]++
		c := Counts{EventsT: v.NT, EventsC: v.NC, ExposuresT: v.ET, ExposuresC: v.EC}
		switch v.Kind {
		case "grid_e":
			// With the whole weight on one window the breaker is the plain grid.
			b := must[*RateBreaker](t)(NewRateBreaker(RateBreakerOptions{Ratio: v.R0, Schedule: Schedule{Horizon: 1}}))
			checkGrid(t, breakerMultipliers(), v.Grid)
			var s RateBreakerState
			if err := b.Observe(&s, c); err != nil {
				t.Fatal(err)
			}
			near(t, "log E", s.LogE(), v.LogE, exact)
			near(t, "log Λ at 5·r0", s.LogR[5], v.At5, exact)
			if got := s.LogE() >= LogThreshold(0.001); got != v.Geq1000 {
				t.Errorf("%+v: E ≥ 1000 is %v", c, got)
			}
		case "grid_noninferiority":
			g := must[*RateGate](t)(NewRateGate(RateGateOptions{Ratio: v.R1}))
			checkGrid(t, gateMultipliers(), v.Grid)
			var s RateGateState
			if err := g.Observe(&s, c); err != nil {
				t.Fatal(err)
			}
			near(t, "log E", s.LogE(), v.LogE, exact)
			if got := s.LogE() >= LogThreshold(0.05); got != v.Passes {
				t.Errorf("%+v: passes is %v", c, got)
			}
		case "beta_mixture":
			m := BinomialMixture{Theta: v.Theta, K: v.K}
			near(t, "two-sided", must[float64](t)(m.LogE(v.NT, v.NC)), v.LogTwo, exact)
			near(t, "one-sided", must[float64](t)(m.LogEGreater(v.NT, v.NC)), v.LogOne, exact)
		case "rate_ratio_cs":
			i := must[Interval](t)(RateRatio([]Counts{c}, v.K, v.Alpha))
			near(t, "lower", i.Lower, v.Lower, exact)
			near(t, "estimate", i.Estimate, v.MLE, exact)
			near(t, "upper", i.Upper, v.Upper, exact)
		case "restart_e_process":
			windows := parseWindows(t, v.Windows)
			checkGrid(t, breakerMultipliers(), v.Grid)
			restart := must[*RateBreaker](t)(NewRateBreaker(RateBreakerOptions{Ratio: v.R0, Schedule: Schedule{Horizon: v.Horizon}}))
			plain := must[*RateBreaker](t)(NewRateBreaker(RateBreakerOptions{Ratio: v.R0, Schedule: Schedule{Horizon: 1}}))
			checkRun(t, "restart", restart, windows, v.Restart, v.Threshold, v.First)
			checkRun(t, "plain", plain, windows, v.Plain, v.Threshold, v.FirstPlain)
		}
	}
	seen.check(t, kinds{"grid_e": 4, "beta_mixture": 2, "rate_ratio_cs": 2, "grid_noninferiority": 4, "restart_e_process": 1})
}

// at is the value after n windows.
type at struct {
	N int
	V float64
}

func checkGrid(t *testing.T, got, want []float64) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("multipliers %v, want %v", got, want)
	}
}

// parseWindows reads the file's "30x[(0,10,50,950),(1,9,50,950)] then 12x(3,10,50,950)…".
func parseWindows(t *testing.T, text string) []Counts {
	t.Helper()
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var windows []Counts
	tuple := regexp.MustCompile(`\((\d+),(\d+),(\d+),(\d+)\)`)
	for _, block := range regexp.MustCompile(`(\d+)x(\[[^\]]*\]|\([^)]*\))`).FindAllStringSubmatch(text, -1) {
		for range number(block[1]) {
			for _, w := range tuple.FindAllStringSubmatch(block[2], -1) {
				windows = append(windows, Counts{
					EventsT: number(w[1]), EventsC: number(w[2]), ExposuresT: number(w[3]), ExposuresC: number(w[4]),
				})
			}
		}
	}
	if len(windows) != 72 {
		t.Fatalf("%d windows in %q, want 72", len(windows), text)
	}
	return windows
}

func checkRun(t *testing.T, name string, b *RateBreaker, windows []Counts, want []at, threshold float64, first *int) {
	t.Helper()
	var s RateBreakerState
	alarm, peak := 0, math.Inf(-1)
	for i, w := range windows {
		if err := b.Observe(&s, w); err != nil {
			t.Fatal(err)
		}
		peak = max(peak, s.LogE())
		if alarm == 0 && s.LogE() >= threshold {
			alarm = i + 1
		}
		for _, x := range want {
			if x.N == i+1 {
				near(t, fmt.Sprintf("%s: log E after %d", name, x.N), s.LogE(), x.V, exact)
			}
		}
	}
	if peak != s.LogPeak {
		t.Errorf("%s: peak %v, want %v", name, s.LogPeak, peak)
	}
	if first != nil && alarm != *first {
		t.Errorf("%s: alarm after %d windows, want %d", name, alarm, *first)
	}
	if first == nil && alarm != 0 {
		t.Errorf("%s: alarm after %d windows, want none", name, alarm)
	}
}

func TestVectorsModel(t *testing.T) {
	t.Parallel()
	seen := kinds{}
	for _, v := range vectors[struct {
		Kind           string
		P, Q           []float64
		PSI            float64
		JS             float64 `json:"js_nats"`
		KS             float64
		N, M           int64
		Bins           int
		Mean, Q99      float64
		Noise          bool `json:"rule_of_thumb_0_1_is_noise"`
		TP, FP, FN, TN int64
		Accuracy       float64
		Precision      float64
		Recall         float64
		F1, F0         float64
		ZMean          float64 `json:"z_mean"`
		ZVar           float64 `json:"z_var"`
	}](t, "G_model_metrics") {
		seen[v.Kind]++
		switch v.Kind {
		case "divergence":
			near(t, "PSI", must[float64](t)(PSI(v.P, v.Q)), v.PSI, exact)
			near(t, "Jensen-Shannon", must[float64](t)(JensenShannon(v.P, v.Q)), v.JS, exact)
			near(t, "Kolmogorov-Smirnov", must[float64](t)(KolmogorovSmirnov(v.P, v.Q)), v.KS, exact)
		case "psi_null":
			mean, q99, err := PSINull(v.N, v.M, v.Bins, 0.01)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "mean", mean, v.Mean, exact)
			near(t, "threshold", q99, v.Q99, exact)
			if noise := q99 > 0.1; noise != v.Noise {
				t.Errorf("n=%d: 0.1 is noise: %v", v.N, noise)
			}
		case "f1_contrast":
			m := Confusion{TP: v.TP, FP: v.FP, FN: v.FN, TN: v.TN}
			near(t, "accuracy", m.Accuracy(), v.Accuracy, exact)
			near(t, "precision", m.Precision(), v.Precision, exact)
			near(t, "recall", m.Recall(), v.Recall, exact)
			near(t, "F1", m.F1(), v.F1, exact)
			z := must[Sample](t)(m.F1Sample(v.F0))
			near(t, "mean of Z", z.Mean(), v.ZMean, exact)
			near(t, "variance of Z", z.Variance(), v.ZVar, exact)
			if (z.Mean() >= 0) != (m.F1() >= v.F0) {
				t.Errorf("%+v: the mean of Z is %v, F1 %v", m, z.Mean(), m.F1())
			}
		}
	}
	seen.check(t, kinds{"divergence": 2, "psi_null": 3, "f1_contrast": 2})
}

func TestVectorsDetection(t *testing.T) {
	t.Parallel()
	b := must[*RateBreaker](t)(NewRateBreaker(RateBreakerOptions{Ratio: 1.05, Schedule: Schedule{Horizon: 360}}))
	for _, v := range vectors[struct {
		PControl   float64 `json:"p_control"`
		Ratio      float64
		Allocation float64
		Alpha      float64 `json:"alpha_g"`
		Nats       float64 `json:"nats_needed"`
		Events     float64
		Total      float64 `json:"total_exposures"`
		Treatment  float64 `json:"treatment_exposures"`
	}](t, "H_detection_size") {
		const six = 5e-6 // the file has six digits here
		d := must[Detection](t)(b.Detect(Traffic{RateT: v.PControl * v.Ratio, RateC: v.PControl, Share: v.Allocation}, v.Alpha))
		near(t, "nats", b.nats(v.Alpha), v.Nats, six)
		near(t, "events", d.Events, v.Events, six)
		near(t, "exposures", d.Exposures, v.Total, six)
		near(t, "treatment exposures", d.TreatmentExposures, v.Treatment, six)
		ratio := must[float64](t)(b.DetectableRatio(v.PControl, v.Allocation, d.Exposures, v.Alpha))
		near(t, "detectable ratio", ratio, v.Ratio, exact)
	}
}

func TestVectorsExtras(t *testing.T) {
	t.Parallel()
	seen := kinds{}
	for _, v := range vectors[struct {
		Kind  string
		N     int64   `json:"n_users"`
		SumY  float64 `json:"sum_y"`
		SumX  float64 `json:"sum_x"`
		SumYY float64 `json:"sum_yy"`
		SumXX float64 `json:"sum_xx"`
		SumXY float64 `json:"sum_xy"`
		Ratio float64
		SE    float64
		T, C  [6]float64
		Theta float64
		Raw   float64    `json:"raw_diff"`
		Adj   float64    `json:"adj_diff"`
		RawSE float64    `json:"raw_se"`
		AdjSE float64    `json:"adj_se"`
		VR    float64    `json:"variance_ratio"`
		BetaT [2]float64 `json:"beta_t"`
		BetaC [2]float64 `json:"beta_c"`
		PT    float64    `json:"p_t_better"`
	}](t, "I_extras") {
		seen[v.Kind]++
		switch v.Kind {
		case "ratio_delta":
			a := PairedSample{N: v.N, SumY: v.SumY, SumX: v.SumX, SumYY: v.SumYY, SumXX: v.SumXX, SumXY: v.SumXY}
			r, se, err := a.Ratio()
			if err != nil {
				t.Fatal(err)
			}
			near(t, "ratio", r, v.Ratio, exact)
			near(t, "standard error", se, v.SE, exact)
			// Linearized at its own ratio, the mean is 0 and the standard error the same.
			l := must[Sample](t)(a.Linearize(r, a.SumX/float64(a.N)))
			within(t, "linearized mean", l.Mean(), 0, 1e-15)
			near(t, "linearized standard error", math.Sqrt(l.Variance()/float64(l.N)), v.SE, exact)
		case "cuped":
			p := func(x [6]float64) PairedSample {
				return PairedSample{N: int64(x[0]), SumY: x[1], SumX: x[2], SumYY: x[3], SumXX: x[4], SumXY: x[5]}
			}
			r := must[CUPEDResult](t)(CUPED(p(v.T), p(v.C)))
			near(t, "theta", r.Theta, v.Theta, exact)
			near(t, "raw", r.Raw, v.Raw, exact)
			near(t, "adjusted", r.Adjusted, v.Adj, exact)
			near(t, "raw standard error", r.RawStdErr, v.RawSE, exact)
			near(t, "adjusted standard error", r.AdjustStdErr, v.AdjSE, exact)
			near(t, "variance ratio", r.AdjustStdErr*r.AdjustStdErr/(r.RawStdErr*r.RawStdErr), v.VR, exact)
			// Adjusted samples differ by the same.
			a, c := must[Sample](t)(p(v.T).Adjust(r.Theta, 5)), must[Sample](t)(p(v.C).Adjust(r.Theta, 5))
			near(t, "difference of adjusted samples", a.Mean()-c.Mean(), v.Adj, exact)
			near(t, "their standard error", math.Sqrt(a.Variance()/float64(a.N)+c.Variance()/float64(c.N)), v.AdjSE, exact)
		case "thompson":
			p := must[float64](t)(ProbabilityGreater(Beta{v.BetaT[0], v.BetaT[1]}, Beta{v.BetaC[0], v.BetaC[1]}))
			near(t, "P(t > c)", p, v.PT, exact)
		}
	}
	seen.check(t, kinds{"ratio_delta": 2, "cuped": 1, "thompson": 2})
}
