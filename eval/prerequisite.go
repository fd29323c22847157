package eval

import "slices"

// maxDependencies is how many other flags a flag may depend on through its
// prerequisites, directly and indirectly: [Environment.Check] rejects more. It bounds
// the work of an evaluation, each flag being evaluated once, and the depth of a chain.
const maxDependencies = 64

// prerequisite is a compiled prerequisite.
type prerequisite struct {
	flag     reference
	variants []string
}

// heldBy tells whether the variant, nil for none, meets the prerequisite.
func (p *prerequisite) heldBy(v *Variant) bool {
	return v != nil && slices.Contains(p.variants, v.Name)
}

// unmet returns the flag's first prerequisite that does not hold, or nil.
func (e *Environment) unmet(f *Flag, ctx *Context, c *chain) *prerequisite {
	for i := range f.prerequisites {
		p := &f.prerequisites[i]
		target := e.flags.get(p.flag)
		if target == nil || !target.enabled {
			return p
		}
		if c == nil && len(target.prerequisites) > 0 {
			return e.unmetInChain(f, ctx)
		}
		var served *Variant
		if c == nil {
			served = e.decide(target, ctx, nil).variant
		} else {
			served = e.servedInChain(target, ctx, c)
		}
		if !p.heldBy(served) {
			return p
		}
	}
	return nil
}

// chain is what one evaluation knows of the flags met on the way. It lives on the stack
// of the evaluation; flags whose prerequisites have none themselves do without.
type chain struct {
	links [maxDependencies + 1]link
	count int
}

type link struct {
	flag *Flag
	// served is what the flag serves; nil while it is being evaluated, and if it does
	// not hold whatever variant is asked for.
	served *Variant
	open   bool // being evaluated
	cyclic bool // found to depend on itself
}

// unmetInChain is unmet for the flag that was asked for. It has a frame of its own, so
// that flags without a chain do not pay for one.
func (e *Environment) unmetInChain(f *Flag, ctx *Context) *prerequisite {
	c := chain{count: 1}
	c.links[0] = link{flag: f, open: true}
	return e.unmet(f, ctx, &c)
}

// servedInChain returns the variant that an enabled flag serves, or nil if it does not
// hold: it depends on itself, or on more flags than are allowed, or it answers with an
// error or nothing.
func (e *Environment) servedInChain(f *Flag, ctx *Context, c *chain) *Variant {
	for i := range c.count {
		if c.links[i].flag != f {
			continue
		}
		if c.links[i].open {
			c.closeCycle(i)
		}
		return c.links[i].served
	}
	if c.count == len(c.links) {
		return nil
	}
	l := &c.links[c.count]
	l.flag, l.open = f, true
	c.count++
	served := e.decide(f, ctx, c).variant
	l.open = false
	if !l.cyclic {
		l.served = served
	}
	return l.served
}

// closeCycle marks the flags from the i-th link on that are being evaluated: each
// depends on the next, and the last on the first.
func (c *chain) closeCycle(i int) {
	for ; i < c.count; i++ {
		c.links[i].cyclic = c.links[i].cyclic || c.links[i].open
	}
}
