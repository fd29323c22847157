package flagd

import (
	"fmt"
	"maps"
	"slices"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/jsondoc"
)

// writer writes one flag's targeting. What it cannot express it notes as the reason to
// leave the flag out, and goes on: what it wrote is then thrown away.
type writer struct {
	env *environment
	buf []byte
	// flag is the one whose decision is written: the flag itself, or a prerequisite.
	flag   *flagv1.Flag
	open   []*flagv1.Flag // from the flag itself to the one above
	visits int            // of prerequisites
	dep    dependencies
	reason string
	// version is the bucketing version that the expression needs; 0: any.
	version flagv1.BucketingVersion
}

// omit notes why the flag cannot be exported; the first reason counts.
func (w *writer) omit(format string, args ...any) {
	if w.reason == "" {
		w.reason = fmt.Sprintf(format, args...)
	}
}

func (w *writer) raw(parts ...string) {
	for _, p := range parts {
		w.buf = append(w.buf, p...)
	}
}

func (w *writer) string(s string)  { w.buf = jsondoc.AppendString(w.buf, s) }
func (w *writer) number(f float64) { w.buf = jsondoc.AppendNumber(w.buf, f) }

// list writes [a,b,c].
func (w *writer) list(n int, write func(i int)) {
	w.raw("[")
	for i := range n {
		if i > 0 {
			w.raw(",")
		}
		write(i)
	}
	w.raw("]")
}

// verdict is what is known of a condition before any context is. Of one that is settled
// nothing is written.
type verdict int

const (
	depends verdict = iota
	always
	never
)

func (v verdict) not() verdict {
	switch v {
	case always:
		return never
	case never:
		return always
	}
	return depends
}

func settled(b bool) verdict {
	if b {
		return always
	}
	return never
}

// and writes the conditions that count, n at most, joined.
func (w *writer) and(n int, part func(i int) verdict) verdict {
	return w.join(`{"and":[`, never, n, part)
}

// or is and for alternatives.
func (w *writer) or(n int, part func(i int) verdict) verdict {
	return w.join(`{"or":[`, always, n, part)
}

// join writes the parts that depend on the context. A part whose verdict is 'decisive'
// settles the whole, one with the other verdict does not matter.
func (w *writer) join(begin string, decisive verdict, n int, part func(i int) verdict) verdict {
	start := len(w.buf)
	w.raw(begin)
	parts := 0
	for i := range n {
		before := len(w.buf)
		if parts > 0 {
			w.raw(",")
		}
		switch v := part(i); v {
		case depends:
			parts++
		case decisive:
			w.buf = w.buf[:start]
			return v
		default:
			w.buf = w.buf[:before]
		}
	}
	switch parts {
	case 0:
		w.buf = w.buf[:start]
		return decisive.not()
	case 1: // alone, it needs no operator
		w.buf = slices.Delete(w.buf, start, start+len(begin))
	default:
		w.raw("]}")
	}
	return depends
}

// not writes {"!":[condition]}.
func (w *writer) not(condition func() verdict) verdict {
	start := len(w.buf)
	w.raw(`{"!":[`)
	v := condition()
	if v != depends {
		w.buf = w.buf[:start]
		return v.not()
	}
	w.raw("]}")
	return depends
}

func sortedNames[T any](m map[string]T) []string {
	if len(m) == 0 {
		return nil
	}
	names := slices.AppendSeq(make([]string, 0, len(m)), maps.Keys(m))
	slices.Sort(names)
	return names
}
