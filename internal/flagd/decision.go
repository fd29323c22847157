package flagd

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Bounds of what one flag may become: a prerequisite's decision is written out where it
// is needed, and what it needs in turn.
const (
	maxTargeting     = 1 << 20 // bytes
	maxPrerequisites = 64
	maxChain         = 16     // each nests three deep, and readers have bounds
	maxVisits        = 10_000 // of prerequisites, those that write nothing too
)

// decision is what is known of a flag's decision before any context is.
type decision struct {
	// open: it depends on the context, and has been written. Otherwise nothing has.
	open bool
	// variant is what is always served; empty: nothing is.
	variant string
	byRule  bool // because a rule always matches
}

const beginIf = `{"if":[`

// decide writes what an enabled flag serves: an expression whose result is the name of
// a variant, or null for none. Unless complete, null stands for the flag's default
// variant too, if it has one.
func (w *writer) decide(f *flagv1.Flag, complete bool) decision {
	start := len(w.buf)
	w.raw(beginIf)
	for _, p := range f.GetPrerequisites() {
		unmet := func() verdict { return w.not(func() verdict { return w.met(p) }) }
		switch w.when(unmet) {
		case always:
			w.buf = w.buf[:start]
			return decision{variant: f.GetOffVariant()}
		case depends:
			w.variant(f.GetOffVariant())
		}
	}
	o := f.GetDefaultOutcome()
	// null after the rules leads to the default.
	passes := o == nil || o.GetSplit() == nil && !complete
	for i, r := range f.GetRules() {
		last := i == len(f.GetRules())-1
		if e := r.GetOutcome().GetExpression(); e != nil && (!last || !passes) {
			w.ruleBefore(r, e)
			continue
		}
		switch w.when(func() verdict { return w.condition(r) }) {
		case always:
			return w.otherwise(start, r.GetOutcome(), true)
		case depends:
			w.outcome(r.GetOutcome())
		}
	}
	if o.GetSplit() == nil && !complete && len(w.buf) > start+len(beginIf) {
		o = nil
	}
	return w.otherwise(start, o, false)
}

// when writes the next condition of an 'if', unless it is settled.
func (w *writer) when(condition func() verdict) verdict {
	before := len(w.buf)
	w.next()
	v := condition()
	if v != depends {
		w.buf = w.buf[:before]
		return v
	}
	w.raw(`,`)
	return v
}

// next writes the comma after an operand.
func (w *writer) next() {
	if w.buf[len(w.buf)-1] != '[' {
		w.raw(`,`)
	}
}

// ruleBefore writes a rule with an expression as its outcome that others follow: where
// the outcome is null, the rule does not match.
func (w *writer) ruleBefore(r *flagv1.Rule, e *structpb.Value) {
	v := w.when(func() verdict {
		return w.and(2, func(i int) verdict {
			if i == 0 {
				return w.condition(r)
			}
			w.raw(`{"!==":[`)
			w.expression(e)
			w.raw(`,null]}`)
			return depends
		})
	})
	if v == depends {
		w.expression(e)
	}
}

// condition writes when a rule matches.
func (w *writer) condition(r *flagv1.Rule) verdict {
	if e := r.GetExpression(); e != nil {
		w.expression(e)
		return depends
	}
	return w.clauses(r.GetClauses())
}

// otherwise ends the 'if' that begins at start with an outcome, nil for none. Without
// conditions before, it is the outcome alone.
func (w *writer) otherwise(start int, o *flagv1.Outcome, byRule bool) decision {
	conditions := len(w.buf) > start+len(beginIf)
	_, isVariant := o.GetKind().(*flagv1.Outcome_Variant)
	if !conditions && (o == nil || isVariant) {
		w.buf = w.buf[:start]
		return decision{variant: o.GetVariant(), byRule: byRule}
	}
	if !conditions {
		w.buf = w.buf[:start]
		w.outcome(o)
		return decision{open: true}
	}
	if o != nil {
		w.next()
		w.outcome(o)
	}
	w.raw(`]}`)
	return decision{open: true}
}

func (w *writer) outcome(o *flagv1.Outcome) {
	switch k := o.GetKind().(type) {
	case *flagv1.Outcome_Variant:
		w.variant(k.Variant)
	case *flagv1.Outcome_Split:
		w.split(k.Split)
	case *flagv1.Outcome_Expression:
		w.expression(k.Expression)
	default:
		w.omit("an outcome is of a kind that is not known here")
	}
}

// variant writes the name of a variant; empty: null.
func (w *writer) variant(name string) {
	if name == "" {
		w.raw(`null`)
		return
	}
	// flagd looks for the result as encoding/json writes it, without its quotes.
	if strings.ContainsAny(name, "\"\\<>&\u2028\u2029") {
		w.omit("the variant %q cannot be served by targeting: flagd does not find a name with quotes, backslashes, <, > or &", name)
	}
	w.string(name)
}

// met writes that a prerequisite holds.
func (w *writer) met(p *flagv1.Prerequisite) verdict {
	key := p.GetFlagKey()
	target := w.env.flags[key]
	w.dep.flag(key, target)
	w.visits++
	switch {
	case target == nil || !target.GetEnabled():
		return never
	case target == w.flag || slices.Contains(w.open, target):
		w.omit("its prerequisites form a cycle through %q", key)
	case len(w.dep.flags) > maxPrerequisites:
		w.omit("it depends on more than %d other flags", maxPrerequisites)
	case len(w.open) >= maxChain:
		w.omit("its prerequisites have prerequisites, more than %d deep", maxChain)
	case len(w.buf) > maxTargeting || w.visits > maxVisits:
		w.omit(tooLarge)
	case hasExpression(target):
		// It may fail, which is not this flag's failure.
		w.omit("its prerequisite %q has an expression, which cannot be written into another flag", key)
	}
	if w.reason != "" {
		return never
	}
	start := len(w.buf)
	if len(p.GetVariants()) == 1 {
		w.raw(`{"===":[`)
	} else {
		w.raw(`{"in":[`)
	}
	flag := w.flag
	w.open, w.flag = append(w.open, flag), target
	d := w.decide(target, true)
	w.open, w.flag = w.open[:len(w.open)-1], flag
	if !d.open {
		w.buf = w.buf[:start]
		return settled(slices.Contains(p.GetVariants(), d.variant))
	}
	w.raw(`,`)
	if len(p.GetVariants()) == 1 {
		w.string(p.GetVariants()[0])
	} else {
		w.list(len(p.GetVariants()), func(i int) { w.string(p.GetVariants()[i]) })
	}
	w.raw(`]}`)
	return depends
}

const tooLarge = "its targeting would take more than 1 MiB, with that of its prerequisites and segments"

func hasExpression(f *flagv1.Flag) bool {
	return slices.ContainsFunc(f.GetRules(), func(r *flagv1.Rule) bool {
		return r.GetExpression() != nil || r.GetOutcome().GetExpression() != nil
	})
}
