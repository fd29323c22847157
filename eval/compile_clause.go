package eval

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func (c *compiler) compileClauses(at *path, defs []*flagv1.Clause) []clause {
	if n := len(defs); n > maxClauses {
		c.add(at.field("clauses"), "there are %d; at most %d are allowed", n, maxClauses)
		return nil
	}
	clauses := make([]clause, len(defs))
	for i, def := range defs {
		clauses[i] = c.compileClause(at.item("clauses", i), def)
	}
	return clauses
}

// compileClause hands each operator its operands.
func (c *compiler) compileClause(at *path, def *flagv1.Clause) clause {
	compiled := clause{operator: def.GetOperator(), negate: def.GetNegate()}
	values := def.GetValues()
	switch operator := def.GetOperator(); operator {
	case flagv1.Operator_OPERATOR_IN_SEGMENT:
		c.compileInSegment(at, def, &compiled)
		return compiled
	case flagv1.Operator_OPERATOR_EXISTS:
		if len(values) > 0 {
			c.add(at.field("values"), "there are %d; EXISTS takes none", len(values))
		}
	case flagv1.Operator_OPERATOR_IN:
		c.atLeastOne(at, values)
		c.compileIn(at, values, &compiled)
	case flagv1.Operator_OPERATOR_CONTAINS, flagv1.Operator_OPERATOR_STARTS_WITH, flagv1.Operator_OPERATOR_ENDS_WITH:
		c.atLeastOne(at, values)
		compiled.strings = c.compileStrings(at, values)
	case flagv1.Operator_OPERATOR_MATCHES:
		c.atLeastOne(at, values)
		compiled.operands = &operands{patterns: c.compilePatterns(at, values)}
	case flagv1.Operator_OPERATOR_LESS_THAN, flagv1.Operator_OPERATOR_LESS_THAN_OR_EQUAL,
		flagv1.Operator_OPERATOR_GREATER_THAN, flagv1.Operator_OPERATOR_GREATER_THAN_OR_EQUAL:
		c.exactlyOne(at, operator, values)
		compiled.operands = &operands{numbers: c.compileNumbers(at, values)}
	case flagv1.Operator_OPERATOR_BEFORE, flagv1.Operator_OPERATOR_AFTER:
		c.exactlyOne(at, operator, values)
		compiled.operands = &operands{instant: c.compileInstants(at, values)}
	case flagv1.Operator_OPERATOR_SEMVER_EQUALS:
		c.atLeastOne(at, values)
		compiled.operands = &operands{versions: c.compileVersions(at, values)}
	case flagv1.Operator_OPERATOR_SEMVER_LESS_THAN, flagv1.Operator_OPERATOR_SEMVER_LESS_THAN_OR_EQUAL,
		flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN, flagv1.Operator_OPERATOR_SEMVER_GREATER_THAN_OR_EQUAL,
		flagv1.Operator_OPERATOR_SEMVER_SAME_MAJOR, flagv1.Operator_OPERATOR_SEMVER_SAME_MINOR:
		c.exactlyOne(at, operator, values)
		compiled.operands = &operands{versions: c.compileVersions(at, values)}
	case flagv1.Operator_OPERATOR_UNSPECIFIED:
		c.add(at.field("operator"), "is missing; name an operator, such as IN")
	default:
		c.add(at.field("operator"), "%d is not an operator that is known here", operator)
	}
	compiled.attribute = c.attribute(at.field("attribute"), def.GetAttribute())
	return compiled
}

// operatorName is the operator's short name, such as LESS_THAN.
func operatorName(o flagv1.Operator) string { return strings.TrimPrefix(o.String(), "OPERATOR_") }

func (c *compiler) atLeastOne(at *path, values []*structpb.Value) {
	if len(values) == 0 {
		c.add(at.field("values"), "is empty; give at least one value")
	}
}

func (c *compiler) exactlyOne(at *path, o flagv1.Operator, values []*structpb.Value) {
	if len(values) != 1 {
		c.add(at.field("values"), "there are %d; %s takes exactly one", len(values), operatorName(o))
	}
}

func (c *compiler) compileInSegment(at *path, def *flagv1.Clause, compiled *clause) {
	if c.inSegment {
		c.add(at.field("operator"), "a segment's clauses cannot use IN_SEGMENT; name both segments in the flag's clause")
		return
	}
	if def.GetAttribute() != "" {
		c.add(at.field("attribute"), "%s is not used by IN_SEGMENT; leave it empty", quote(def.GetAttribute()))
	}
	c.atLeastOne(at, def.GetValues())
	if n := len(def.GetValues()); n > maxSegments {
		c.add(at.field("values"), "there are %d; at most %d segments are allowed", n, maxSegments)
		return
	}
	compiled.operands = &operands{}
	for i, v := range def.GetValues() {
		key, ok := c.stringValue(at.item("values", i), v, "the key of a segment")
		if !ok {
			continue
		}
		c.checkKey(at.item("values", i), key)
		a := c.audience(at.item("values", i), key)
		if slices.Contains(compiled.operands.segments, a) {
			c.add(at.item("values", i), "%s is listed twice; list each segment once", quote(key))
		}
		compiled.operands.segments = append(compiled.operands.segments, a)
	}
}

// audience gives each segment of a flag a bit.
func (c *compiler) audience(at *path, key string) audience {
	segment := newReference(key)
	i := slices.Index(c.segments, segment)
	if i < 0 {
		i = len(c.segments)
		if i == maxSegments {
			c.add(at, "%s is one segment too many; a flag may refer to at most %d", quote(key), maxSegments)
			return audience{}
		}
		c.segments = append(c.segments, segment)
	}
	return audience{segment: segment, bit: 1 << i}
}

// stringValue returns a clause's value that must be a string.
func (c *compiler) stringValue(at *path, v *structpb.Value, what string) (string, bool) {
	s, ok := v.GetKind().(*structpb.Value_StringValue)
	if !ok {
		c.add(at, "is %s; it must be %s", kindName(v), what)
		return "", false
	}
	c.checkText(at, s.StringValue)
	return s.StringValue, true
}

func kindName(v *structpb.Value) string {
	switch v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return "a string"
	case *structpb.Value_NumberValue:
		return "a number"
	case *structpb.Value_BoolValue:
		return "a boolean"
	case *structpb.Value_ListValue:
		return "a list"
	case *structpb.Value_StructValue:
		return "an object"
	case *structpb.Value_NullValue:
		return "null"
	}
	return "missing"
}

func (c *compiler) compileIn(at *path, values []*structpb.Value, compiled *clause) {
	var others operands
	for i, v := range values {
		switch k := v.GetKind().(type) {
		case *structpb.Value_StringValue:
			c.checkText(at.item("values", i), k.StringValue)
			compiled.strings = append(compiled.strings, k.StringValue)
		case *structpb.Value_NumberValue:
			c.checkFinite(at.item("values", i), k.NumberValue)
			others.numbers = append(others.numbers, k.NumberValue)
		case *structpb.Value_BoolValue:
			others.bools = append(others.bools, k.BoolValue)
		default:
			c.add(at.item("values", i), "is %s; IN takes strings, numbers and booleans", kindName(v))
		}
	}
	if len(compiled.strings) > linearLimit {
		compiled.set = setOf(compiled.strings)
		compiled.strings = nil
	}
	if len(others.numbers) > linearLimit {
		others.numberSet = setOf(others.numbers)
		others.numbers = nil
	}
	if others.numbers != nil || others.numberSet != nil || others.bools != nil {
		compiled.operands = &others
	}
}

func setOf[T comparable](values []T) map[T]struct{} {
	set := make(map[T]struct{}, len(values))
	for _, v := range values {
		set[v] = struct{}{}
	}
	return set
}

func (c *compiler) compileStrings(at *path, values []*structpb.Value) []string {
	compiled := make([]string, 0, len(values))
	for i, v := range values {
		s, ok := c.stringValue(at.item("values", i), v, "a string")
		if ok && s == "" {
			c.add(at.item("values", i), "is empty, which every string matches; use EXISTS for that")
		}
		compiled = append(compiled, s)
	}
	return compiled
}

func (c *compiler) compileNumbers(at *path, values []*structpb.Value) []float64 {
	compiled := make([]float64, 0, len(values))
	for i, v := range values {
		n, ok := v.GetKind().(*structpb.Value_NumberValue)
		if !ok {
			c.add(at.item("values", i), "is %s; it must be a number", kindName(v))
			continue
		}
		c.checkFinite(at.item("values", i), n.NumberValue)
		compiled = append(compiled, n.NumberValue)
	}
	return compiled
}

// Numbers are dates of the years 1 to 9999, which catches milliseconds.
const (
	earliestSecond = -62135596800
	latestSecond   = 253402300799
)

// compileInstants returns the last of the values, of which there should be one.
func (c *compiler) compileInstants(at *path, values []*structpb.Value) (t instant) {
	for i, v := range values {
		at := at.item("values", i)
		var ok bool
		switch k := v.GetKind().(type) {
		case *structpb.Value_StringValue:
			if t, ok = parseInstant(k.StringValue); !ok {
				c.add(at, "%s is not an RFC 3339 date, such as 2026-01-31T08:00:00Z", quote(k.StringValue))
			}
		case *structpb.Value_NumberValue:
			if t, ok = instantOfSeconds(k.NumberValue); !ok || t.sec < earliestSecond || t.sec > latestSecond {
				c.add(at, "%v is no date of the years 1 to 9999; give seconds (not milliseconds) since 1970 UTC", k.NumberValue)
			}
		default:
			c.add(at, "is %s; it must be an RFC 3339 date or a number of seconds since 1970 UTC", kindName(v))
		}
	}
	return t
}

func (c *compiler) compileVersions(at *path, values []*structpb.Value) []version {
	compiled := make([]version, 0, len(values))
	for i, def := range values {
		s, ok := c.stringValue(at.item("values", i), def, "a semantic version, such as \"1.4.0\"")
		if !ok {
			continue
		}
		v, ok := parseVersion(s)
		if !ok {
			c.add(at.item("values", i), "%s is not a semantic version, such as 1.4.0 or v2.0.0-rc.1", quote(s))
		}
		compiled = append(compiled, v)
	}
	return compiled
}

// A pattern's cost is the size of its program: a match takes at most that many steps for
// each byte of the attribute. Its sum over one flag or segment bounds what an evaluation
// takes, and what the patterns take in memory.
const (
	maxPatternLength = 1024
	maxPatternCost   = 5_000
	maxPatternsCost  = 10_000
)

func (c *compiler) compilePatterns(at *path, values []*structpb.Value) []*regexp.Regexp {
	compiled := make([]*regexp.Regexp, 0, len(values))
	for i, v := range values {
		pattern, ok := c.stringValue(at.item("values", i), v, "a regular expression")
		if !ok {
			continue
		}
		if p := c.compilePattern(at.item("values", i), pattern); p != nil {
			compiled = append(compiled, p)
		}
	}
	return compiled
}

func (c *compiler) compilePattern(at *path, pattern string) *regexp.Regexp {
	if len(pattern) > maxPatternLength {
		c.add(at, "%s takes %d bytes; at most %d are allowed", quote(pattern), len(pattern), maxPatternLength)
		return nil
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		c.add(at, "%s is not a regular expression (RE2 syntax): %s", quote(pattern), strings.ToValidUTF8(err.Error(), "?"))
		return nil
	}
	cost := patternCost(parsed)
	c.patternCost += cost
	switch {
	case cost > maxPatternCost:
		c.add(at, "%s is too costly; shorten it, or repeat less", quote(pattern))
		return nil
	case c.patternCost > maxPatternsCost:
		c.add(at, "the regular expressions before and this are too costly together; use fewer")
		return nil
	}
	p, err := regexp.Compile(pattern)
	if err != nil { // not reached: it was parsed above
		c.add(at, "%s is not a regular expression (RE2 syntax)", quote(pattern))
	}
	return p
}

func patternCost(re *syntax.Regexp) int {
	steps, ranges := programSize(re)
	return steps + ranges/10 // as large as a step
}

// programSize returns about how many instructions the program has, and how many ranges
// of characters in tables, which repetitions share.
func programSize(re *syntax.Regexp) (steps, ranges int) {
	steps = 1
	switch re.Op {
	case syntax.OpLiteral:
		steps = len(re.Rune)
	case syntax.OpCharClass:
		ranges = len(re.Rune) / 2
	}
	for _, sub := range re.Sub {
		s, r := programSize(sub)
		steps, ranges = steps+s, ranges+r
	}
	if re.Op == syntax.OpRepeat {
		times := re.Max
		if times < 0 { // no upper end: the last one is a loop
			times = re.Min + 1
		}
		steps *= max(1, times)
	}
	return steps, ranges
}
