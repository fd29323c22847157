package tally

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/eval"
)

// Exposed counts an answer, which must be of a snapshot that was given to Apply, with the
// context that it was given for. It takes no lock and does not allocate but for the first
// answer of a flag, and nothing blocks it.
func (t *Tally) Exposed(r *eval.Result, ctx *eval.Context) {
	if r.Flag == nil {
		return
	}
	c, ok := r.Flag.Attached().(*counters)
	if !ok {
		c = t.attach(r.Flag)
	}
	if c.bindings != nil && r.Variant != nil {
		outcome, hash := r.Assignment()
		if int(outcome) < len(c.bindings) && c.bindings[outcome].step != nil {
			b := &c.bindings[outcome]
			b.step.exposed(t, b.armOf(r.Variant), hash, ctx)
			return
		}
	}
	if c.served != nil {
		c.served.add(t.lane(), r.Variant, 1)
	}
}

// counters are what is attached to a compiled flag. They do not change; what they point to
// does.
type counters struct {
	// bindings are by the number of the outcome; nil if no rollout owns one.
	bindings []binding
	served   *flagCounts // nil: not counted
}

// binding leads from a split to the step that it is of.
type binding struct {
	step      *step
	treatment int // index of the variant
}

func (b *binding) armOf(v *eval.Variant) arm {
	if v.Index() == b.treatment {
		return treatment
	}
	return control
}

// arm is one of the two variants of a rollout.
type arm uint8

const (
	control arm = iota
	treatment
	arms
)

// novelty is what an exposure was the first of.
type novelty uint8

const (
	repeated      novelty = iota // of nothing: the subject was served in this window already
	firstInWindow                // of its subject in this window
	firstAtStep                  // of its subject at this step; then in this window, too
	novelties
)

// lane is a part of a step's counters, a cache line of its own: each exposure is one addition
// to one of them.
type lane struct {
	counts [arms][novelties]atomic.Uint64
	_      [64 - 8*int(arms)*int(novelties)]byte
}

// sealed is what a counter is set to when nobody reads it any more: what is added then is
// noticed.
const sealed = 1 << 63

// exposed counts one subject that was served an arm.
func (s *step) exposed(t *Tally, a arm, hash uint32, ctx *eval.Context) {
	n := repeated
	if s.window.Load().add(hash) {
		n = firstInWindow
		if s.seen.Load().add(hash) {
			n = firstAtStep
		}
	}
	l := t.lane()
	if t.options.Exposures != nil {
		t.options.Exposures.Add(l, 1)
	}
	if s.lanes[l].counts[a][n].Add(1) >= sealed {
		t.lose(Late, 1)
		t.lateExposures.Add(1)
		return
	}
	if s.segments != nil {
		s.exposedSegments(l, a, n, ctx)
	}
}

// flagCounts counts what a flag served, by variant.
type flagCounts struct {
	key      string
	variants []string
	// counts has, for each lane, one for no variant and one for each variant, and then room up
	// to the next cache line.
	counts []atomic.Uint64
	stride int
	since  time.Time // when it was replaced
}

func (t *Tally) newFlagCounts(key string, variants []string) *flagCounts {
	const line = 8
	stride := (len(variants) + 1 + line - 1) / line * line
	return &flagCounts{key: key, variants: variants, stride: stride, counts: make([]atomic.Uint64, stride*t.lanes)}
}

func (c *flagCounts) add(lane int, v *eval.Variant, n uint64) {
	at := lane * c.stride
	if v != nil {
		at += 1 + v.Index()
	}
	c.counts[at].Add(n)
}

// drain takes what was counted, by variant, the first being none.
func (c *flagCounts) drain() []uint64 {
	var sums []uint64
	for i := range c.counts {
		if c.counts[i].Load() == 0 {
			continue
		}
		if sums == nil {
			sums = make([]uint64, c.stride)
		}
		sums[i%c.stride] += c.counts[i].Swap(0)
	}
	return sums
}

// attach gives a flag that has none its counters.
func (t *Tally) attach(f *eval.Flag) *counters {
	t.flagsMu.Lock()
	defer t.flagsMu.Unlock()
	if c, ok := f.Attached().(*counters); ok {
		return c
	}
	c := &counters{served: t.servedLocked(f)}
	f.Attach(c)
	return c
}

// servedLocked returns the counters of what a flag serves; flagsMu is held.
func (t *Tally) servedLocked(f *eval.Flag) *flagCounts {
	if t.options.EvaluationsEvery < 0 {
		return nil
	}
	variants := f.Variants()
	c := t.flags[f.Key()]
	if c != nil && slices.Equal(c.variants, variants) {
		return c
	}
	if c != nil {
		t.replaced = append(t.replaced, c)
	}
	c = t.newFlagCounts(f.Key(), variants)
	t.flags[f.Key()] = c
	return c
}

// bind attaches to a flag what its outcomes are steps of; none: nil.
func (t *Tally) bind(f *eval.Flag, bindings []binding) {
	t.flagsMu.Lock()
	defer t.flagsMu.Unlock()
	c, ok := f.Attached().(*counters)
	if ok && slices.Equal(c.bindings, bindings) || !ok && bindings == nil {
		return
	}
	f.Attach(&counters{bindings: bindings, served: t.servedLocked(f)})
}
