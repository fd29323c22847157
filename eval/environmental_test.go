package eval_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// flagd.md, section 3: injected; and flag.proto, Rule. Whatever the caller sends, and
// whatever path leads there.
func TestEnvironmentalAttributesInExpressions(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"var": "$flagd.flagKey"}`, "flag"},
		{`{"var": ["$flagd.flagKey", "x"]}`, "flag"},
		{`{"var": "$flagd.timestamp"}`, "1790000000"},
		{`{"var": "$tidegate.region"}`, "eu-west"},
		{`{"var": "$tidegate.weekday"}`, "1"},
		{`{"cat": [{"var": "$tidegate.timeOfDay"}]}`, "14.222222222222221"},
		{`{"var": {"cat": ["$flagd", ".flagKey"]}}`, "flag"},
		{`{"var": {"cat": ["$flagd", ".timestamp"]}}`, "1790000000"},
		{`{"var": {"cat": ["$tidegate.", "region"]}}`, "eu-west"},
		{`{"var": "$flagd.flagKey.x"}`, null},
		{`{"var": "$flagd.other"}`, null},
		{`{"var": "$flagdx"}`, null},
		{`{"var": "$flagdx.flagKey"}`, null},
		{`{"var": {"cat": ["$flagd", "x"]}}`, null},
		{`{"var": "$tidegate.other"}`, null},
		{`{"var": "$flagd"}`, noName},
		{`{"!!": {"var": "$flagd"}}`, "true"},
		{`{"cat": {"map": [{"merge": [{"var": "$flagd"}, {"var": ""}]}, {"var": "flagKey"}]}}`, "flag"},
		{`{"cat": {"map": [{"merge": [{"var": ""}]}, {"var": "$flagd.flagKey"}]}}`, "flag"},
		{`{"cat": {"map": [{"merge": [{"var": ""}]}, {"var": "$flagd.timestamp"}]}}`, "1790000000"},
		{`{"cat": {"map": [{"merge": [{"var": ""}]}, {"var": "targetingKey"}]}}`, "user-1"},
		{`{"cat": {"map": [{"merge": [{"var": ""}]}, {"var": "email"}]}}`, "a@faas.com"},
		{`{"cat": {"map": [{"merge": [{"var": "$tidegate"}]}, {"var": "region"}]}}`, "eu-west"},
		{`{"some": [["x"], {"==": [{"var": "$flagd.flagKey"}, "flag"]}]}`, "true"},
		// what a caller's list holds
		{`{"cat": {"map": [{"var": "liars"}, {"var": "$flagd.timestamp"}]}}`, ""},
		{`{"cat": {"map": [{"var": "liars"}, {"var": {"cat": ["$tidegate", ".region"]}}]}}`, ""},
		{`{"cat": {"map": [{"var": "liars"}, {"var": [{"cat": [".$tidegate", ".region"]}]}]}}`, ""},
		{`{"cat": {"map": [{"var": "liars"}, {"var": "$flagd"}]}}`, ""},
		{`{"cat": {"map": [{"var": "liars"}, {"var": ".$flagdx"}]}}`, ""},
		{`{"reduce": [{"var": "liars"}, {"var": ["$tidegate.region", "none"]}, "x"]}`, "none"},
		{`{"some": [{"var": "liars"}, {"==": [{"var": "$tidegate.region"}, "mine"]}]}`, "false"},
		{`{"cat": {"map": [{"var": "liars"}, {"cat": {"missing": ["$flagd.flagKey"]}}]}}`, "$flagd.flagKey"},
		{`{"some": [{"var": "liars"}, {"==": [{"var": ".$tidegate.region"}, "mine"]}]}`, "false"},
		{`{"cat": {"missing": ["$flagd.flagKey", "$flagd.timestamp", "$flagd.other", "$tidegate.region"]}}`, "$flagd.other"},
	} {
		if c.want == "" {
			c.text, c.want = `{"==": [`+c.text+`, ""]}`, "true"
		}
		expectResult(t, c.text, someone, c.want)
	}
}

// What is not known here is not taken from the caller either.
func TestUnknownEnvironmentalAttributes(t *testing.T) {
	for _, ctx := range contexts(t, someone) {
		ctx.Region, ctx.Now = "", 0
		for _, text := range []string{
			`{"==": [{"var": "$tidegate.region"}, "mine"]}`,
			`{"some": [{"var": "liars"}, {"==": [{"var": "$tidegate.region"}, "mine"]}]}`,
			`{"some": [{"var": "liars"}, {"==": [{"var": {"cat": ["$flagd", ".timestamp"]}}, 1]}]}`,
			`{"some": [{"filter": [{"var": "liars"}, true]}, {"some": [[1], {"==": [{"var": "$flagd.timestamp"}, 1]}]}]}`,
		} {
			if got := resultOf(t, outcomeFlag(text, "true", "false"), ctx); got != "false" {
				t.Errorf("%s: %s", text, got)
			}
		}
	}
}

func TestEnvironmentalAttributesInClauses(t *testing.T) {
	ctx := &eval.Context{
		TargetingKey: "user-1", Region: "eu-west", Now: time.Date(2026, 11, 29, 23, 59, 59, 0, time.UTC).Unix(), // a Sunday
		Attributes: eval.Map{"$tidegate": map[string]any{"region": "mine"}, "$tidegate.region": "mine", "$flagd": map[string]any{"flagKey": "mine"}},
	}
	unknown := &eval.Context{TargetingKey: "user-1", Attributes: ctx.Attributes}
	for _, c := range []struct {
		clause      *flagv1.Clause
		want, blank bool
	}{
		{clause("$tidegate.region", opIn, "eu-west"), true, false},
		{clause("$tidegate.region", opIn, "mine"), false, false},
		{clause("$tidegate.weekday", opIn, 7), true, false},
		{clause("$tidegate.timeOfDay", opGreater, 23.999), true, false},
		{clause("$tidegate.timeOfDay", opLess, 24), true, false},
		{clause("$flagd.timestamp", opAfter, "2026-11-29T23:59:58Z"), true, false},
		{clause("$flagd.flagKey", opIn, "flag"), true, true},
		{clause("$flagd.flagKey", opIn, "mine"), false, false},
	} {
		env := environment(t, ruleFlag(c.clause))
		if got := matches(t, env, ctx); got != c.want {
			t.Errorf("%v: %v", c.clause, got)
		}
		if got := matches(t, env, unknown); got != c.blank {
			t.Errorf("%v without a place: %v", c.clause, got)
		}
	}
}

func TestTime(t *testing.T) {
	for _, c := range []struct {
		now           time.Time
		hour, weekday string
	}{
		{time.Date(1970, 1, 1, 0, 0, 1, 0, time.UTC), "0.0002777777777777778", "4"},
		{time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), "0", "1"},
		{time.Date(2026, 11, 29, 18, 30, 0, 0, time.UTC), "18.5", "7"},
		{time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC), "23", "3"},
		{time.Date(1969, 12, 22, 0, 0, 0, 0, time.UTC), "0", "1"},
	} {
		ctx := &eval.Context{Now: c.now.Unix()}
		if got := resultOf(t, outcomeFlag(`{"var": "$tidegate.timeOfDay"}`, c.hour), ctx); got != c.hour {
			t.Errorf("%s: hour %s, want %s", c.now, got, c.hour)
		}
		if got := resultOf(t, outcomeFlag(`{"var": "$tidegate.weekday"}`, c.weekday), ctx); got != c.weekday {
			t.Errorf("%s: weekday %s, want %s", c.now, got, c.weekday)
		}
	}
}

func TestReservedAttributes(t *testing.T) {
	for _, c := range []struct{ attribute, want string }{
		{"$flagd", `"$flagd" is reserved and stands for nothing; there are $flagd.flagKey, $flagd.timestamp, $tidegate.region, $tidegate.timeOfDay, $tidegate.weekday`},
		{"$flagd.flagkey", "is reserved"},
		{"$flagd.flagKey.x", "is reserved"},
		{"$flagdata", "is reserved"},
		{"$tidegate.hour", "is reserved"},
	} {
		// An expression that reads it makes no difference.
		f := conditionFlag(`{"var": "` + c.attribute + `"}`)
		f.Rules = append(f.Rules, &flagv1.Rule{Id: "clause", Clauses: []*flagv1.Clause{clause(c.attribute, opExists)}, Outcome: serve("on")})
		_, err := eval.Compile(f, 1)
		expectErrors(t, c.attribute, err, "rules[1].clauses[0].attribute: "+c.want)

		f = boolFlag("flag")
		f.DefaultOutcome = split("on", 1)
		f.DefaultOutcome.GetSplit().BucketBy = c.attribute
		_, err = eval.Compile(f, 1)
		expectErrors(t, c.attribute, err, "default_outcome.split.bucket_by: "+c.want)
	}
	for _, attribute := range []string{"$other", "flagd", "$flag"} {
		if _, err := eval.Compile(ruleFlag(clause(attribute, opExists)), 1); err != nil {
			t.Errorf("%s: %v", attribute, err)
		}
	}

	s := segment("s")
	s.KeyAttribute = "$tidegate.region"
	s.Rules = []*flagv1.SegmentRule{{Clauses: []*flagv1.Clause{clause("$flagd.flagKey", opIn, "flag"), clause("$flagd.timestamp", opExists)}}}
	_, err := eval.CompileSegment(s, 1)
	expectErrors(t, "segment", err, `rules[0].clauses[0].attribute: "$flagd.flagKey" is not known to a segment`)
}

func TestBucketByEnvironmentalAttribute(t *testing.T) {
	f := boolFlag("flag")
	f.DefaultOutcome = split("on", 1)
	f.DefaultOutcome.GetSplit().BucketBy = "$tidegate.region"
	env := environment(t, f)
	if r := env.Evaluate("flag", &eval.Context{Region: "eu-west"}); r.Reason != eval.ReasonSplit {
		t.Errorf("%+v", r)
	}
	r := env.Evaluate("flag", &eval.Context{Attributes: eval.Map{"$tidegate.region": "mine"}})
	if want := `flag "flag" splits by the attribute "$tidegate.region", which is not known here, or is no whole number`; r.ErrorCode != eval.InvalidContext || r.ErrorMessage() != want {
		t.Errorf("%+v: %s", r, r.ErrorMessage())
	}
}

// A time in a context is text to an expression, as it is after a way through JSON.
func TestTimeInExpression(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.FixedZone("", 3600))
	ctx := &eval.Context{Attributes: eval.Map{"at": at, "list": []any{at}, "object": map[string]any{"at": at}}}
	const want = "2026-03-01T11:00:00.25Z"
	for _, text := range []string{`{"var": "at"}`, `{"var": "list.0"}`, `{"var": "object.at"}`, `{"var": {"cat": ["a", "t"]}}`, `{"cat": {"var": "list"}}`} {
		if got := resultOf(t, outcomeFlag(text, want), ctx); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
