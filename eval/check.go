package eval

import (
	"slices"
	"strings"
)

// Check reports references that do not hold: prerequisites on unknown flags or
// variants, cycles (named in full: a -> b -> a), flags that depend on more than 64
// others, and unknown segments. It looks at the given flags, and at those that refer to
// them or to the given segments (existing or just deleted), and there only at what
// concerns them; no keys at all: at everything. The error, if any, is an [Errors] whose
// fields begin with the flag's key: 'flags[KEY].prerequisites[0].flag_key'.
func (e *Environment) Check(flagKeys, segmentKeys []string) error {
	if e == nil {
		e = &Environment{}
	}
	c := checker{env: e, targets: setOf(flagKeys), segments: setOf(segmentKeys)}
	if len(flagKeys) == 0 && len(segmentKeys) == 0 {
		c.targets = make(map[string]struct{}, e.flags.count)
		e.flags.each(func(key string, _ *Flag) { c.targets[key] = struct{}{} })
	}
	for _, key := range c.affected() {
		f := e.Flag(key)
		_, given := c.targets[key]
		c.checkPrerequisites(f, given)
		c.checkSegments(f, given)
		c.checkDependencies(f)
	}
	return c.err()
}

// checker is one run of Check.
type checker struct {
	problems
	env               *Environment
	targets, segments map[string]struct{}
}

// affected returns, in order, the keys of the existing flags to look at: the given
// ones, and all that refer to them or to the segments, directly or through others.
func (c *checker) affected() []string {
	seen := make(map[string]struct{}, len(c.targets))
	var queue []string
	visit := func(key string) {
		if _, ok := seen[key]; !ok {
			seen[key] = struct{}{}
			queue = append(queue, key)
		}
	}
	for key := range c.targets {
		visit(key)
	}
	for next := 0; next < len(queue); next++ {
		for _, key := range c.env.Dependants(queue[next]) {
			visit(key)
		}
	}
	for segment := range c.segments {
		for _, key := range c.env.SegmentDependants(segment) {
			visit(key)
		}
	}
	queue = slices.DeleteFunc(queue, func(key string) bool { return c.env.Flag(key) == nil })
	slices.Sort(queue)
	return queue
}

func flagPath(key string) *path { return root.field("flags[" + key + "]") }

// checkPrerequisites looks at all prerequisites of a given flag, and at those of others
// that name a given flag.
func (c *checker) checkPrerequisites(f *Flag, given bool) {
	for i := range f.prerequisites {
		p := &f.prerequisites[i]
		if _, concerned := c.targets[p.flag.key]; !concerned && !given {
			continue
		}
		at := flagPath(f.Key()).item("prerequisites", i)
		target := c.env.flags.get(p.flag)
		if target == nil {
			c.add(at.field("flag_key"), "there is no flag %s in this environment", quote(p.flag.key))
			continue
		}
		for j, name := range p.variants {
			if target.Variant(name) == nil {
				c.add(at.item("variants", j), "%s is not a variant of the flag %s; it has %s",
					quote(name), quote(p.flag.key), listOf(target.variantNames()))
			}
		}
	}
}

func (f *Flag) variantNames() []string {
	names := make([]string, len(f.variants))
	for i := range f.variants {
		names[i] = quote(f.variants[i].Name)
	}
	return names
}

func (c *checker) checkSegments(f *Flag, given bool) {
	if len(f.segments) == 0 {
		return
	}
	for i := range f.rules {
		for j := range f.rules[i].clauses {
			o := f.rules[i].clauses[j].operands
			if o == nil {
				continue
			}
			for k, a := range o.segments {
				if _, concerned := c.segments[a.segment.key]; !concerned && !given || c.env.segments.get(a.segment) != nil {
					continue
				}
				c.add(flagPath(f.Key()).item("rules", i).item("clauses", j).item("values", k),
					"there is no segment %s in this environment", quote(a.segment.key))
			}
		}
	}
}

// checkDependencies follows the flag's prerequisites and looks for a way back, and for
// too many. Of each cycle, the first given flag on it reports it.
func (c *checker) checkDependencies(f *Flag) {
	if len(f.prerequisites) == 0 {
		return
	}
	w := walk{env: c.env, from: f, seen: map[*Flag]struct{}{}}
	for i := range f.prerequisites {
		w.trail = append(w.trail[:0], f)
		if w.follow(f.prerequisites[i].flag) && c.reports(w.trail) {
			c.add(flagPath(f.Key()).item("prerequisites", i).field("flag_key"),
				"the prerequisites form a cycle: %s", w.cycle())
		}
	}
	if n := len(w.seen); n > maxDependencies {
		c.add(flagPath(f.Key()).field("prerequisites"),
			"the flag depends on more than %d others through its prerequisites", maxDependencies)
	}
}

// reports tells whether the first flag of the cycle is the one to report it: the first
// in order of those on it that were given.
func (c *checker) reports(cycle []*Flag) bool {
	if _, given := c.targets[cycle[0].Key()]; !given {
		return false
	}
	for _, f := range cycle {
		if _, given := c.targets[f.Key()]; given && f.Key() < cycle[0].Key() {
			return false
		}
	}
	return true
}

// maxWalk bounds a search; longer cycles are reported as too many dependencies.
const maxWalk = 1000

// walk is a depth-first search along prerequisites, back to where it began.
type walk struct {
	env   *Environment
	from  *Flag
	seen  map[*Flag]struct{} // all flags that from depends on, up to maxWalk
	trail []*Flag            // from the first flag to the current one
}

// follow tells whether the way through the prerequisite leads back; the trail is then
// the cycle.
func (w *walk) follow(r reference) bool {
	f := w.env.flags.get(r)
	if f == w.from {
		return true
	}
	if f == nil || len(w.seen) > maxWalk {
		return false
	}
	if _, ok := w.seen[f]; ok {
		return false
	}
	w.seen[f] = struct{}{}
	w.trail = append(w.trail, f)
	for i := range f.prerequisites {
		if w.follow(f.prerequisites[i].flag) {
			return true
		}
	}
	w.trail = w.trail[:len(w.trail)-1]
	return false
}

func (w *walk) cycle() string {
	var b strings.Builder
	for _, f := range w.trail {
		b.WriteString(f.Key())
		b.WriteString(" -> ")
	}
	b.WriteString(w.from.Key())
	return b.String()
}
