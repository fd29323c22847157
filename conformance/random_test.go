//go:build conformance

package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// generator makes random flags, segments and contexts that meet: both draw attributes and
// values from the same small pools.
//
// Expressions stay inside what all implementations of JsonLogic agree on; README.md lists
// where they do not.
type generator struct {
	*rand.Rand
	segments []*flagv1.Segment
	flags    []*flagv1.Flag
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 0))}
}

// The attributes, by the type of their values; any may be absent.
var (
	textAttributes   = []string{"email", "country", "plan", "device.os"}
	numberAttributes = []string{"age", "seats", "score"}
	versions         = []string{"1.0.0", "1.2.3", "1.2.4-rc.1", "2.0.0", "2.1.0", "2.1.5", "3.0.0-beta", "10.0.1"}
	texts            = map[string][]string{
		"email":     {"ann@example.com", "bob@example.com", "eve@elsewhere.org", "zoe@example.de", "x"},
		"country":   {"DE", "FR", "US", "JP", "Österreich"},
		"plan":      {"free", "pro", "enterprise", "pro-trial"},
		"device.os": {"linux", "darwin", "windows", "android"},
	}
	tags = []string{"red", "green", "blue", "black"}
)

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

// several picks some of a list, at least one, in its order.
func several[T any](g *generator, from []T) []T {
	var chosen []T
	for _, v := range from {
		if g.chance(40) {
			chosen = append(chosen, v)
		}
	}
	if chosen == nil {
		chosen = []T{pick(g, from...)}
	}
	return chosen
}

func (g *generator) key() string { return fmt.Sprintf("user-%d", g.IntN(200)) }

// number is whole, or a half: what every language writes alike.
func (g *generator) number() float64 { return float64(g.IntN(80)-10) / pick(g, 1.0, 1.0, 2.0) }

// context makes the context of one evaluation.
func (g *generator) context() map[string]any {
	c := map[string]any{}
	if g.chance(92) {
		c["targetingKey"] = g.key()
	}
	device := map[string]any{}
	for _, name := range textAttributes {
		if g.chance(75) {
			v := pick(g, texts[name]...)
			if name == "device.os" {
				device["os"] = v
				continue
			}
			c[name] = v
		}
	}
	if len(device) > 0 || g.chance(50) {
		c["device"] = device
	}
	for _, name := range numberAttributes {
		if g.chance(75) {
			c[name] = g.number()
		}
	}
	if g.chance(75) {
		c["version"] = pick(g, versions...)
	}
	if g.chance(75) {
		c["beta"] = g.chance(50)
	}
	if g.chance(75) {
		list := []any{}
		for _, tag := range tags {
			if g.chance(40) {
				list = append(list, tag)
			}
		}
		c["tags"] = list
	}
	if g.chance(75) {
		c["account"] = float64(g.IntN(100_000))
	}
	return c
}

// environment makes n flags and the segments that they name.
func (g *generator) environment(n int) {
	for i := range 12 {
		s := &flagv1.Segment{Key: fmt.Sprintf("segment-%d", i)}
		for range g.IntN(60) {
			s.Included = append(s.Included, g.key())
		}
		for range g.IntN(30) {
			s.Excluded = append(s.Excluded, g.key())
		}
		if g.chance(20) {
			s.Included, s.Excluded = several(g, texts["email"]), several(g, texts["email"])
			s.KeyAttribute = "email"
		}
		s.Included, s.Excluded = unique(s.Included), unique(s.Excluded)
		for range g.IntN(3) {
			s.Rules = append(s.Rules, &flagv1.SegmentRule{Clauses: g.clauses(1+g.IntN(2), false)})
		}
		g.segments = append(g.segments, s)
	}
	for i := range n {
		g.flags = append(g.flags, g.flag(fmt.Sprintf("flag-%d", i)))
	}
}

func unique(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func (g *generator) flag(key string) *flagv1.Flag {
	f := &flagv1.Flag{Key: key, Enabled: g.chance(92)}
	f.Type = pick(g, flagv1.ValueType_VALUE_TYPE_BOOLEAN, flagv1.ValueType_VALUE_TYPE_STRING,
		flagv1.ValueType_VALUE_TYPE_INTEGER, flagv1.ValueType_VALUE_TYPE_DOUBLE, flagv1.ValueType_VALUE_TYPE_OBJECT)
	names := []string{"a", "b", "c", "d"}
	if f.Type == flagv1.ValueType_VALUE_TYPE_BOOLEAN {
		names = []string{"true", "false"}
	}
	for i, name := range names {
		f.Variants = append(f.Variants, &flagv1.Variant{Name: name, Value: variantValue(f.Type, i)})
	}
	if g.chance(75) {
		f.OffVariant = pick(g, names...)
	}
	if len(g.flags) > 0 && g.chance(15) {
		needed := pick(g, g.flags...)
		if writable(needed) {
			p := &flagv1.Prerequisite{FlagKey: needed.GetKey()}
			for _, v := range several(g, needed.GetVariants()) {
				p.Variants = append(p.Variants, v.GetName())
			}
			f.Prerequisites = []*flagv1.Prerequisite{p}
		}
	}
	for i := range g.IntN(4) {
		f.Rules = append(f.Rules, g.rule(fmt.Sprintf("rule-%d", i), names))
	}
	if g.chance(90) {
		f.DefaultOutcome = g.nativeOutcome(names)
	}
	return f
}

// writable tells whether a flag can be a prerequisite in flagd's form, where its decision
// is written into the other flag: without expressions, and without a split that hashes the
// key of its own flag, which no other flag can name in bucketing version 3. A chain of
// them would become long.
func writable(f *flagv1.Flag) bool {
	ownKey := func(o *flagv1.Outcome) bool {
		s := o.GetSplit()
		return s != nil && s.Salt == nil && s.GetBucketBy() == ""
	}
	return len(f.GetPrerequisites()) == 0 && !ownKey(f.GetDefaultOutcome()) &&
		!slices.ContainsFunc(f.GetRules(), func(r *flagv1.Rule) bool {
			return r.GetExpression() != nil || r.GetOutcome().GetExpression() != nil || ownKey(r.GetOutcome())
		})
}

func variantValue(t flagv1.ValueType, i int) *structpb.Value {
	switch t {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		return structpb.NewBoolValue(i == 0)
	case flagv1.ValueType_VALUE_TYPE_STRING:
		return structpb.NewStringValue(fmt.Sprintf("text %d", i))
	case flagv1.ValueType_VALUE_TYPE_INTEGER:
		return structpb.NewNumberValue(float64(i * 1000))
	case flagv1.ValueType_VALUE_TYPE_DOUBLE:
		return structpb.NewNumberValue(float64(i) + 0.5)
	default:
		return structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"n": structpb.NewNumberValue(float64(i))}})
	}
}

func (g *generator) rule(id string, names []string) *flagv1.Rule {
	r := &flagv1.Rule{Id: id}
	if g.chance(25) {
		r.Expression = value(g.condition(2))
	} else {
		r.Clauses = g.clauses(1+g.IntN(3), true)
	}
	if g.chance(35) {
		r.Outcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: value(g.outcome(names, 2))}}
	} else {
		r.Outcome = g.nativeOutcome(names)
	}
	return r
}

func (g *generator) nativeOutcome(names []string) *flagv1.Outcome {
	if g.chance(60) {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: pick(g, names...)}}
	}
	s := &flagv1.Split{}
	for _, name := range names {
		s.Variants = append(s.Variants, &flagv1.WeightedVariant{Variant: name, Weight: uint32(g.IntN(5))})
	}
	s.Variants[0].Weight++ // one weighs something
	s.BucketBy = pick(g, "", "", "", "email", "account", "device.os")
	if g.chance(30) {
		salt := pick(g, "shared", "summer sale", "")
		s.Salt = &salt
	}
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: s}}
}

func (g *generator) clauses(n int, inSegments bool) []*flagv1.Clause {
	var clauses []*flagv1.Clause
	for range n {
		c := g.clause(inSegments)
		c.Negate = g.chance(20)
		clauses = append(clauses, c)
	}
	return clauses
}

// clause leaves out regular expressions and dates, which flagd's form does not have.
func (g *generator) clause(inSegments bool) *flagv1.Clause {
	if inSegments && g.chance(25) {
		return clause("", flagv1.Operator_OPERATOR_IN_SEGMENT, pick(g, g.segments...).GetKey())
	}
	switch g.IntN(6) {
	case 0, 1:
		name := pick(g, textAttributes...)
		return clause(name, flagv1.Operator_OPERATOR_IN, anys(several(g, texts[name]))...)
	case 2:
		name := pick(g, textAttributes...)
		op := pick(g, flagv1.Operator_OPERATOR_CONTAINS, flagv1.Operator_OPERATOR_STARTS_WITH, flagv1.Operator_OPERATOR_ENDS_WITH)
		return clause(name, op, pick(g, "pro", "e", "@example.com", "D", "in"))
	case 3:
		op := pick(g, flagv1.Operator_OPERATOR_LESS_THAN, flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL,
			flagv1.Operator_OPERATOR_GREATER_THAN, flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL)
		return clause(pick(g, numberAttributes...), op, g.number())
	case 4:
		op := flagv1.Operator(int32(flagv1.Operator_OPERATOR_SEMVER_EQUALS) + g.Int32N(7))
		return clause("version", op, pick(g, versions...))
	default:
		switch g.IntN(4) {
		case 0:
			return clause(pick(g, append(textAttributes, "beta", "tags", "device")...), flagv1.Operator_OPERATOR_EXISTS)
		case 1:
			return clause("beta", flagv1.Operator_OPERATOR_IN, g.chance(50))
		case 2:
			return clause("tags", flagv1.Operator_OPERATOR_IN, anys(several(g, tags))...)
		default:
			return clause("targetingKey", flagv1.Operator_OPERATOR_IN, g.key(), g.key(), g.key())
		}
	}
}

func clause(attribute string, op flagv1.Operator, values ...any) *flagv1.Clause {
	c := &flagv1.Clause{Attribute: attribute, Operator: op}
	for _, v := range values {
		c.Values = append(c.Values, value(v))
	}
	return c
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

// value makes a protobuf Value of a JSON one.
func value(v any) *structpb.Value {
	pb, err := structpb.NewValue(v)
	if err != nil {
		panic(err) // the generator makes JSON values only
	}
	return pb
}
