package rollout

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

func TestParseGuardrail(t *testing.T) {
	for text, want := range map[string]string{
		"errors: rate < +5% relative": `{"name":"errors","metric":"errors","statistic":"STATISTIC_RATE","worse":"DIRECTION_INCREASE","margin":{"relative":0.05}}`,
		" errors :rate<+0.5pp":        `{"name":"errors","metric":"errors","statistic":"STATISTIC_RATE","worse":"DIRECTION_INCREASE","margin":{"percentagePoints":0.5}}`,
		"slow: p99(latency) < +100ms": `{"name":"slow","metric":"latency","statistic":"STATISTIC_QUANTILE","quantile":0.99,"worse":"DIRECTION_INCREASE","margin":{"seconds":0.1}}`,
		"slow: p99.9 < +1.5s, hold":   `{"name":"slow","metric":"slow","statistic":"STATISTIC_QUANTILE","quantile":0.999,"worse":"DIRECTION_INCREASE","margin":{"seconds":1.5},"action":"ACTION_HOLD"}`,
		"cost: mean < +12.5, weight 0.5, rollback, of exposures": `{"name":"cost","metric":"cost","statistic":"STATISTIC_MEAN","worse":"DIRECTION_INCREASE","margin":{"absolute":12.5},` +
			`"denominator":"DENOMINATOR_EXPOSURES","weight":0.5,"action":"ACTION_ROLLBACK"}`,
		"buy: rate > -0.1% relative, of observations, weight 4, by plan, ratios 5 3 2": `{"name":"buy","metric":"buy","statistic":"STATISTIC_RATE","worse":"DIRECTION_DECREASE",` +
			`"margin":{"relative":0.001},"denominator":"DENOMINATOR_OBSERVATIONS","weight":4,"segmentBy":"plan","promotionRatios":[5,3,2]}`,
		"q: f1(m) > 0.8 -0.02": `{"name":"q","metric":"m","statistic":"STATISTIC_F1","worse":"DIRECTION_DECREASE","margin":{"absolute":0.02},"reference":0.8}`,
		"q: f1 > 0.8":          `{"name":"q","metric":"q","statistic":"STATISTIC_F1","worse":"DIRECTION_DECREASE","margin":{"absolute":0},"reference":0.8}`,
		"d: drift":             `{"name":"d","metric":"d","statistic":"STATISTIC_DRIFT","worse":"DIRECTION_INCREASE"}`,
		"d: drift(m) < 0.2":    `{"name":"d","metric":"m","statistic":"STATISTIC_DRIFT","worse":"DIRECTION_INCREASE","margin":{"absolute":0.2}}`,
		"m: miss < +1pp":       `{"name":"m","metric":"m","statistic":"STATISTIC_MISS","worse":"DIRECTION_INCREASE","margin":{"percentagePoints":1}}`,
	} {
		g, err := ParseGuardrail(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		expected := &rolloutv1.Guardrail{}
		if err := protojson.Unmarshal([]byte(want), expected); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(g, expected) {
			t.Errorf("%s: got %v, want %v", text, g, expected)
		}
	}
}

func TestParseGuardrailErrors(t *testing.T) {
	for text, want := range map[string]string{
		"errors":                                "expected NAME: STATISTIC < +MARGIN, such as 'errors: rate < +5% relative'",
		"e: rate":                               "how much worse the treatment may be is missing",
		"e: rate < +5%":                         "+5% could be two things: write '+5% relative' for 5% of the control's value, or '+5pp' for percentage points",
		"e: rate > -5%":                         "-5% could be two things: write '-5% relative'",
		"e: rate < 5% relative":                 "expected a difference to the control after '<', with its sign, such as '< +5% relative'",
		"e: rate > +5% relative":                "expected a difference to the control after '>', with its sign, such as '> -5% relative'",
		"e: rate < +5 relative":                 `"5" is not a margin`,
		"e: rate < +1e3pp":                      `"1e3pp" is not a margin`,
		"e: rate < +-5pp":                       `"-5pp" is not a margin`,
		"e: rate < +":                           `"" is not a margin`,
		"e: rate < +5 %":                        `"5 %" is not a margin`,
		"e: rate < +5minutes":                   `"5minutes" is not a margin`,
		"e: rates < +5pp":                       `"rates" is not a statistic`,
		"e: p < +5ms":                           `"p" is not a statistic`,
		"e: rate( < +5pp":                       "expected STATISTIC(METRIC)",
		"e: rate(m) x < +5pp":                   "expected STATISTIC(METRIC)",
		"e: rate < +5pp, fast":                  `"fast" is not an option`,
		"e: rate < +5pp, weight":                `"weight" is not an option`,
		"e: rate < +5pp, weight x":              `"weight x" is not an option`,
		"e: rate < +5pp, weight 0":              `"weight 0": a weight is above 0`,
		"e: rate < +5pp,":                       `"" is not an option`,
		"e: rate < +5pp, ratios 5 x":            `"x" is not a ratio`,
		"e: f1 < 0.8":                           "expected the F1 to reach",
		"e: f1":                                 "expected the F1 to reach",
		"e: f1 > 0.8 -":                         "expected the F1 to reach",
		"e: drift > 0.1":                        "expected a PSI",
		"e: mean < +" + strings.Repeat("9", 40): "is not a margin",
	} {
		g, err := ParseGuardrail(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", text, g, err, want)
		}
	}
}

func TestParseSuccess(t *testing.T) {
	s, err := ParseSuccess("rate(purchases) falls, of observations, alpha 0.01, relevant 2%, give up after 14d")
	if err != nil || s.GetMetric() != "purchases" || s.GetBetter() != rolloutv1.Direction_DIRECTION_DECREASE || s.GetAlpha() != 0.01 ||
		s.GetRelevantDifference() != 0.02 || s.GetGiveUpAfter().AsDuration() != 14*24*time.Hour || s.GetDenominator() != rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS {
		t.Errorf("%v, %v", s, err)
	}
	if got := FormatSuccess(s); got != "rate(purchases) falls, of observations, alpha 0.01, relevant 2%, give up after 14d" {
		t.Errorf("written as %q", got)
	}
	for text, want := range map[string]string{
		"purchases":                      "expected STATISTIC(METRIC) rises",
		"rate rises":                     "the metric is missing",
		"rate(m) rises, quickly":         `"quickly" is not an option`,
		"rate(m) rises, relevant 2":      `"relevant 2" is not an option`,
		"rate(m) rises, give up after x": "is not a duration",
		"sum(m) rises":                   `"sum" is not a statistic`,
	} {
		if s, err := ParseSuccess(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", text, s, err, want)
		}
	}
}

// TestFormatTimes: what was written as a time is told as one.
func TestFormatTimes(t *testing.T) {
	for text, want := range map[string]string{
		"100ms": "100ms", "0.1s": "100ms", "1500ms": "1.5s", "0.25ms": "250us", "12.5us": "12.5us", "0ms": "0s", "0.1": "0.1",
	} {
		g, err := ParseGuardrail("slow: mean < +" + text)
		if err != nil {
			t.Fatal(err)
		}
		if got := FormatGuardrail(g); got != "mean < +"+want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestEValue(t *testing.T) {
	for log, want := range map[float64]string{0: "1", 1: "2.7", 5.5: "245", 60.9: "10^26", -4: "0.018"} {
		if got := EValue(log); got != want {
			t.Errorf("e^%v: %s", log, got)
		}
	}
}

// FuzzParseGuardrail: what is read and makes sense is written so that it is read as the same.
func FuzzParseGuardrail(f *testing.F) {
	for _, text := range []string{
		"errors: rate < +5% relative", "a: p99.9(b) < +1.25ms, weight 3, hold, by x.y", "c: rate > -0.07% relative, of observations, ratios 9 2.5",
		"f: f1 > 0.8 -0.02", "d: drift < 0.2", "m: misprediction < +0.5pp", "n: mean < +0.1, rollback", "t: mean < +100ms", "u: mean < +1.5s", "v: p99 < +0.25ms", "w: mean < +12.5us", "z: mean < +0s", "x: miss < +300% relative",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := ParseGuardrail(text)
		if err != nil {
			return
		}
		r := Complete(&rolloutv1.Rollout{Guardrails: []*rolloutv1.Guardrail{g}})
		if errs := checkGuardrail(r.GetGuardrails()[0], false); len(errs) > 0 {
			return
		}
		for _, g := range []*rolloutv1.Guardrail{g, r.GetGuardrails()[0]} {
			written := FormatGuardrail(g)
			again, err := ParseGuardrailOf(g.GetName(), written)
			if err != nil {
				t.Fatalf("%q was written as %q: %v", text, written, err)
			}
			if back := Complete(&rolloutv1.Rollout{Guardrails: []*rolloutv1.Guardrail{again}}); !proto.Equal(back, r) {
				t.Fatalf("%q was written as %q, which is\n%v, not\n%v", text, written, back, r)
			}
		}
	})
}

// FuzzParseSuccess is the same for success metrics.
func FuzzParseSuccess(f *testing.F) {
	f.Add("rate(purchases) falls, of observations, alpha 0.01, relevant 2%, give up after 14d")
	f.Add("mean(m) rises")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSuccess(text)
		if err != nil {
			return
		}
		valid := &rolloutv1.Rollout{Strategy: rolloutv1.Strategy_STRATEGY_EXPERIMENT, Success: s, Stages: []*rolloutv1.Stage{{Weight: 1}}}
		var c checker
		if c.success(Complete(valid)); len(c.fields) > 0 {
			return
		}
		again, err := ParseSuccess(FormatSuccess(s))
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, FormatSuccess(s), err)
		}
		completeSuccess(s)
		if completeSuccess(again); !proto.Equal(s, again) {
			t.Fatalf("%q was written as %q, which is %v, not %v", text, FormatSuccess(s), again, s)
		}
	})
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"100ms": 100 * time.Millisecond, "1m30s": 90 * time.Second, "2d": 48 * time.Hour, "0s": 0, "26h": 26 * time.Hour} {
		d, err := ParseDuration(text)
		if err != nil || d != want || FormatDuration(d) != map[bool]string{true: text, false: "26h"}[text != "26h"] {
			t.Errorf("%s: %v, %v, written as %s", text, d, err, FormatDuration(d))
		}
	}
	for _, text := range []string{"", "5", "-1s", "+1s", "1.5d", "-2d", "99999999d", "soon", "d"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %v", text, d)
		}
	}
	for d, want := range map[time.Duration]string{time.Minute: "1m", time.Hour: "1h", 90 * time.Minute: "1h30m", 24 * time.Hour: "1d", 10 * time.Second: "10s", 3600*time.Second + time.Second: "1h0m1s"} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestWeights(t *testing.T) {
	for text, want := range map[string]uint32{"0%": 0, "1%": 100, "0.5%": 50, "0.01%": 1, "100%": TotalWeight, "33.33%": 3333, "5.0%": 500} {
		if got, err := ParseWeight(text); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "%", "101%", "0.001%", "-1%", "1e2%", "1.2.3%", ".", ".%", strings.Repeat("1", 20) + "%"} {
		if got, err := ParseWeight(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
	for w, want := range map[uint32]string{0: "0%", 1: "0.01%", 50: "0.5%", 3333: "33.33%", TotalWeight: "100%"} {
		if got := Percent(w); got != want {
			t.Errorf("%d: %s, want %s", w, got, want)
		}
	}
	for text, want := range map[string]float64{"1%": 0.01, "0.5%": 0.005, "0.02": 0.02} {
		if got, err := ParseProbability(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := ParseProbability("often"); err == nil {
		t.Error("often is a probability")
	}
}
