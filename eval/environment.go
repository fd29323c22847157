package eval

import "slices"

// Environment is an immutable set of compiled flags and segments. The nil Environment
// is empty and usable.
type Environment struct {
	flags    table[Flag]
	segments table[Segment]
	// By the key of a flag or segment, existing or not: the flags that refer to it.
	flagDependants    table[dependants]
	segmentDependants table[dependants]
	order             flagOrder
	timed             int // flags and segments that read the time themselves
}

// Changes turns one Environment into the next. Deletions come before additions. Of
// several flags or segments with the same key, the last one counts.
type Changes struct {
	Flags           []*Flag
	DeletedFlags    []string
	Segments        []*Segment
	DeletedSegments []string
}

// With returns the environment after the changes, in time proportional to the changes.
func (e *Environment) With(c Changes) *Environment {
	next := &Environment{}
	var changed []string
	if e != nil {
		next.flags, next.segments = e.flags, e.segments
		next.flagDependants, next.segmentDependants = e.flagDependants, e.segmentDependants
		next.timed = e.timed
	}
	o := &owner{}
	for _, key := range c.DeletedFlags {
		next.replace(o, newReference(key), nil)
		changed = append(changed, key)
	}
	for _, f := range c.Flags {
		if f != nil {
			next.replace(o, f.key, f)
			changed = append(changed, f.key.key)
		}
	}
	for _, key := range c.DeletedSegments {
		next.replaceSegment(o, newReference(key), nil)
	}
	for _, s := range c.Segments {
		if s != nil {
			next.replaceSegment(o, s.key, s)
		}
	}
	if e != nil {
		next.order.follow(&e.order, changed)
	}
	return next
}

// replace puts f (nil: nothing) in the place of the flag with the key r.
func (e *Environment) replace(o *owner, r reference, f *Flag) {
	old := e.flags.get(r)
	e.timed += f.timed() - old.timed()
	if f == nil {
		e.flags.remove(o, r)
	} else {
		e.flags.set(o, r, f)
	}
	rewire(&e.flagDependants, o, r, old.flagReferences(), f.flagReferences())
	rewire(&e.segmentDependants, o, r, old.segmentReferences(), f.segmentReferences())
}

func (e *Environment) replaceSegment(o *owner, r reference, s *Segment) {
	e.timed += s.timed() - e.segments.get(r).timed()
	if s == nil {
		e.segments.remove(o, r)
	} else {
		e.segments.set(o, r, s)
	}
}

// Flag returns the flag, or nil.
func (e *Environment) Flag(key string) *Flag {
	if e == nil {
		return nil
	}
	return e.flags.get(newReference(key))
}

// Segment returns the segment, or nil.
func (e *Environment) Segment(key string) *Segment {
	if e == nil {
		return nil
	}
	return e.segments.get(newReference(key))
}

// FlagCount returns the number of flags.
func (e *Environment) FlagCount() int {
	if e == nil {
		return 0
	}
	return e.flags.count
}

// SegmentCount returns the number of segments.
func (e *Environment) SegmentCount() int {
	if e == nil {
		return 0
	}
	return e.segments.count
}

// Flags returns all flags in the order of their keys. The slice is computed once, when
// it is first asked for (from the one before, after a small change), and shared: it
// must not be modified.
func (e *Environment) Flags() []*Flag {
	if e == nil {
		return nil
	}
	return e.order.flags(&e.flags)
}

// Segments returns all segments in the order of their keys, in a new slice.
func (e *Environment) Segments() []*Segment {
	if e == nil {
		return nil
	}
	all := make([]*Segment, 0, e.segments.count)
	e.segments.each(func(_ string, s *Segment) { all = append(all, s) })
	slices.SortFunc(all, func(a, b *Segment) int { return compareKeys(a.key, b.key) })
	return all
}
