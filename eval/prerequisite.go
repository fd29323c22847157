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
		if len(target.prerequisites) > 0 {
			if c == nil {
				return e.unmetInChain(f, i, ctx)
			}
			if !p.heldBy(e.servedInChain(target, ctx, c)) {
				return p
			}
			continue
		}
		if !p.heldBy(e.decide(target, ctx, nil).variant) {
			return p
		}
	}
	return nil
}

// chain is what one evaluation knows of the flags met on the way that have
// prerequisites themselves. It lives on the stack of the evaluation; flags whose
// prerequisites have none do without.
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

// unmetInChain is unmet, from the i-th prerequisite of the flag that was asked for.
func (e *Environment) unmetInChain(f *Flag, i int, ctx *Context) *prerequisite {
	var c chain
	c.links[0] = link{flag: f, open: true}
	c.count = 1
	for ; i < len(f.prerequisites); i++ {
		p := &f.prerequisites[i]
		target := e.flags.get(p.flag)
		if target == nil || !target.enabled || !p.heldBy(e.servedInChain(target, ctx, &c)) {
			return p
		}
	}
	return nil
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
