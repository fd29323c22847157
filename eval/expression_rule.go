package eval

import "strings"

// expressions are those of a rule: its condition, its outcome, or both.
type expressions struct {
	condition *expression // nil: the clauses
	outcome   *expression // nil: the rule's plain outcome
}

// decideByExpressions follows a rule with expressions. Where it does not match, there is
// no rule in the decision.
func (e *Environment) decideByExpressions(f *Flag, r *rule, ctx *Context, l *lookups) decision {
	if condition := r.expressions.condition; condition == nil {
		if !e.matchAll(r.clauses, ctx, l) {
			return decision{}
		}
	} else {
		matched := condition.run(ctx, l).truthy()
		if l.failure != noOperator {
			return failed(r, l.failure)
		}
		if !matched {
			return decision{}
		}
	}
	if r.expressions.outcome == nil {
		return r.outcome.decide(r, groundMatch, ctx)
	}
	result := r.expressions.outcome.run(ctx, l)
	switch {
	case l.failure != noOperator:
		return failed(r, l.failure)
	case !result.Exists():
		return decision{}
	case result.kind == kindNumber && result.number()-result.number() != 0: // JSON has neither infinities nor NaN
		return failed(r, opConstant)
	}
	if v := f.named(result); v != nil {
		return decision{variant: v, rule: r, ground: groundMatch}
	}
	d := decision{rule: r, ground: groundNoVariant}
	if result.kind == kindString {
		name := result.text()
		d.subject = &name // allocates: a decision must stay small for all that need none
	}
	return d
}

func failed(r *rule, o operator) decision {
	return decision{rule: r, subject: &failures[o], ground: groundFailed}
}

// run evaluates the expression over the context.
func (x *expression) run(ctx *Context, l *lookups) Value { return x.eval(&x.root, ctx, l, nil) }

// named returns the variant that the result of an expression names, or nil: the one
// called like the result in JSON, but for the quotation marks.
func (f *Flag) named(result Value) *Variant {
	var buffer [numberSize]byte
	switch result.kind {
	case kindString:
		name := result.text()
		if v := f.Variant(name); v != nil || !strings.Contains(name, `"`) {
			return v
		}
		return f.Variant(strings.ReplaceAll(name, `"`, ""))
	case kindNumber:
		return f.Variant(string(appendJSONNumber(buffer[:0], result.number())))
	case kindBool:
		if result.bits != 0 {
			return f.Variant("true")
		}
		return f.Variant("false")
	}
	return nil
}

// failures says, by the operator that failed, why an expression did.
var failures = func() (texts [opSemVer + 1]string) {
	for name, rule := range operatorRules {
		texts[rule.operator] = "the operator '" + name + "' met a value of a type that it does not take"
	}
	texts[opVar] = "the operator 'var' was given a path that is no text"
	texts[opReduce] = "the operator 'reduce' met a value that it does not take, or one that is not of the type of its first accumulator"
	texts[opConstant] = "the result is no finite number"
	texts[opFail] = "it took too many steps; give it a smaller context"
	return texts
}()
