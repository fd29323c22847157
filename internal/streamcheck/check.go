package streamcheck

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tidegate/tidegate/internal/streamlog"
)

// Options say what the run did, as far as it changes what is promised.
type Options struct {
	// Gone instances were not running, or cut off, at the end: they need not converge.
	Gone []string
	// Damaged instances lost, or had damaged, what they keep over restarts.
	Damaged []string
	// ClocksSet: wall clocks were set, so ages from disk mean little.
	ClocksSet bool
	// AgeSlack is how much younger than it is a state may be said to be: at least what a
	// message can take on its way. Default: 1 s.
	AgeSlack time.Duration
	// Settled is when (by streamlog.Now) the last fault was over, Within how long after
	// that, and after the last change, everyone has it. Default: 10 s.
	Settled int64
	Within  time.Duration
	// Require these to be checked at least once, besides Complete, Ordered, Atomic and
	// Convergence.
	Require []Guarantee
}

// Check checks a run. A guarantee that is broken in one way is not reported again for what
// follows from it.
func Check(run *Run, o Options) *Report {
	o.AgeSlack = cmp.Or(o.AgeSlack, time.Second)
	o.Within = cmp.Or(o.Within, 10*time.Second)
	c := &checker{truth: run.Truth, o: o, report: newReport(o.Require)}
	instances := map[string][]boot{}
	for _, log := range run.Logs {
		c.report.Records += len(log)
		if len(log) > 0 && log[0].Event != streamlog.Start {
			c.violated(Complete, "", log[0].Environment, "the log does not begin with the start of a run", log[0])
		}
		for _, b := range boots(log) {
			instances[b.process.Instance] = append(instances[b.process.Instance], b)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(instances)) {
		list := instances[name]
		slices.SortStableFunc(list, func(a, b boot) int { return cmp.Compare(a.records[0].Mono, b.records[0].Mono) })
		c.instance(name, list)
	}
	return c.report
}

type checker struct {
	truth  *Truth
	o      Options
	report *Report
}

// instance checks the runs of one process, in their order.
func (c *checker) instance(name string, list []boot) {
	c.report.Instances++
	tracks := map[string]*track{}
	for _, b := range list {
		c.report.Runs++
		for _, t := range tracks {
			t.restart(b)
		}
		for _, e := range b.process.Environments {
			c.track(tracks, name, e, b)
		}
		last := uint64(0)
		for _, r := range b.records {
			c.report.Checked[Complete]++
			if r.Run != b.records[0].Run || r.Sequence != last+1 {
				c.violated(Complete, name, r.Environment, "records are missing, or of another process", r)
			}
			last = r.Sequence
			if r.Environment != "" {
				c.track(tracks, name, r.Environment, b).record(r)
			}
		}
	}
	if slices.Contains(c.o.Gone, name) {
		return
	}
	for _, e := range slices.Sorted(maps.Keys(tracks)) {
		tracks[e].converged()
	}
}

func (c *checker) track(tracks map[string]*track, instance, environment string, b boot) *track {
	t := tracks[environment]
	if t == nil {
		t = newTrack(c, instance, environment, b)
		tracks[environment] = t
	}
	return t
}

func (c *checker) violated(g Guarantee, instance, environment, reason string, records ...streamlog.Record) {
	c.report.add(&Violation{Guarantee: g, Instance: instance, Environment: environment, Reason: reason, Records: records})
}

// track is one environment of one instance, as its records tell.
type track struct {
	*checker
	instance, environment string
	boot                  boot
	memory                // of this run
	disk                  // over runs
	// kept is what the disk had when the run began.
	kept disk
}

// memory is what ends with the process.
type memory struct {
	// shown is what is shown.
	shown *streamlog.Record
	// left are the epochs that were shown before that of shown.
	left map[string]bool
	// ever is all that was shown.
	ever map[streamlog.Cursor]bool
	// written is the last attempt to append, pending all those that no sync covers yet.
	written *streamlog.Record
	pending []streamlog.Record
	safe    map[streamlog.Cursor]bool
	// since is the first record from which on the same state was shown.
	since *streamlog.Record
}

func newTrack(c *checker, instance, environment string, b boot) *track {
	t := &track{checker: c, instance: instance, environment: environment}
	t.restart(b)
	return t
}

// restart begins another run.
func (t *track) restart(b boot) {
	t.boot = b
	t.memory = memory{left: map[string]bool{}, ever: map[streamlog.Cursor]bool{}, safe: map[streamlog.Cursor]bool{}}
	t.begun = false
	t.kept = t.disk
	t.kept.past = maps.Clone(t.past)
}

func (t *track) violated(g Guarantee, reason string, records ...streamlog.Record) {
	t.checker.violated(g, t.instance, t.environment, reason, records...)
}

// check counts what is held to a guarantee, and reports it if it does not hold.
func (t *track) check(g Guarantee, ok bool, r streamlog.Record, format string, args ...any) {
	t.report.Checked[g]++
	if ok {
		return
	}
	records := []streamlog.Record{r}
	if t.shown != nil {
		records = []streamlog.Record{*t.shown, r}
	}
	t.violated(g, fmt.Sprintf(format, args...), records...)
}

func (t *track) record(r streamlog.Record) {
	switch r.Event {
	case streamlog.Restore, streamlog.Full, streamlog.Delta, streamlog.Advance, streamlog.Confirm:
		t.shows(r)
	case streamlog.Purge:
		t.purges()
	case streamlog.Resume:
		t.resumes(r)
	case streamlog.Append, streamlog.Sync, streamlog.Forget:
		t.writes(r)
	case streamlog.Ack:
		t.acknowledges(r)
	}
}

// shows checks what is about to be shown.
func (t *track) shows(r streamlog.Record) {
	t.persistent(r)
	t.ordered(r)
	switch r.Event {
	case streamlog.Delta:
		t.unique(r)
		t.atomic(Atomic, r)
		t.reliable(r)
	case streamlog.Advance:
		t.check(Reliable, t.shown != nil && t.shown.Cursor.SameState(*r.Cursor), r, "a revision advances together with a change")
		t.atomic(Bookmarkable, r)
	case streamlog.Full:
		t.unique(r)
		t.atomic(Atomic, r)
	case streamlog.Restore:
		t.check(Unique, t.shown == nil, r, "a state from disk replaces one that was shown")
		t.atomic(Atomic, r)
	case streamlog.Confirm:
		t.check(Atomic, t.shown != nil && *t.shown.Cursor == *r.Cursor, r, "what is confirmed is not what was shown")
	}
	t.age(r)
	if t.since == nil || !t.since.Cursor.SameState(*r.Cursor) {
		t.since = &r
	}
	t.shown = &r
	t.ever[*r.Cursor] = true
}

func (t *track) ordered(r streamlog.Record) {
	if t.shown == nil {
		return
	}
	was, is := t.shown.Cursor, r.Cursor
	if was.Epoch == is.Epoch {
		t.check(Ordered, is.Revision >= was.Revision, r, "the revision goes back from %d to %d", was.Revision, is.Revision)
		return
	}
	t.check(Ordered, !t.left[is.Epoch], r, "it is back in epoch %s, which it had left", is.Epoch)
	t.left[was.Epoch] = true
}

// unique checks a change, or a replacement.
func (t *track) unique(r streamlog.Record) {
	if t.shown == nil || t.shown.Cursor.Epoch != r.Cursor.Epoch {
		return
	}
	t.check(Unique, r.Cursor.Revision > t.shown.Cursor.Revision, r,
		"a change at revision %d is shown, though %d was shown before", r.Cursor.Revision, t.shown.Cursor.Revision)
}

// atomic checks that a state is one of the store's.
func (t *track) atomic(g Guarantee, r streamlog.Record) {
	if r.Held != r.Cursor.Digest {
		t.check(g, false, r, "what is held has the digest %s, not that of the cursor", r.Held)
		return
	}
	t.check(g, len(t.truth.having(t.environment, *r.Cursor)) > 0, r, "%s", t.explain(*r.Cursor))
}

// explain says what the store had in place of a state that it did not have.
func (t *track) explain(c streamlog.Cursor) string {
	for _, l := range slices.Backward(t.truth.lives) {
		if !l.knows(c.Epoch, c.Revision) {
			continue
		}
		if c.Revision > l.head {
			return fmt.Sprintf("the store never came to revision %d; its last is %d", c.Revision, l.head)
		}
		return fmt.Sprintf("at revision %d the store had the digest %s", c.Revision, l.sumAt(t.environment, c.Revision))
	}
	return fmt.Sprintf("the store had no epoch %s at revision %d", c.Epoch, c.Revision)
}

// reliable checks that a change leads from what was shown to what is shown, and is the
// store's own. Its base names the state: the revision may be one that the follower had not
// heard of, and is not what the change is measured from.
func (t *track) reliable(r streamlog.Record) {
	base := t.shown != nil && t.shown.Cursor.SameState(*r.Base)
	t.check(Reliable, base, r, "the change does not begin at what was shown")
	if !base {
		return
	}
	from, to := t.truth.having(t.environment, *t.shown.Cursor), t.truth.having(t.environment, *r.Cursor)
	if len(from) == 0 || len(to) == 0 || r.Cursor.Revision < t.shown.Cursor.Revision {
		return // not the store's, or out of order; said already
	}
	a, b := common(from, to)
	var want difference
	if a == b {
		want = a.difference(t.environment, t.shown.Cursor.Revision, r.Cursor.Revision)
	} else {
		want = between(t.environment, a, t.shown.Cursor.Revision, b, r.Cursor.Revision)
	}
	t.compare(r, want)
}

// common is a life that is in both lists, twice; else the last of each.
func common(from, to []*life) (a, b *life) {
	for _, l := range slices.Backward(to) {
		if slices.Contains(from, l) {
			return l, l
		}
	}
	return from[len(from)-1], to[len(to)-1]
}

// compare holds the items of a change to the difference that it should be.
func (t *track) compare(r streamlog.Record, want difference) {
	got := difference{}
	for _, i := range r.Deletes {
		got[ID{i.Kind, i.Key}] = [2]int64{i.ModRevision, 0}
	}
	for _, i := range r.Puts {
		got[ID{i.Kind, i.Key}] = [2]int64{0, i.ModRevision}
	}
	for id, w := range want {
		g, ok := got[id]
		ok = ok && g[1] == w[1] && (w[1] != 0 || g[0] == w[0])
		t.check(Reliable, ok, r, "%s of kind %d, from revision %d to %d (0: none), is not part of the change, or is otherwise", id.Key, id.Kind, w[0], w[1])
	}
	for id, g := range got {
		if _, ok := want[id]; !ok {
			t.check(Unique, false, r, "%s of kind %d at revision %d (0: deleted) is shown again", id.Key, id.Kind, g[1])
		}
	}
}

// resumes checks how a stream goes on.
func (t *track) resumes(r streamlog.Record) {
	t.report.Resumed[r.Mode]++
	if r.Mode == streamlog.ModeFull {
		return
	}
	t.check(Resumable, t.shown != nil && t.shown.Cursor.SameState(*r.Base), r, "the stream goes on from a state that is not the one shown")
	from, to := t.truth.having(t.environment, *r.Base), t.truth.having(t.environment, *r.Cursor)
	a, b := (*life)(nil), (*life)(nil)
	if len(from) > 0 && len(to) > 0 {
		a, b = common(from, to)
	}
	t.check(Resumable, a != nil && a == b, r, "no life of the store had both the state from which the stream goes on and the one to which")
}

// age checks that a state is not said to be younger than it is.
func (t *track) age(r streamlog.Record) {
	if r.AgeFrom != streamlog.FromStore && (r.AgeFrom != streamlog.FromDisk || t.o.ClocksSet) {
		return
	}
	lives := t.truth.having(t.environment, *r.Cursor)
	if len(lives) == 0 {
		return // not the store's; said already
	}
	// When it was the store's, by its own account.
	current := r.Mono - r.Age
	excess := int64(-1)
	for _, l := range lives {
		next := l.next(t.environment, r.Cursor.Revision)
		over := int64(0)
		if next != nil && next.mono != 0 {
			over = max(current-next.mono-int64(t.o.AgeSlack), 0)
		}
		if excess < 0 || over < excess {
			excess = over
		}
	}
	t.check(Age, excess <= 0, r, "it is said to be %s old, but was superseded %s earlier", time.Duration(r.Age), time.Duration(excess)+t.o.AgeSlack)
}

// converged checks that the store's last state is shown in the end.
func (t *track) converged() {
	end := streamlog.Record{Environment: t.environment}
	if n := len(t.boot.records); n > 0 {
		end = t.boot.records[n-1]
	}
	if t.shown == nil {
		t.check(Convergence, false, end, "nothing is shown")
		return
	}
	if len(t.truth.lives) == 0 {
		t.check(Convergence, false, end, "the truth is empty")
		return
	}
	l := t.truth.lives[len(t.truth.lives)-1]
	want := streamlog.Cursor{Digest: streamlog.Sum{}.String()}
	deadline := max(t.o.Settled, t.boot.records[0].Mono)
	if n := len(l.epochs); n > 0 {
		want.Epoch, deadline = l.epochs[n-1].name, max(deadline, l.epochs[n-1].mono)
	}
	if v := l.last(t.environment); v != nil {
		want.Digest, want.Revision, deadline = v.sum.String(), v.revision, max(deadline, v.mono)
	}
	is := t.shown.Cursor
	if !is.SameState(want) || is.Revision < want.Revision {
		t.check(Convergence, false, end, "the store's last state is %s", want)
		return
	}
	late := time.Duration(t.since.Mono - deadline)
	t.check(Convergence, late <= t.o.Within, *t.since, "it came to the store's last state after %s", late)
}
