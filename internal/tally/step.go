package tally

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/ddsketch"
)

// step is a step of a rollout: a time in which the weight did not change. It counts the
// window under way.
type step struct {
	plan   *plan
	number uint64
	// applied is when it came into force here, where that was seen; else zero.
	applied time.Time
	// retired is when another one did; zero: it is in force, or never was. Guarded by
	// Tally.mu.
	retired time.Time

	// Of exposures; lanes are nil where the step was over before anything was counted for it.
	lanes    []lane
	window   atomic.Pointer[bitset]
	seen     atomic.Pointer[filter]
	segments [][]segmentLane // by dimension, then by lane

	mu sync.Mutex // guards what follows
	// cells are by metric and arm; nil until there is an observation.
	cells []cell
	// segmentCells are by metric, then by segment and arm; nil where there is none.
	segmentCells [][]cell
	marks        []marks // by metric: of observations, then of events
	// reported are the exposures that SDKs reported, and those of segments by metric, segment
	// and arm.
	reported         [arms][novelties]uint64
	reportedSegments map[segmentKey][novelties]uint64
	// began are the arms of which a first subject was told, newCounters who else began to
	// count: SDKs that reported.
	began       [arms]bool
	newCounters [arms]uint64
	// held is what of the memory budget the cells and marks take.
	held int
	// closed: it is not read any more, and nothing may be added.
	closed bool
	filled int // subjects in the newest generation of seen
	// inWindow are the subjects of the window under way that were told already.
	inWindow int
	idle     int // windows without anything, of a step that was over; guarded by Tally.mu
}

// segmentKey names a cell of a segment.
type segmentKey struct {
	metric, segment int
	arm             arm
}

// segmentLane is a part of a dimension's exposures.
type segmentLane struct {
	counts [maxSegments + 1][arms][2]atomic.Uint64 // repeated, and first in the window
}

// newStep makes a step that counts exposures; its memory is claimed.
func (t *Tally) newStep(p *plan, number uint64) *step {
	s := &step{plan: p, number: number, lanes: make([]lane, t.lanes)}
	s.window.Store(newBitset(minBits))
	s.seen.Store(newFilter())
	t.memory.claim(s.bitBytes())
	for range p.dimensions {
		s.segments = append(s.segments, make([]segmentLane, t.lanes))
	}
	return s
}

// served tells whether a subject was, by its hash; now and then it is mistaken, and says yes.
func (s *step) served(hash uint32) bool {
	seen := s.seen.Load()
	return seen != nil && seen.has(hash)
}

func (s *step) bitBytes() int { return s.window.Load().size()/8 + s.seen.Load().bytes() }

// exposedSegments counts an exposure for the segments that the context belongs to.
func (s *step) exposedSegments(lane int, a arm, n novelty, ctx *eval.Context) {
	first := 0
	if n != repeated {
		first = 1
	}
	for d := range s.segments {
		if segment, ok := s.plan.dimensions[d].segment(ctx); ok {
			s.segments[d][lane].counts[segment][a][first].Add(1)
		}
	}
}

// cell adds up one metric of one arm.
type cell struct {
	count, events, ambiguous uint64
	merged                   uint64 // of what somebody else has added up
	sum, squares             float64
	sketch                   *ddsketch.Sketch
	model                    *model
}

// model adds up what a model said.
type model struct {
	truePositives, falsePositives, trueNegatives, falseNegatives uint64
	// predictions are by the number of the label.
	predictions [maxLabels + 1]uint64
}

func (c *cell) empty() bool {
	return c.count == 0 && c.ambiguous == 0 && c.model == nil
}

// Sizes of what is taken from the memory budget when it is needed.
const (
	cellBytes  = 64
	modelBytes = 8 * (maxLabels + 5)
	marksBytes = 32
	// sketchBytes is what a sketch takes at least.
	sketchBytes = 512
)

// take reserves memory for the step; mu is held.
func (s *step) take(t *Tally, n int) bool {
	if !t.memory.take(n) {
		return false
	}
	s.held += n
	return true
}

// open makes sure that there are cells; mu is held. It tells whether there was memory for
// them.
func (s *step) open(t *Tally) bool {
	if s.cells != nil {
		return true
	}
	n := len(s.plan.metrics)
	if !s.take(t, n*(int(arms)*cellBytes+2*marksBytes)) {
		return false
	}
	s.cells = make([]cell, n*int(arms))
	s.segmentCells = make([][]cell, n)
	s.marks = make([]marks, 2*n)
	return true
}

// first tells whether the subject is new to a metric, or to its events, in its period, and notes
// it; ok is false if there is no memory to tell. mu is held.
func (s *step) first(t *Tally, m int, event bool, hash uint32, period int64) (first, ok bool) {
	k := &s.marks[2*m]
	if event {
		k = &s.marks[2*m+1]
	}
	if k.words == nil || k.period != period {
		size := sizeFor(k.count, maxBits)
		if now := len(k.words) * 8; size/8 != now {
			switch {
			case size/8 < now:
				t.memory.give(now - size/8)
				s.held -= now - size/8
				k.words = make([]uint64, size/64)
			case s.take(t, size/8-now):
				k.words = make([]uint64, size/64)
			case k.words == nil:
				return false, false
			}
		}
		clear(k.words)
		k.period, k.count = period, 0
	}
	return k.add(hash), true
}

// add counts one observation in a cell; mu is held. It tells whether there was memory.
func (s *step) add(t *Tally, c *cell, m *metric, o *observed) bool {
	if m.sketch && o.kind&kindValue != 0 && !s.makeSketch(t, c) || o.kind == kindOutcome && !s.makeModel(t, c) {
		return false
	}
	switch o.kind {
	case kindHappened:
		c.count++
		if o.event {
			c.events++
		}
	case kindOutcome:
		c.model.add(c, m.labels.number(o.label), o)
	default:
		c.count++
		c.sum += o.number
		c.squares += o.number * o.number
		if c.sketch != nil {
			s.grow(t, c, func() { c.sketch.Add(o.number) })
		}
	}
	return true
}

// makeSketch makes sure that a cell has a sketch; mu is held. It tells whether there was memory.
func (s *step) makeSketch(t *Tally, c *cell) bool {
	if c.sketch == nil && s.take(t, sketchBytes) {
		c.sketch = &ddsketch.Sketch{}
	}
	return c.sketch != nil
}

// makeModel is makeSketch for what a model said.
func (s *step) makeModel(t *Tally, c *cell) bool {
	if c.model == nil && s.take(t, modelBytes) {
		c.model = &model{}
	}
	return c.model != nil
}

// grow adds to a cell's sketch, and claims what it takes more; mu is held.
func (s *step) grow(t *Tally, c *cell, add func()) {
	before := costOf(c.sketch)
	add()
	if more := costOf(c.sketch) - before; more > 0 {
		t.memory.claim(more)
		s.held += more
	}
}

// costOf is what a sketch takes of the memory budget.
func costOf(s *ddsketch.Sketch) int { return max(s.Bytes(), sketchBytes) }

func (m *model) add(c *cell, label int, o *observed) {
	m.predictions[label]++
	if !o.known {
		return
	}
	c.count++
	if o.event {
		c.events++
	}
	switch {
	case o.positive && o.actual:
		m.truePositives++
	case o.positive:
		m.falsePositives++
	case o.actual:
		m.falseNegatives++
	default:
		m.trueNegatives++
	}
}

// segmentCell returns the cell of a segment, or nil if there is no memory for it; mu is held.
func (s *step) segmentCell(t *Tally, m, segment int, a arm) *cell {
	if s.segmentCells[m] == nil {
		if !s.take(t, (maxSegments+1)*int(arms)*cellBytes) {
			return nil
		}
		s.segmentCells[m] = make([]cell, (maxSegments+1)*int(arms))
	}
	return &s.segmentCells[m][segment*int(arms)+int(a)]
}
