package eval_test

import (
	"testing"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func TestSegments(t *testing.T) {
	staff := segment("staff", "in", "both", "7")
	staff.Excluded = []string{"out", "both", "8"}
	staff.Rules = []*flagv1.SegmentRule{
		{Clauses: []*flagv1.Clause{clause("email", opEndsWith, "@mycompany.com"), clause("country", opIn, "Canada")}},
		{Clauses: []*flagv1.Clause{clause("plan", opIn, "pro")}},
	}
	byAccount := segment("accounts", "in", "7", "-9007199254740991")
	byAccount.Excluded = []string{"8"}
	byAccount.KeyAttribute = "account.id"
	byAccount.Rules = []*flagv1.SegmentRule{{Clauses: []*flagv1.Clause{clause("plan", opIn, "pro")}}}

	flagIn := func(keys ...any) *flagv1.Flag { return ruleFlag(clause("", opInSegment, keys...)) }
	account := func(id any) eval.Map { return eval.Map{"account": map[string]any{"id": id}} }
	pro := eval.Map{"plan": "pro"}
	for _, c := range []struct {
		name       string
		segments   []any
		key        string
		attributes eval.Map
		want       bool
	}{
		{"included", []any{"staff"}, "in", nil, true},
		{"neither", []any{"staff"}, "other", nil, false},
		{"no key", []any{"staff"}, "", nil, false},
		{"included and excluded", []any{"staff"}, "both", nil, true},
		{"rule", []any{"staff"}, "other", pro, true},
		{"rule without a key", []any{"staff"}, "", pro, true},
		{"excluded beats rule", []any{"staff"}, "out", pro, false},
		{"clauses are ANDed", []any{"staff"}, "other", eval.Map{"email": "a@mycompany.com"}, false},
		{"all clauses", []any{"staff"}, "other", eval.Map{"email": "a@mycompany.com", "country": "Canada"}, true},
		{"unknown segment", []any{"unknown"}, "in", nil, false},
		{"one of several", []any{"unknown", "accounts", "staff"}, "in", nil, true},
		{"key attribute", []any{"accounts"}, "x", account("in"), true},
		{"key attribute, targeting key ignored", []any{"accounts"}, "in", nil, false},
		{"key attribute, number", []any{"accounts"}, "x", account(7), true},
		{"key attribute, large number", []any{"accounts"}, "x", account(-(1<<53 - 1)), true},
		{"key attribute, fraction", []any{"accounts"}, "x", account(7.5), false},
		{"key attribute, excluded number", []any{"accounts"}, "x", eval.Map{"account": eval.Map{"id": 8}, "plan": "pro"}, false},
		{"key attribute, list", []any{"accounts"}, "x", account([]any{"in"}), false},
	} {
		env := environment(t, staff, byAccount, flagIn(c.segments...))
		if got := matches(t, env, &eval.Context{TargetingKey: c.key, Attributes: c.attributes}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}

	not := clause("", opInSegment, "staff", "unknown")
	not.Negate = true
	env := environment(t, staff, ruleFlag(not))
	if matches(t, env, &eval.Context{TargetingKey: "in"}) || !matches(t, env, &eval.Context{TargetingKey: "other"}) {
		t.Error("negated membership is wrong")
	}
}

// However many clauses name a segment, it is evaluated once.
func TestSegmentIsEvaluatedOnce(t *testing.T) {
	members := segment("members")
	members.Rules = []*flagv1.SegmentRule{{Clauses: []*flagv1.Clause{clause("plan", opIn, "pro")}}}
	others := segment("others", "somebody")
	not := clause("", opInSegment, "others")
	not.Negate = true
	f := ruleFlag(clause("", opInSegment, "others", "members"), not, clause("", opInSegment, "members"))
	for plan, want := range map[string]bool{"pro": true, "free": false} {
		counted := &counting{Map: eval.Map{"plan": plan}, lookups: map[string]int{}}
		if got := matches(t, environment(t, members, others, f), &eval.Context{Attributes: counted}); got != want {
			t.Errorf("plan %s: %v", plan, got)
		}
		if n := counted.lookups["plan"]; n != 1 {
			t.Errorf("plan %s: the segment was evaluated %d times", plan, n)
		}
	}
}
