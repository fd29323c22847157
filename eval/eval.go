// Package eval is the pure evaluation engine: flags and segments are compiled once,
// when they arrive, and evaluated without I/O, clock, lock, log or allocation.
//
// An [Environment] is an immutable set of compiled flags and segments; a change makes
// a new one that shares what did not change. It may be used by any number of
// goroutines.
//
// What a flag means is defined by the comments of tidegate/flag/v1/flag.proto.
package eval

import (
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Evaluate answers one flag for one context; nil is the empty context. It never panics
// and never fails: errors are part of the result.
func (e *Environment) Evaluate(key string, ctx *Context) (r Result) {
	if f := e.Flag(key); f != nil {
		e.evaluate(&r, f, ctx)
		return r
	}
	return NotFound(key)
}

// NotFound is the answer for a key that no flag has.
func NotFound(key string) Result {
	return Result{Reason: ReasonError, ErrorCode: FlagNotFound, subject: key}
}

// EvaluateFlag is Evaluate for a flag in hand, of this environment.
func (e *Environment) EvaluateFlag(f *Flag, ctx *Context) (r Result) {
	if f != nil {
		e.evaluate(&r, f, ctx)
		return r
	}
	r.Reason, r.ErrorCode = ReasonError, FlagNotFound
	return r
}

// evaluate writes the result where the caller wants it: copying it costs as much as a
// simple evaluation.
func (e *Environment) evaluate(r *Result, f *Flag, ctx *Context) {
	if ctx == nil {
		ctx = &Context{}
	}
	if e == nil {
		e = &Environment{}
	}
	d := e.decide(f, ctx, nil)
	explained := &explanations[d.ground.kind()]
	r.Flag, r.Variant, r.Reason, r.ErrorCode = f, d.variant, explained.reason, explained.code
	outcome := defaultOutcome
	if d.rule != nil {
		r.Rule, outcome = d.rule.id, d.rule.number
	}
	if d.ground.kind() == groundSplit {
		r.outcome, r.hash = outcome, d.ground.hash()
	}
	if d.subject != nil {
		r.subject = *d.subject
	}
}

// decision is what an evaluation came to, small enough to be kept in registers. A Result
// is made of it once, at the end.
type decision struct {
	variant *Variant // nil: none
	rule    *rule    // that decided, if one did
	subject *string  // see Result.subject; nil: none
	ground  ground
}

// ground is why a decision was taken; of groundSplit with the bucketing hash, in the upper
// half: a decision has four words, as many as the compiler keeps in registers.
type ground uint64

func (g ground) kind() ground { return g & 0xff }

func (g ground) hash() uint32 { return uint32(g >> 32) }

const (
	groundStatic ground = iota
	groundDefault
	groundMatch
	groundSplit
	groundDisabled
	groundNoTargetingKey
	groundNoAttribute
	groundFailed    // an expression did
	groundNoVariant // the result of an expression names none
)

// explanations say in OpenFeature's terms what each ground means.
var explanations = [...]struct {
	reason Reason
	code   ErrorCode
}{
	groundStatic:         {reason: ReasonStatic},
	groundDefault:        {reason: ReasonDefault},
	groundMatch:          {reason: ReasonTargetingMatch},
	groundSplit:          {reason: ReasonSplit},
	groundDisabled:       {reason: ReasonDisabled},
	groundNoTargetingKey: {ReasonError, TargetingKeyMissing},
	groundNoAttribute:    {ReasonError, InvalidContext},
	groundFailed:         {ReasonError, ParseError},
	groundNoVariant:      {ReasonError, General},
}

// decide follows the order that flag.proto gives. c is nil for the flag that was asked
// for.
func (e *Environment) decide(f *Flag, ctx *Context, c *chain) decision {
	if !f.enabled {
		return decision{variant: f.off, ground: groundDisabled}
	}
	if len(f.prerequisites) > 0 {
		if p := e.unmet(f, ctx, c); p != nil {
			return decision{variant: f.off, ground: groundDefault, subject: &p.flag.key}
		}
	}
	if len(f.rules) > 0 {
		if d := e.decideByRules(f, ctx); d.rule != nil {
			return d
		}
	}
	return f.fallthru.decide(nil, f.fallthruGround, ctx)
}

// decideByRules follows the first rule that matches; without one, there is no rule in
// the decision.
func (e *Environment) decideByRules(f *Flag, ctx *Context) decision {
	var l lookups
	for i := range f.rules {
		r := &f.rules[i]
		if r.expressions != nil {
			if d := e.decideByExpressions(f, r, ctx, &l); d.rule != nil {
				return d
			}
		} else if e.matchAll(r.clauses, ctx, &l) {
			return r.outcome.decide(r, groundMatch, ctx)
		}
	}
	return decision{}
}

// outcome is a variant, a split, or (both nil) nothing.
type outcome struct {
	variant *Variant
	split   *split
}

// decide serves the outcome; the ground is that of a plain variant.
func (o *outcome) decide(r *rule, g ground, ctx *Context) decision {
	if o.split == nil {
		return decision{variant: o.variant, rule: r, ground: g}
	}
	if v, hash := o.split.choose(ctx); v != nil {
		return decision{variant: v, rule: r, ground: groundSplit | ground(hash)<<32}
	}
	g = groundNoAttribute
	if o.split.bucketBy.isTargetingKey() {
		g = groundNoTargetingKey
	}
	return decision{rule: r, subject: &o.split.bucketBy.full, ground: g}
}

// rule is a compiled rule.
type rule struct {
	clauses []clause
	outcome outcome
	id      string
	number  OutcomeNumber

	expressions *expressions // nil: none
}

// Flag is a compiled flag.
type Flag struct {
	enabled        bool
	prerequisites  []prerequisite
	rules          []rule
	off            *Variant // nil: the caller's default
	fallthru       outcome
	fallthruGround ground // if it serves no split

	key       reference
	revision  int64
	valueType flagv1.ValueType
	metadata  *structpb.Struct
	encoded   string // metadata
	variants  []Variant
	segments  []reference // that clauses refer to, each once
	readsTime bool        // itself, not through others
	client    bool        // visible to clients

	attachment attachment
}

// Key returns the flag's key.
func (f *Flag) Key() string { return f.key.key }

// Enabled tells whether the flag is switched on.
func (f *Flag) Enabled() bool { return f.enabled }

// Revision returns the revision at which the flag was written.
func (f *Flag) Revision() int64 { return f.revision }

// Type returns the type of the flag's variants.
func (f *Flag) Type() flagv1.ValueType { return f.valueType }

// ClientVisible tells whether clients may evaluate the flag.
func (f *Flag) ClientVisible() bool { return f.client }

// Metadata returns the flag's metadata, or nil. It is shared and must not be modified.
func (f *Flag) Metadata() *structpb.Struct { return f.metadata }

// EncodedMetadata returns the metadata, encoded; empty if there are none.
func (f *Flag) EncodedMetadata() string { return f.encoded }

// Variant returns the variant of that name, or nil.
func (f *Flag) Variant(name string) *Variant {
	for i := range f.variants {
		if f.variants[i].Name == name {
			return &f.variants[i]
		}
	}
	return nil
}
