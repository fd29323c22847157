package tally

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// rollout is what is kept of one from snapshot to snapshot. But for steps it is guarded by
// Tally.mu.
type rollout struct {
	revision   int64 // of the item that definition is from
	definition *rolloutv1.Rollout
	plan       *plan

	flag    *eval.Flag // that the current step is bound to
	current *step      // in force here; nil: none can be counted
	course  *course    // in the snapshot applied last
	problem error      // why it, or its newest step, is not counted
	// evaluated are the exposures since evaluations were told last.
	evaluated [arms]uint64
	// ended is when it was gone from the snapshot, or over; zero: it is not.
	ended time.Time

	mu    sync.Mutex // guards steps and closed
	steps map[uint64]*step
	// closed: nothing is counted for it any more.
	closed bool
}

// view is what observations are attributed by: one snapshot's rollouts.
type view struct {
	env      *eval.Environment
	byMetric map[string][]watcher
	byFlag   map[string][]*course
	byKey    map[string]*course
}

// watcher is a rollout that watches a metric.
type watcher struct {
	course *course
	metric int
}

// course is where a rollout stands in one snapshot.
type course struct {
	rollout *rollout
	plan    *plan
	flag    *eval.Flag
	outcome eval.OutcomeNumber
	current *step
	newest  uint64 // of the steps that there were
	// stretches are the steps up to the current one, as far as they are known, oldest first.
	stretches []stretch
}

// stretch is a step in time.
type stretch struct {
	number, weight uint64
	began          time.Time
}

// Apply makes a snapshot the one that is counted for; nil: there is none any more. It is
// called with each before it is shown to anybody who evaluates, so that no answer is missed.
// Counters of what did not change go on.
//
// The error says which rollouts cannot be counted, and why; the others are. It is for the log:
// it does not go away before the rollout changes.
func (t *Tally) Apply(s *snapshot.Snapshot, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var items []snapshot.Item
	next := &view{}
	if s != nil {
		items, next.env = s.Rollouts(), s.Eval()
	}
	if len(t.over) > len(items) { // some of them were deleted
		clear(t.over)
	}
	var problems []error
	courses := make([]*course, 0, len(items))
	active := make(map[string]bool, len(items))
	same := true // as in the view before
	for _, item := range items {
		r, err := t.follow(item, now)
		if r != nil {
			same = !t.place(r, next.env, now) && same
			err = r.problem
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", item.ID(), err))
		}
		if r != nil && r.course != nil {
			courses = append(courses, r.course)
			active[item.Key] = true
		}
	}
	for key, r := range t.rollouts {
		if !active[key] {
			t.end(r, now)
			same = false
		}
	}
	if before := t.view.Load(); same && len(before.byKey) == len(courses) {
		next.byMetric, next.byFlag, next.byKey = before.byMetric, before.byFlag, before.byKey
	} else {
		t.rebind(courses, next)
	}
	t.view.Store(next)
	return errors.Join(problems...)
}

// rebind fills a view, and attaches to each flag in force what is bound to it now.
func (t *Tally) rebind(courses []*course, next *view) {
	next.byMetric, next.byFlag, next.byKey = map[string][]watcher{}, map[string][]*course{}, map[string]*course{}
	bindings := map[*eval.Flag][]binding{}
	for _, c := range courses {
		next.add(c)
		if c.current != nil {
			bindings[c.flag] = bound(bindings[c.flag], c)
		}
	}
	for f, list := range bindings {
		t.bind(f, list)
	}
	for _, r := range t.all() {
		if r.flag != nil && bindings[r.flag] == nil && next.env.Flag(r.flag.Key()) == r.flag {
			t.bind(r.flag, nil)
		}
	}
}

// bound adds a rollout's outcome to the bindings of its flag.
func bound(list []binding, c *course) []binding {
	for len(list) <= int(c.outcome) {
		list = append(list, binding{})
	}
	list[c.outcome] = binding{step: c.current, treatment: c.flag.Variant(c.plan.treatment).Index()}
	return list
}

func (v *view) add(c *course) {
	v.byKey[c.plan.key] = c
	v.byFlag[c.plan.flagKey] = append(v.byFlag[c.plan.flagKey], c)
	for i := range c.plan.metrics {
		name := c.plan.metrics[i].name
		v.byMetric[name] = append(v.byMetric[name], watcher{course: c, metric: i})
	}
}

// follow brings a rollout up to an item; nil: it is over, or cannot be used.
func (t *Tally) follow(item snapshot.Item, now time.Time) (*rollout, error) {
	r := t.rollouts[item.Key]
	if r != nil && r.revision == item.ModRevision {
		return r, nil
	}
	if t.over[item.Key] == item.ModRevision {
		return nil, nil
	}
	definition, err := item.Rollout()
	if err != nil {
		return nil, err
	}
	if over(definition) {
		t.over[item.Key] = item.ModRevision
		return nil, nil
	}
	if r == nil || !sameRun(r.definition, definition) {
		if r, err = t.begin(definition, now); err != nil {
			return nil, err
		}
	}
	r.definition, r.revision, r.course = definition, item.ModRevision, nil
	return r, nil
}

// begin makes the counters of a rollout that there were none for. What another one with its
// key has not told yet is lost: nobody could tell it from this one's.
func (t *Tally) begin(definition *rolloutv1.Rollout, now time.Time) (*rollout, error) {
	p, err := newPlan(definition)
	if err != nil {
		return nil, err
	}
	if before := t.rollouts[p.key]; before != nil {
		t.end(before, now)
	}
	t.ended = slices.DeleteFunc(t.ended, func(r *rollout) bool {
		if r.plan.key == p.key {
			t.discard(r)
		}
		return r.plan.key == p.key
	})
	r := &rollout{plan: p, steps: map[uint64]*step{}}
	t.rollouts[p.key] = r
	return r, nil
}

func over(r *rolloutv1.Rollout) bool {
	s := r.GetStatus().GetState()
	return s != rolloutv1.State_STATE_RUNNING && s != rolloutv1.State_STATE_PAUSED
}

// sameRun tells whether two versions are of one rollout, not of two with one key, and count
// the same.
func sameRun(a, b *rolloutv1.Rollout) bool {
	if !proto.Equal(a.GetStatus().GetStartedAt(), b.GetStatus().GetStartedAt()) || a.GetStatus().GetStep() > b.GetStatus().GetStep() {
		return false
	}
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	a.Status, b.Status = nil, nil
	return proto.Equal(a, b)
}

// place finds the step of a rollout that is in force: the one whose weight its flag's split
// has. It tells whether anything changed since it was called last.
func (t *Tally) place(r *rollout, env *eval.Environment, now time.Time) bool {
	f := env.Flag(r.plan.flagKey)
	if r.course != nil && r.course.flag == f {
		return false
	}
	r.course, r.problem = nil, nil
	status := r.definition.GetStatus()
	steps := status.GetSteps()
	if len(steps) == 0 || steps[len(steps)-1].GetStep() != status.GetStep() {
		r.problem = fmt.Errorf("%w: its status does not tell of its step %d", errPlan, status.GetStep())
		return true
	}
	c := &course{rollout: r, plan: r.plan, flag: f, newest: status.GetStep()}
	r.course = c
	number, err := r.numberFor(f, steps[len(steps)-1])
	r.problem = err
	if number == 0 {
		t.force(r, nil, nil, now)
		return true
	}
	split, _ := f.Split(r.plan.rule)
	c.outcome = split.Outcome
	c.current = t.force(r, f, t.stepOf(r, number, now), now)
	c.stretches = r.stretches(steps, number)
	return true
}

// numberFor returns the number of the step that the flag in force serves; 0: none. There is an
// error where that is not the newest one.
func (r *rollout) numberFor(f *eval.Flag, newest *rolloutv1.Step) (uint64, error) {
	if f == nil {
		return 0, fmt.Errorf("%w: there is no usable flag %q", errPlan, r.plan.flagKey)
	}
	split, ok := f.Split(r.plan.rule)
	if !ok {
		return 0, fmt.Errorf("%w: flag %q serves no split there (rule %q)", errPlan, r.plan.flagKey, r.plan.rule)
	}
	weight, err := r.plan.weightOf(split)
	switch {
	case err != nil:
		return 0, err
	case f.Variant(r.plan.treatment) == nil || f.Variant(r.plan.control) == nil:
		return 0, fmt.Errorf("%w: flag %q lacks one of the variants %q and %q", errPlan, r.plan.flagKey, r.plan.treatment, r.plan.control)
	case weight == uint64(newest.GetWeight()):
		return newest.GetStep(), nil
	}
	err = fmt.Errorf("%w: flag %q splits with the weight %d, the rollout's step %d has %d",
		errPlan, r.plan.flagKey, weight, newest.GetStep(), newest.GetWeight())
	if r.current != nil && r.flag == f {
		return r.current.number, err // an older version of the flag is still in force
	}
	return 0, err
}

// stepOf returns the live step with that number.
func (t *Tally) stepOf(r *rollout, number uint64, now time.Time) *step {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.steps[number]
	if s == nil || s.lanes == nil {
		late := s
		s = t.newStep(r.plan, number)
		if r.current != nil {
			s.applied = now
		}
		if late != nil { // told of before it was shown
			t.inherit(s, late)
		}
		r.steps[number] = s
	}
	return s
}

// inherit moves what was counted late for a step into the one that counts from now on.
func (t *Tally) inherit(s, late *step) {
	late.mu.Lock()
	defer late.mu.Unlock()
	s.cells, s.segmentCells, s.marks, s.held = late.cells, late.segmentCells, late.marks, late.held
	s.reported, s.reportedSegments, s.newCounters = late.reported, late.reportedSegments, late.newCounters
	late.cells, late.held, late.closed = nil, 0, true
}

// force makes a step the one in force, nil for none, and retires the one before.
func (t *Tally) force(r *rollout, f *eval.Flag, s *step, now time.Time) *step {
	if r.current != nil && r.current != s {
		r.current.retired = now
	}
	if s != nil {
		s.retired = time.Time{}
	}
	r.flag, r.current = f, s
	return s
}

// stretches are the steps in time, up to the one in force: as the status tells, but as they
// were applied here where that was later.
func (r *rollout) stretches(steps []*rolloutv1.Step, upTo uint64) []stretch {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []stretch
	for _, s := range steps {
		if s.GetStep() > upTo {
			break
		}
		began := s.GetBeganAt().AsTime()
		if live := r.steps[s.GetStep()]; live != nil && live.applied.After(began) {
			began = live.applied
		}
		list = append(list, stretch{number: s.GetStep(), weight: uint64(s.GetWeight()), began: began})
	}
	return list
}

// end retires all of a rollout. What is counted for it until its counters are closed is still
// told.
func (t *Tally) end(r *rollout, now time.Time) {
	r.ended = now
	if r.current != nil {
		r.current.retired = now
		r.current = nil
	}
	delete(t.rollouts, r.plan.key)
	t.ended = append(t.ended, r)
}

// all are the rollouts that there are counters of, by key.
func (t *Tally) all() []*rollout {
	return slices.SortedFunc(func(yield func(*rollout) bool) {
		for _, r := range t.rollouts {
			if !yield(r) {
				return
			}
		}
		for _, r := range t.ended {
			if !yield(r) {
				return
			}
		}
	}, func(a, b *rollout) int { return strings.Compare(a.plan.key, b.plan.key) })
}
