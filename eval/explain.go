package eval

// Explain answers as Evaluate does, and tells how it came to the answer. It is for people: it
// follows the same order with the same tests, one by one, and writes down what each came to; it
// allocates, and costs evaluations nothing. That both answer the same is tested on random flags.
func (e *Environment) Explain(key string, ctx *Context) (Result, *Explanation) {
	f := e.Flag(key)
	if f == nil {
		return NotFound(key), &Explanation{Key: key, Decided: ByNothing}
	}
	if ctx == nil {
		ctx = &Context{}
	}
	x := &explainer{environment: e, ctx: ctx, links: []*explainedLink{{flag: f, open: true}}}
	explanation, d := x.flag(f)
	r := Result{Flag: f}
	explained := &explanations[d.ground.kind()]
	r.Variant, r.Reason, r.ErrorCode = d.variant, explained.reason, explained.code
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
	return r, explanation
}

// DecidedBy is what decided an evaluation.
type DecidedBy uint8

// What decides: ByNothing where there is no flag.
const (
	ByNothing DecidedBy = iota
	ByDisabled
	ByPrerequisite
	ByRule
	ByDefault
)

// Explanation is how a flag came to what it serves: what was looked at, up to what decided.
type Explanation struct {
	Key     string
	Flag    *Flag // nil: there is none
	Decided DecidedBy
	// Variant that is served; nil: none.
	Variant       *Variant
	Prerequisites []PrerequisiteStep
	Rules         []RuleStep
	Split         *SplitStep // ByDefault, if it is a split
}

// PrerequisiteStep is a prerequisite that was looked at.
type PrerequisiteStep struct {
	Key    string
	Wanted []string
	Held   bool
	// Cyclic: it is being explained already, as it depends on this one.
	Cyclic bool
	// Explanation of the other flag; nil where it was explained before, or cannot be any more.
	Explanation *Explanation
}

// RuleStep is a rule that was looked at.
type RuleStep struct {
	ID string
	// Index in the flag.
	Index   int
	Matched bool
	Clauses []ClauseStep
	// Condition is that of a rule that has an expression in place of clauses, Outcome of one
	// whose outcome is one.
	Condition, Outcome *ExpressionStep
	Split              *SplitStep
}

// ClauseStep is a clause that was looked at; its index is its place in the list.
type ClauseStep struct {
	// Value of the attribute; absent for one about segments.
	Value    Value
	Matched  bool // with the negation
	Segments []SegmentStep
}

// Membership is why a context belongs to a segment, or does not.
type Membership uint8

// The memberships.
const (
	NoSegment Membership = iota
	Included
	Excluded
	ByItsRule
	NotListed
)

// SegmentStep is a segment that was looked at.
type SegmentStep struct {
	Key        string
	Belongs    bool
	Membership Membership
	// Attribute whose value its lists hold, and the value.
	Attribute string
	Value     Value
	Rules     []SegmentRuleStep
}

// SegmentRuleStep is a segment's rule that was looked at.
type SegmentRuleStep struct {
	Matched bool
	Clauses []ClauseStep
}

// ExpressionStep is what an expression came to.
type ExpressionStep struct {
	Result Value
	// Failure says why there is none; empty: there is.
	Failure string
}

// SplitStep is how a split assigned a variant.
type SplitStep struct {
	Attribute string
	Value     Value
	// CBOR: that is how the value is hashed (BUCKETING_VERSION_3).
	CBOR          bool
	Hash          uint32
	Bucket, Total uint64
	Ranges        []SplitRange
	Variant       *Variant // nil: there was nothing to hash
}

// SplitRange is where buckets, from From up to below End, give a variant.
type SplitRange struct {
	Variant   *Variant
	From, End uint64
}

// explainer explains one flag, and those that it depends on.
type explainer struct {
	environment *Environment
	ctx         *Context
	links       []*explainedLink
}

// explainedLink is a link of a chain; see chain.
type explainedLink struct {
	flag         *Flag
	served       *Variant
	open, cyclic bool
}

// flag is decide.
func (x *explainer) flag(f *Flag) (*Explanation, decision) {
	e := &Explanation{Key: f.Key(), Flag: f}
	d := x.decide(e, f)
	e.Variant = d.variant
	return e, d
}

func (x *explainer) decide(e *Explanation, f *Flag) decision {
	if !f.enabled {
		e.Decided = ByDisabled
		return decision{variant: f.off, ground: groundDisabled}
	}
	if p := x.unmet(e, f); p != nil {
		e.Decided = ByPrerequisite
		return decision{variant: f.off, ground: groundDefault, subject: &p.flag.key}
	}
	if d := x.rules(e, f); d.rule != nil {
		e.Decided = ByRule
		return d
	}
	e.Decided = ByDefault
	e.Split = f.fallthru.explain(x.ctx)
	return f.fallthru.decide(nil, f.fallthruGround, x.ctx)
}

// unmet is that of Environment, where every flag is part of the chain.
func (x *explainer) unmet(e *Explanation, f *Flag) *prerequisite {
	for i := range f.prerequisites {
		p := &f.prerequisites[i]
		step := PrerequisiteStep{Key: p.flag.key, Wanted: p.variants}
		target := x.environment.flags.get(p.flag)
		switch {
		case target == nil:
			step.Explanation = &Explanation{Key: p.flag.key, Decided: ByNothing}
		case !target.enabled:
			step.Explanation, _ = x.flag(target)
		default:
			step.Held = p.heldBy(x.served(&step, target))
		}
		e.Prerequisites = append(e.Prerequisites, step)
		if !step.Held {
			return p
		}
	}
	return nil
}

// served is servedInChain.
func (x *explainer) served(step *PrerequisiteStep, f *Flag) *Variant {
	for i, l := range x.links {
		if l.flag != f {
			continue
		}
		if step.Cyclic = l.open; l.open {
			for _, l := range x.links[i:] {
				l.cyclic = l.cyclic || l.open
			}
		}
		return l.served
	}
	if len(x.links) == maxDependencies+1 {
		return nil
	}
	l := &explainedLink{flag: f, open: true}
	x.links = append(x.links, l)
	explanation, d := x.flag(f)
	step.Explanation = explanation
	if l.open = false; !l.cyclic {
		l.served = d.variant
	}
	return l.served
}

// rules is decideByRules.
func (x *explainer) rules(e *Explanation, f *Flag) decision {
	var l lookups
	for i := range f.rules {
		r := &f.rules[i]
		step := RuleStep{ID: r.id, Index: i}
		var d decision
		if r.expressions != nil {
			d = x.byExpressions(&step, f, r, &l)
		} else if step.Clauses, step.Matched = x.clauses(r.clauses, &l); step.Matched {
			step.Split = r.outcome.explain(x.ctx)
			d = r.outcome.decide(r, groundMatch, x.ctx)
		}
		e.Rules = append(e.Rules, step)
		if d.rule != nil {
			return d
		}
	}
	return decision{}
}

// byExpressions runs the rule's expressions as decideByExpressions does, and looks at what they
// come to with the same budget; the decision is made there, on a copy of what is left of it.
func (x *explainer) byExpressions(step *RuleStep, f *Flag, r *rule, l *lookups) decision {
	deciding := *l
	d := x.environment.decideByExpressions(f, r, x.ctx, &deciding)
	var matched bool
	if condition := r.expressions.condition; condition == nil {
		step.Clauses, matched = x.clauses(r.clauses, l)
	} else {
		step.Condition = condition.explain(x.ctx, l)
		matched = step.Condition.Failure == "" && step.Condition.Result.truthy()
	}
	if step.Matched = d.rule != nil; matched {
		if r.expressions.outcome != nil {
			step.Outcome = r.expressions.outcome.explain(x.ctx, l)
		} else {
			step.Split = r.outcome.explain(x.ctx)
		}
	}
	*l = deciding
	return d
}

func (e *expression) explain(ctx *Context, l *lookups) *ExpressionStep {
	step := &ExpressionStep{Result: e.run(ctx, l)}
	if l.failure != noOperator {
		step.Result, step.Failure = Value{}, failures[l.failure]
	}
	return step
}

// clauses is matchAll.
func (x *explainer) clauses(clauses []clause, l *lookups) (steps []ClauseStep, matched bool) {
	for i := range clauses {
		c := &clauses[i]
		step := ClauseStep{Matched: x.environment.match(c, x.ctx, l)}
		if c.attribute == nil {
			step.Segments = x.segments(c.operands.segments)
		} else {
			step.Value = c.attribute.value(x.ctx)
		}
		steps = append(steps, step)
		if !step.Matched {
			return steps, false
		}
	}
	return steps, true
}

// segments is inSegment.
func (x *explainer) segments(audiences []audience) (steps []SegmentStep) {
	for i := range audiences {
		step := x.segment(audiences[i].segment)
		steps = append(steps, step)
		if step.Belongs {
			break
		}
	}
	return steps
}

func (x *explainer) segment(r reference) SegmentStep {
	s := x.environment.segments.get(r)
	if s == nil {
		return SegmentStep{Key: r.key}
	}
	step := SegmentStep{Key: r.key, Attribute: s.keyAttribute.full, Value: s.keyAttribute.value(x.ctx), Membership: NotListed}
	switch included, excluded := s.listed(step.Value); {
	case included:
		step.Belongs, step.Membership = true, Included
		return step
	case excluded:
		step.Membership = Excluded
		return step
	}
	var l lookups
	for _, clauses := range s.rules {
		var rule SegmentRuleStep
		rule.Clauses, rule.Matched = x.clauses(clauses, &l)
		step.Rules = append(step.Rules, rule)
		if rule.Matched {
			step.Belongs, step.Membership = true, ByItsRule
			break
		}
	}
	return step
}

// explain tells how a split assigns; nil: the outcome is none.
func (o *outcome) explain(ctx *Context) *SplitStep {
	if o.split == nil {
		return nil
	}
	s := o.split
	step := &SplitStep{Attribute: s.bucketBy.full, Value: s.bucketBy.value(ctx), CBOR: s.form != formPlain, Total: s.total}
	from := uint64(0)
	for _, share := range s.shares {
		step.Ranges = append(step.Ranges, SplitRange{share.variant, from, share.end})
		from = share.end
	}
	if step.Variant, step.Hash = s.choose(ctx); step.Variant != nil {
		step.Bucket = Bucket(step.Hash, s.total)
	}
	return step
}
