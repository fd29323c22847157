package flagd

import (
	"bytes"
	"strconv"
	"strings"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// segment writes that the context belongs to the segment: a reference to an evaluator,
// or the condition itself.
func (w *writer) segment(key string) verdict {
	s := w.env.segments[key]
	w.dep.segments = append(w.dep.segments, segmentDependency{key, s})
	if s == nil { // which has no members
		return never
	}
	shared, ok := w.env.evaluators[key]
	if !ok {
		shared = w.env.share(s)
		w.env.evaluators[key] = shared
	}
	if shared.condition == nil {
		return w.belongs(s)
	}
	w.raw(`{"$ref":`)
	w.string(shared.name)
	w.raw(`}`)
	w.dep.evaluators = append(w.dep.evaluators, key)
	return depends
}

// evaluator is a segment that flags refer to by name.
type evaluator struct {
	name      string
	condition []byte // nil: written out wherever it is used
}

// share makes an evaluator of a segment if every implementation reads it: they replace
// references in the text of the file, by a pattern made of the name, and some read '$',
// backslashes and characters beyond ASCII in the replacement as something else.
func (e *environment) share(s *flagv1.Segment) evaluator {
	w := writer{env: e, flag: &flagv1.Flag{}}
	v := w.belongs(s)
	odd := bytes.ContainsFunc(w.buf, func(r rune) bool { return r == '$' || r == '\\' || r >= 0x80 })
	if v != depends || w.reason != "" || odd {
		return evaluator{}
	}
	// A dot would match any character; a colon is in no segment's key.
	return evaluator{strings.ReplaceAll(s.GetKey(), ".", ":"), w.buf}
}

// belongs writes that the context belongs to the segment.
func (w *writer) belongs(s *flagv1.Segment) verdict {
	a := w.attribute(s.GetKeyAttribute())
	return w.or(2, func(i int) verdict {
		if i == 0 {
			return w.listed(a, s.GetIncluded())
		}
		return w.and(2, func(i int) verdict {
			if i == 0 {
				return w.not(func() verdict { return w.listed(a, s.GetExcluded()) })
			}
			return w.or(len(s.GetRules()), func(i int) verdict { return w.clauses(s.GetRules()[i].GetClauses()) })
		})
	})
}

// listed writes that a segment's list holds the key: a string, or a whole number in its
// decimal form.
func (w *writer) listed(a attribute, keys []string) verdict {
	switch a.kind {
	case fromFlagKey:
		for _, key := range keys {
			if key == a.flagKey {
				return always
			}
		}
		return never
	case asText:
		return w.equalsAny(a.operand, keys, true)
	}
	var numbers []float64
	for _, key := range keys {
		if f, err := strconv.ParseFloat(key, 64); err == nil && isWhole(f) && strconv.FormatInt(int64(f), 10) == key {
			numbers = append(numbers, f)
		}
	}
	if a.kind == ofClock {
		return w.and(2, func(i int) verdict {
			if i == 0 {
				w.raw(timestamp)
				return depends
			}
			return w.equalsAnyNumber(a.operand, numbers)
		})
	}
	return w.or(2, func(i int) verdict {
		if i == 0 {
			return w.equalsAny(a.operand, keys, false)
		}
		return w.equalsAnyNumber(a.operand, numbers)
	})
}
