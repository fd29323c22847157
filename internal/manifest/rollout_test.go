package manifest

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/examples"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

const everyRolloutField = `apiVersion: tidegate/v1
rollouts:
  r:
    description: d
    owner: o
    flag: f
    rule: canada
    from: off
    to: on
    strategy: canary
    stages:
      - {weight: 0%, manual: true}
      - {weight: 0.5%, minDwell: 2m}
      - weight: 100%
        minDwell: 1d
    holdback: 2.5%
    bake: 1h30m
    guardrails:
      errors: rate < +5% relative, of observations, weight 2
      slow: p99(latency) < +100ms, hold
    success: rate(buys) rises, relevant 2%
    unit: request
    falseRollbackBudget: 2%
    edgeBreaker: {after: 20s}
    notify: [a, b]
`

const everyRolloutFieldMeans = `{
  "key": "r", "description": "d", "owner": "o", "flagKey": "f", "rule": "canada", "control": "off", "treatment": "on",
  "strategy": "STRATEGY_CANARY", "holdback": 250, "bake": "5400s", "unit": "UNIT_REQUEST", "falseRollbackBudget": 0.02,
  "stages": [{"manual": true}, {"weight": 50, "minDwell": "120s"}, {"weight": 10000, "minDwell": "86400s"}],
  "guardrails": [
    {"name": "errors", "metric": "errors", "statistic": "STATISTIC_RATE", "worse": "DIRECTION_INCREASE", "margin": {"relative": 0.05},
     "denominator": "DENOMINATOR_OBSERVATIONS", "weight": 2},
    {"name": "slow", "metric": "latency", "statistic": "STATISTIC_QUANTILE", "quantile": 0.99, "worse": "DIRECTION_INCREASE",
     "margin": {"seconds": 0.1}, "action": "ACTION_HOLD"}],
  "success": {"metric": "buys", "statistic": "STATISTIC_RATE", "better": "DIRECTION_INCREASE", "relevantDifference": 0.02},
  "edgeBreaker": {"after": "20s"}, "notify": ["a", "b"]
}`

func TestParseRollouts(t *testing.T) {
	d, err := ParseRollouts("f.yaml", []byte(everyRolloutField))
	if err != nil {
		t.Fatal(err)
	}
	want := &rolloutv1.Rollout{}
	if err := protojson.Unmarshal([]byte(everyRolloutFieldMeans), want); err != nil {
		t.Fatal(err)
	}
	if len(d.Rollouts) != 1 || !proto.Equal(d.Rollouts[0], want) {
		t.Errorf("got  %v\nwant %v", d.Rollouts, want)
	}
	// Every field of the message is in it, but for what the control plane writes.
	fields := want.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); fd.Name() != "status" && !want.ProtoReflect().Has(fd) {
			t.Errorf("field %s has no form in a file, or no test", fd.Name())
		}
	}
	for field, where := range map[string]string{
		"rollouts[r].treatment":                      "f.yaml:9:9: rollouts[r].to: p",
		"rollouts[r].stages[1].weight":               "f.yaml:13:18: rollouts[r].stages[1].weight: p",
		"rollouts[r].guardrails[1].margin.absolute":  "f.yaml:20:13: rollouts[r].guardrails[slow]: p",
		"rollouts[r].guardrails[0].promotion_ratios": "f.yaml:19:15: rollouts[r].guardrails[errors]: p",
		"rollouts[r].success.alpha":                  "f.yaml:21:14: rollouts[r].success: p",
		"rollouts[r].edge_breaker.disabled":          "f.yaml:24:18: rollouts[r].edgeBreaker.disabled: p",
	} {
		if e, ok := d.Explain(field, "p"); !ok || e.Error() != where {
			t.Errorf("%s: got %v, want %s", field, e, where)
		}
	}
	if _, err := Marshal(d); err == nil {
		t.Error("Marshal left rollouts out")
	}
	if _, err := Merge(d, d); err == nil || !strings.Contains(err.Error(), "rollouts[r]: is already defined at f.yaml:3:3") {
		t.Errorf("merged with itself: %v", err)
	}
}

func TestExampleRollout(t *testing.T) {
	d, err := ParseRollouts("new-checkout.yaml", examples.Rollout)
	if err != nil {
		t.Fatal(err)
	}
	flags, err := Parse("flags.yaml", examples.Flags)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flags.Flags {
		if f.GetKey() == d.Rollouts[0].GetFlagKey() {
			if _, err := rollout.Start(d.Rollouts[0], f, rollout.At{}); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Errorf("there is no flag %q", d.Rollouts[0].GetFlagKey())
}

// Every file in testdata/rollouts has its errors beside it.
func TestParseRolloutErrors(t *testing.T) {
	for _, path := range glob(t, "testdata/rollouts/*.yaml") {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			d, err := ParseRollouts(name, read(t, path))
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || d != nil {
				t.Fatalf("got %v, %v; want Errors", d, err)
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", []byte(errs.Error()+"\n"))
		})
	}
	_, err := Parse("f", []byte(everyRolloutField))
	if err == nil || err.Error() != "f:2:1: rollouts: rollouts are started, not applied: move them to a file of their own, for 'tidegate rollout start -f FILE'" {
		t.Errorf("parsed as flags: %v", err)
	}
}

// FuzzParseRollouts: whatever is in a file, it is read as valid rollouts, or its errors have
// places.
func FuzzParseRollouts(f *testing.F) {
	f.Add([]byte(everyRolloutField))
	f.Add(examples.Rollout)
	f.Add([]byte(`{"apiVersion": "tidegate/v1", "rollouts": {"r": {"flag": "f", "to": "on", "strategy": "fixed"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseRollouts("f", data)
		if err != nil {
			var errs Errors
			if !errors.As(err, &errs) || errs[0].Position.Line < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, r := range d.Rollouts {
			if errs := rollout.Check(r); len(errs) > 0 {
				t.Fatalf("%v", errs)
			}
		}
	})
}
