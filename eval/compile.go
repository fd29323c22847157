package eval

import (
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Limits of one definition, beside those that flag.proto gives.
const (
	maxFlagSize    = 256 << 10
	maxSegmentSize = 512 << 10
	maxKeyLength   = 128
	maxVariants    = 256
	maxRules       = 1000 // of a flag or a segment
	maxClauses     = 64   // of a rule
	maxSegments    = 64   // that a flag refers to; each has a bit in lookups
	maxAttribute   = 256  // bytes of an attribute's path
)

// Compile validates a flag by itself and brings it into executable form. The error, if
// any, is an [Errors] that names every wrong field. What concerns other flags and
// segments is checked by [Environment.Check].
//
// revision is the revision at which the flag was written; it is returned with results.
// The compiled flag keeps parts of f, which must not be modified afterwards.
func Compile(f *flagv1.Flag, revision int64) (*Flag, error) {
	c := &compiler{attributes: map[string]*attribute{}, flagKey: f.GetKey()}
	if f == nil {
		c.add(nil, "the flag is missing")
		return nil, c.err()
	}
	c.checkSize(f, maxFlagSize)
	c.checkKey(root.field("key"), f.GetKey())
	c.checkText(root.field("description"), f.GetDescription())
	c.checkText(root.field("owner"), f.GetOwner())
	for i, tag := range f.GetTags() {
		c.checkText(root.item("tags", i), tag)
	}
	c.checkMetadata(f.GetMetadata())

	flag := &Flag{
		enabled: f.GetEnabled(), revision: revision, key: newReference(f.GetKey()),
		valueType: f.GetType(), metadata: f.GetMetadata(), readsTime: flagReadsTime(f), client: f.GetClientVisible(),
	}
	c.bucketing = c.compileBucketing(root.field("bucketing_version"), f.GetBucketingVersion(), flagv1.BucketingVersion_BUCKETING_VERSION_2)
	flag.variants = c.compileVariants(f)
	if name := f.GetOffVariant(); name != "" {
		flag.off = c.variant(root.field("off_variant"), name)
	}
	flag.prerequisites = c.compilePrerequisites(f)
	flag.rules = c.compileRules(f)
	flag.fallthruGround = groundDefault
	if o := f.GetDefaultOutcome(); o != nil {
		flag.fallthru = c.compileOutcome(root.field("default_outcome"), o)
		if len(f.GetRules()) == 0 && len(f.GetPrerequisites()) == 0 {
			flag.fallthruGround = groundStatic
		}
	}
	flag.segments = c.segments
	if c.count == 0 { // only then are they what can be encoded
		flag.encoded = c.encode(root.field("metadata"), f.GetMetadata())
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return flag, nil
}

// CompileSegment is [Compile] for a segment.
func CompileSegment(s *flagv1.Segment, revision int64) (*Segment, error) {
	c := &compiler{attributes: map[string]*attribute{}, inSegment: true}
	if s == nil {
		c.add(nil, "the segment is missing")
		return nil, c.err()
	}
	c.checkSize(s, maxSegmentSize)
	c.checkKey(root.field("key"), s.GetKey())
	c.checkText(root.field("description"), s.GetDescription())
	c.checkText(root.field("owner"), s.GetOwner())
	segment := &Segment{
		keyAttribute: c.optionalAttribute(root.field("key_attribute"), s.GetKeyAttribute()),
		included:     c.compileKeys("included", s.GetIncluded()),
		excluded:     c.compileKeys("excluded", s.GetExcluded()),
		revision:     revision, key: newReference(s.GetKey()), readsTime: segmentReadsTime(s),
	}
	segment.rules = c.compileSegmentRules(s)
	if err := c.err(); err != nil {
		return nil, err
	}
	return segment, nil
}

// root is the path of a definition itself.
var root *path

// compiler holds what the parts of one compilation share.
type compiler struct {
	problems
	variants    map[string]*Variant
	attributes  map[string]*attribute // each once
	segments    []reference           // each once
	slots       int                   // given to attributes so far
	patternCost int                   // of all patterns so far
	inSegment   bool
	flagKey     string                  // of the flag
	bucketing   flagv1.BucketingVersion // of the flag
}

func (c *compiler) checkSize(m proto.Message, limit int) {
	if size := proto.Size(m); size > limit {
		c.add(nil, "takes %d bytes encoded; at most %d are allowed", size, limit)
	}
}

// checkKey checks keys of flags and segments, and ids of rules.
func (c *compiler) checkKey(at *path, key string) {
	switch {
	case key == "":
		c.add(at, "is empty; "+keyRule)
	case !validKey(key):
		c.add(at, "%s is not valid; "+keyRule, quote(key))
	}
}

const keyRule = "use 1 to 128 letters, digits, '.', '_' or '-', the first a letter or a digit"

func validKey(key string) bool {
	if key == "" || len(key) > maxKeyLength {
		return false
	}
	for i := range len(key) {
		switch b := key[i]; {
		case isDigit(b), 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z':
		case i > 0 && (b == '.' || b == '_' || b == '-'):
		default:
			return false
		}
	}
	return true
}

func (c *compiler) checkText(at *path, s string) {
	if !utf8.ValidString(s) {
		c.add(at, "%s is not valid UTF-8", quote(s))
	}
}

func (c *compiler) compilePrerequisites(f *flagv1.Flag) []prerequisite {
	if n := len(f.GetPrerequisites()); n > maxDependencies {
		c.add(root.field("prerequisites"), "there are %d; at most %d are allowed", n, maxDependencies)
		return nil
	}
	prerequisites := make([]prerequisite, len(f.GetPrerequisites()))
	for i, p := range f.GetPrerequisites() {
		at := root.item("prerequisites", i)
		key := newReference(p.GetFlagKey())
		c.checkKey(at.field("flag_key"), key.key)
		if key.key != "" && key.key == f.GetKey() {
			c.add(at.field("flag_key"), "the flag cannot be its own prerequisite; name another flag")
		}
		for j := range i {
			if prerequisites[j].flag == key {
				c.add(at.field("flag_key"), "%s is listed twice; list each flag once", quote(key.key))
				break
			}
		}
		if len(p.GetVariants()) == 0 {
			c.add(at.field("variants"), "is empty; name at least one variant that must be served")
		}
		c.checkNames(at, "variants", p.GetVariants())
		prerequisites[i] = prerequisite{flag: key, variants: p.GetVariants()}
	}
	return prerequisites
}

// checkNames checks names of variants that are another flag's.
func (c *compiler) checkNames(at *path, field string, names []string) {
	if n := len(names); n > maxVariants {
		c.add(at.field(field), "there are %d; at most %d are allowed", n, maxVariants)
		return
	}
	seen := make(map[string]struct{}, len(names))
	for i, name := range names {
		c.checkName(at.item(field, i), name)
		if _, ok := seen[name]; ok {
			c.add(at.item(field, i), "%s is listed twice; list each variant once", quote(name))
		}
		seen[name] = struct{}{}
	}
}

func (c *compiler) compileRules(f *flagv1.Flag) []rule {
	if n := len(f.GetRules()); n > maxRules {
		c.add(root.field("rules"), "there are %d; at most %d are allowed", n, maxRules)
		return nil
	}
	rules := make([]rule, len(f.GetRules()))
	ids := make(map[string]struct{}, len(rules))
	for i, r := range f.GetRules() {
		at := root.item("rules", i)
		c.checkKey(at.field("id"), r.GetId())
		if _, ok := ids[r.GetId()]; ok && r.GetId() != "" {
			c.add(at.field("id"), "%s is the id of another rule too; ids are unique in a flag", quote(r.GetId()))
		}
		ids[r.GetId()] = struct{}{}
		c.checkText(at.field("description"), r.GetDescription())
		rules[i] = rule{id: r.GetId(), number: defaultOutcome + 1 + OutcomeNumber(i), clauses: c.compileClauses(at, r.GetClauses())}
		c.compileRule(at, r, &rules[i])
	}
	return rules
}

// compileRule compiles the expressions of a rule, or its plain outcome.
func (c *compiler) compileRule(at *path, def *flagv1.Rule, r *rule) {
	var e expressions
	if def.GetExpression() != nil {
		if len(def.GetClauses()) > 0 {
			c.add(at.field("expression"), "is given beside clauses; a rule has one or the other")
		}
		e.condition = c.compileExpression(at.field("expression"), def.GetExpression())
	}
	at = at.field("outcome")
	if o, ok := def.GetOutcome().GetKind().(*flagv1.Outcome_Expression); ok {
		e.outcome = c.compileExpression(at.field("expression"), o.Expression)
	} else {
		r.outcome = c.compileOutcome(at, def.GetOutcome())
	}
	if e.condition != nil || e.outcome != nil {
		r.expressions = &e
	}
}

// compileOutcome compiles an outcome that is no expression.
func (c *compiler) compileOutcome(at *path, o *flagv1.Outcome) outcome {
	switch k := o.GetKind().(type) {
	case *flagv1.Outcome_Variant:
		return outcome{variant: c.variant(at.field("variant"), k.Variant)}
	case *flagv1.Outcome_Split:
		return outcome{split: c.compileSplit(at.field("split"), k.Split)}
	case *flagv1.Outcome_Expression:
		c.add(at.field("expression"), "is given for the default outcome; only a rule's outcome may be an expression")
		return outcome{}
	}
	if o == nil {
		c.add(at, "is missing; name a variant or a split")
	} else {
		c.add(at, "is empty; name a variant or a split")
	}
	return outcome{}
}

func (c *compiler) compileKeys(field string, keys []string) keySet {
	for i, key := range keys {
		if key == "" {
			c.add(root.item(field, i), "is empty; an empty key belongs to nobody")
		}
		c.checkText(root.item(field, i), key)
	}
	return newKeySet(keys)
}

func (c *compiler) compileSegmentRules(s *flagv1.Segment) [][]clause {
	if n := len(s.GetRules()); n > maxRules {
		c.add(root.field("rules"), "there are %d; at most %d are allowed", n, maxRules)
		return nil
	}
	rules := make([][]clause, len(s.GetRules()))
	for i, r := range s.GetRules() {
		at := root.item("rules", i)
		if len(r.GetClauses()) == 0 {
			c.add(at.field("clauses"), "is empty; a segment's rule needs at least one clause")
		}
		rules[i] = c.compileClauses(at, r.GetClauses())
	}
	return rules
}

// optionalAttribute compiles a path that may be empty for the targeting key.
func (c *compiler) optionalAttribute(at *path, full string) *attribute {
	if full == "" {
		full = targetingKey
	}
	return c.attribute(at, full)
}

// attribute compiles the path of an attribute.
func (c *compiler) attribute(at *path, full string) *attribute {
	if !c.checkAttribute(at, full) {
		return newAttribute(full, c.flagKey)
	}
	a := c.attributes[full]
	if a == nil {
		a = newAttribute(full, c.flagKey)
		c.attributes[full] = a
		return a
	}
	c.giveSlot(a)
	return a
}

// giveSlot keeps the value of an attribute that is tested more than once.
func (c *compiler) giveSlot(a *attribute) {
	if a.slot < 0 && c.slots < maxSlots {
		a.slot = c.slots
		c.slots++
	}
}

func (c *compiler) checkAttribute(at *path, full string) bool {
	before := c.count
	first, _, _ := strings.Cut(full, ".")
	switch {
	case full == "":
		c.add(at, "is empty; name an attribute, such as 'country', 'device.os' or 'targetingKey'")
	case len(full) > maxAttribute:
		c.add(at, "%s takes %d bytes; at most %d are allowed", quote(full), len(full), maxAttribute)
	case slices.Contains(strings.Split(full, "."), ""):
		c.add(at, "%s has an empty element; a path looks like 'device.os'", quote(full))
	case strings.HasPrefix(full, targetingKey+"."):
		c.add(at, "%s leads into the targeting key, which is a string; use 'targetingKey'", quote(full))
	case full == environmental[0].name && c.inSegment:
		c.add(at, "%s is not known to a segment, which does not depend on the flag that refers to it; use it in the flag's clauses", quote(full))
	case reserved(first) && !isEnvironmental(full):
		c.add(at, "%s is reserved and stands for nothing; there are %s", quote(full), environmentalNames())
	case !utf8.ValidString(full):
		c.checkText(at, full)
	}
	return c.count == before
}
