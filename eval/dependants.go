package eval

import "slices"

// dependants are the flags that refer to one flag or segment.
type dependants struct{ flags table[reference] }

// flagReferences returns the flags that f has as prerequisites, each once.
func (f *Flag) flagReferences() []reference {
	if f == nil {
		return nil
	}
	references := make([]reference, len(f.prerequisites))
	for i := range f.prerequisites {
		references[i] = f.prerequisites[i].flag
	}
	return references
}

func (f *Flag) segmentReferences() []reference {
	if f == nil {
		return nil
	}
	return f.segments
}

// rewire moves the flag from the dependants of what it referred to, to those of what
// it refers to now.
func rewire(t *table[dependants], o *owner, flag reference, before, now []reference) {
	for _, r := range before {
		if slices.Contains(now, r) {
			continue
		}
		d := *t.get(r)
		d.flags.remove(o, flag)
		if d.flags.count == 0 {
			t.remove(o, r)
		} else {
			t.set(o, r, &d)
		}
	}
	for _, r := range now {
		if slices.Contains(before, r) {
			continue
		}
		var d dependants
		if old := t.get(r); old != nil {
			d = *old
		}
		d.flags.set(o, flag, &flag)
		t.set(o, r, &d)
	}
}

// Dependants returns the keys of the flags that have the flag, existing or not, as a
// prerequisite, in order.
func (e *Environment) Dependants(flagKey string) []string {
	if e == nil {
		return nil
	}
	return e.flagDependants.get(newReference(flagKey)).keys()
}

// SegmentDependants returns the keys of the flags that refer to the segment, existing
// or not, in order.
func (e *Environment) SegmentDependants(segmentKey string) []string {
	if e == nil {
		return nil
	}
	return e.segmentDependants.get(newReference(segmentKey)).keys()
}

func (d *dependants) keys() []string {
	if d == nil {
		return nil
	}
	keys := make([]string, 0, d.flags.count)
	d.flags.each(func(key string, _ *reference) { keys = append(keys, key) })
	slices.Sort(keys)
	return keys
}
