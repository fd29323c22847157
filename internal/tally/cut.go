package tally

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
)

// Bounds of what waits for Cut. Beyond them windows are not closed, but get longer.
const (
	maxPending      = 16
	maxPendingBytes = 16 << 20
)

// pending are windows that no batch has yet.
type pending struct {
	windows []*telemetryv1.Window
	bytes   int
}

func (p *pending) full() bool {
	return len(p.windows) >= maxPending || p.bytes >= maxPendingBytes
}

// Turn ends the window under way, if a whole second is over, and returns it; nil if not, or
// if nothing was counted. Windows begin and end with whole seconds: they are one long where
// Turn is called at the end of each, and longer where it is called late. The next batch has
// it, too, and so it must not be modified.
func (t *Tally) Turn(now time.Time) *telemetryv1.Window {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.turn(now)
}

func (t *Tally) turn(now time.Time) *telemetryv1.Window {
	end := now.UTC().Truncate(time.Second)
	began := t.began
	switch {
	case began.IsZero():
		t.began, t.told = end, end
		return nil
	case t.pending.full():
		return nil
	case began.Sub(end) > time.Second: // the clock was set back
		t.began = end
		end = began.Add(time.Second)
	case !end.After(began):
		return nil
	default:
		t.began = end
	}
	t.account.completeTo = t.began
	w := windowOf(began, end)
	for _, r := range t.all() {
		w.Cells = append(w.Cells, t.drainRollout(r, now, false)...)
	}
	t.ended = slices.DeleteFunc(t.ended, func(r *rollout) bool { return r.closed })
	if len(w.Cells) == 0 {
		return nil
	}
	t.pending.windows = append(t.pending.windows, w)
	t.pending.bytes += proto.Size(w)
	return w
}

// windowOf is a window without cells. One that is longer than there may be, because the process
// slept or the clock was set, begins later: when in it something was, nobody knows.
func windowOf(began, end time.Time) *telemetryv1.Window {
	if end.Sub(began) > maxLength {
		began = end.Add(-maxLength)
	}
	return &telemetryv1.Window{BeganAt: timestamppb.New(began), Length: durationpb.New(end.Sub(began))}
}

// part takes what the window under way has counted so far; it goes on.
func (t *Tally) part(now time.Time) {
	end := now.UTC().Truncate(time.Second).Add(time.Second)
	began := t.began
	if end.Sub(began) < time.Second { // the clock was set back
		end = began.Add(time.Second)
	}
	w := windowOf(began, end)
	for _, r := range t.all() {
		w.Cells = append(w.Cells, t.drainRollout(r, now, true)...)
	}
	if len(w.Cells) > 0 {
		t.pending.windows = append(t.pending.windows, w)
	}
}

// drainRollout takes what was counted for a rollout, by step and arm, and, unless it is in the
// middle of a window, closes what is not needed any more.
func (t *Tally) drainRollout(r *rollout, now time.Time, part bool) []*telemetryv1.Cell {
	r.mu.Lock()
	defer r.mu.Unlock()
	var cells []*telemetryv1.Cell
	for _, number := range slices.Sorted(maps.Keys(r.steps)) {
		s := r.steps[number]
		over := !part && (!s.retired.IsZero() && now.Sub(s.retired) > t.options.Settling || s.idle > idleWindows)
		drained := t.drain(s, over, part)
		if !part {
			s.idle++
		}
		if len(drained) > 0 || s.lanes != nil {
			s.idle = 0
		}
		for _, c := range drained {
			if c.GetArm() == telemetryv1.Arm_ARM_TREATMENT {
				r.evaluated[treatment] += c.GetExposures()
			} else {
				r.evaluated[control] += c.GetExposures()
			}
		}
		cells = append(cells, drained...)
		if over {
			delete(r.steps, number)
		}
	}
	r.closed = !part && !r.ended.IsZero() && len(r.steps) == 0
	return cells
}

// idleWindows is after how many windows without anything the counters of a step that was over
// are closed: more than there are in a period.
const idleWindows = 2 * period

// discard closes all of a rollout, and declares lost what it counted since the last window.
func (t *Tally) discard(r *rollout) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.steps {
		for _, c := range t.drain(s, true, false) {
			t.lose(Late, batchcheck.Contributions(c))
		}
	}
	r.steps, r.closed = map[uint64]*step{}, true
}

// Cut ends the window under way, as Turn does, and returns what was counted since the last
// Cut, in batches without a sender: usually one, more where it would be larger than
// Options.BatchBytes. While there is a rollout that is not over there is one at least, if
// only to say up to when everything was told. Both arms of a step are in one batch.
//
// What is in a batch is in no other. The caller owns it; what it loses of it, it declares.
func (t *Tally) Cut(now time.Time) []*telemetryv1.Batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cut(now, false)
}

// Flush is Cut for who must not wait for the end of the window: whatever was counted before
// the call is in the batches. The window under way is told in parts then, each with the
// exposures and the observations since the one before; subjects still count once in it.
func (t *Tally) Flush(now time.Time) []*telemetryv1.Batch {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cut(now, true)
}

func (t *Tally) cut(now time.Time, part bool) []*telemetryv1.Batch {
	told := t.account.completeTo
	t.turn(now)
	if part {
		t.part(now)
	}
	b := batcher{limit: t.options.BatchBytes}
	for _, w := range t.pending.windows {
		b.window(w)
	}
	t.pending = pending{}
	for _, e := range t.evaluations(now) {
		b.evaluations(e)
	}
	exposures := t.account.drained + t.lateExposures.Load() // before the losses, which have the late ones
	var lost uint64
	for i := range t.losses {
		lost += t.losses[i].Load()
	}
	if len(b.batches) == 0 {
		if len(t.rollouts) == 0 && lost == t.account.lost {
			return nil
		}
		b.next()
	}
	t.account.lost, t.account.exposures = lost, exposures
	for i, batch := range b.batches {
		counted := batchcheck.Counted(batch)
		t.account.counted += counted
		batch.Environment = t.options.Environment
		batch.Tally = &telemetryv1.Tally{Emitted: t.account.counted + lost, Lost: lost, Counted: counted}
		to := told
		if i == len(b.batches)-1 {
			to = t.account.completeTo
		}
		if !to.IsZero() {
			batch.CompleteTo = timestamppb.New(to)
		}
	}
	return b.batches
}

// maxRollouts is how many rollouts a batch may be of, see telemetryv1.Batch.
const maxRollouts = 32

// batcher fills batches, each up to about a limit.
type batcher struct {
	limit    int
	batches  []*telemetryv1.Batch
	size     int             // of the last
	rollouts map[string]bool // in the last
}

func (b *batcher) next() *telemetryv1.Batch {
	batch := &telemetryv1.Batch{}
	b.batches, b.size, b.rollouts = append(b.batches, batch), 0, map[string]bool{}
	return batch
}

// cells returns the batch that takes n bytes of cells of a rollout, as fit does.
func (b *batcher) cells(rollout string, n int) (batch *telemetryv1.Batch, begun bool) {
	if len(b.batches) > 0 && !b.rollouts[rollout] && len(b.rollouts) == maxRollouts {
		b.next()
		begun = true
	}
	batch, other := b.fit(n)
	b.rollouts[rollout] = true
	return batch, begun || other
}

// fit returns the batch that takes n bytes more, and tells whether it was begun for them.
func (b *batcher) fit(n int) (batch *telemetryv1.Batch, begun bool) {
	if len(b.batches) == 0 || b.size > 0 && b.size+n > b.limit {
		batch, begun = b.next(), true
	} else {
		batch = b.batches[len(b.batches)-1]
	}
	b.size += n
	return batch, begun
}

// window adds a window: whole, or, where it is large, as several of the same time, with both
// arms of a step in one.
func (b *batcher) window(w *telemetryv1.Window) {
	const overhead = 32 // of a window
	var part *telemetryv1.Window
	for cells := w.GetCells(); len(cells) > 0; {
		n := 1
		for n < len(cells) && cells[n].GetRollout() == cells[0].GetRollout() && cells[n].GetStep() == cells[0].GetStep() {
			n++
		}
		size := overhead
		for _, c := range cells[:n] {
			size += proto.Size(c)
		}
		batch, begun := b.cells(cells[0].GetRollout(), size)
		if begun || part == nil {
			part = &telemetryv1.Window{BeganAt: w.GetBeganAt(), Length: w.GetLength()}
			batch.Windows = append(batch.Windows, part)
		}
		part.Cells = append(part.Cells, cells[:n]...)
		cells = cells[n:]
	}
}

func (b *batcher) evaluations(e *telemetryv1.Evaluations) {
	batch, _ := b.fit(proto.Size(e))
	batch.Evaluations = append(batch.Evaluations, e)
}

// served names what was served.
type served struct{ flag, variant string }

// evaluations takes what all flags served since they were told last, by flag and variant; nil
// if that was not long ago.
func (t *Tally) evaluations(now time.Time) []*telemetryv1.Evaluations {
	switch {
	case t.options.EvaluationsEvery < 0:
		return nil
	case t.tell:
	case now.Sub(t.told) >= 0 && now.Sub(t.told) < t.options.EvaluationsEvery:
		return nil
	}
	t.told, t.tell = now, false
	sums := map[served]uint64{}
	for _, r := range t.all() {
		for a, variant := range [arms]string{control: r.plan.control, treatment: r.plan.treatment} {
			if n := r.evaluated[a]; n > 0 && !t.options.Reported {
				sums[served{r.plan.flagKey, variant}] += n
			}
		}
		r.evaluated = [arms]uint64{}
	}
	t.drainFlags(sums, now)
	list := make([]*telemetryv1.Evaluations, 0, len(sums))
	for s, n := range sums {
		list = append(list, &telemetryv1.Evaluations{FlagKey: s.flag, Variant: s.variant, Count: min(n, maxCount), LastAt: timestamppb.New(now)})
	}
	slices.SortFunc(list, func(a, b *telemetryv1.Evaluations) int {
		return cmp.Or(cmp.Compare(a.GetFlagKey(), b.GetFlagKey()), cmp.Compare(a.GetVariant(), b.GetVariant()))
	})
	return list
}

// Tell has the next Cut tell evaluations, however short a time ago it was done last.
func (t *Tally) Tell() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell = true
}

// drainFlags takes what was counted by flag, and forgets flags that are gone.
func (t *Tally) drainFlags(sums map[served]uint64, now time.Time) {
	t.flagsMu.Lock()
	defer t.flagsMu.Unlock()
	env := t.view.Load().env
	for key, c := range t.flags {
		c.drainInto(sums)
		if env.Flag(key) == nil {
			delete(t.flags, key)
			t.replaced = append(t.replaced, c)
		}
	}
	t.replaced = slices.DeleteFunc(t.replaced, func(c *flagCounts) bool {
		c.drainInto(sums)
		if c.since.IsZero() {
			c.since = now
		}
		return now.Sub(c.since) > t.options.Settling
	})
}

func (c *flagCounts) drainInto(sums map[served]uint64) {
	for i, n := range c.drain() {
		switch {
		case n == 0:
		case i == 0:
			sums[served{flag: c.key}] += n
		default:
			sums[served{c.key, c.variants[i-1]}] += n
		}
	}
}
