package streamcheck

import (
	"slices"

	"github.com/tidegate/tidegate/internal/streamlog"
)

// disk is what an environment of an instance with a state directory must have after a
// restart.
type disk struct {
	// appended is the last state that reached the operating system, acked the last one
	// that was acknowledged.
	appended, acked *streamlog.Record
	// forgotten: nothing may be there.
	forgotten *streamlog.Record
	// epochs that were appended before that of appended.
	past map[string]bool
	// begun: the run has shown something.
	begun bool
}

// writes notes what the journal did.
func (t *track) writes(r streamlog.Record) {
	if r.Event == streamlog.Append {
		t.written = &r
		if r.Error != "" {
			return
		}
		if t.appended != nil && t.appended.Cursor.Epoch != r.Cursor.Epoch {
			if t.past == nil {
				t.past = map[string]bool{}
			}
			t.past[t.appended.Cursor.Epoch] = true
		}
		t.appended, t.forgotten = &r, nil
		t.pending = append(t.pending, r)
		return
	}
	if r.Error != "" {
		return
	}
	if r.Event == streamlog.Forget {
		t.forgotten = &r
		return
	}
	covered := 0
	for _, p := range t.pending {
		if p.Sequence > r.Covers {
			break
		}
		t.safe[*p.Cursor] = true
		covered++
	}
	t.pending = t.pending[covered:]
}

// persistent checks that what is shown was written before, and that what is there at the
// start is no less than what was written.
func (t *track) persistent(r streamlog.Record) {
	if !t.boot.process.Durable {
		return
	}
	if !t.begun {
		t.begun = true
		t.restarted(r)
	}
	switch r.Event {
	case streamlog.Restore:
		t.safe[*r.Cursor] = true
	case streamlog.Full, streamlog.Delta, streamlog.Advance:
		t.check(Durable, t.written != nil && *t.written.Cursor == *r.Cursor, r, "it was not written before it is shown")
	}
}

// restarted checks the first state of a run.
func (t *track) restarted(r streamlog.Record) {
	if slices.Contains(t.o.Damaged, t.instance) {
		return
	}
	if t.kept.forgotten != nil {
		t.report.Checked[Durable]++
		if r.Event == streamlog.Restore {
			t.violated(Durable, "it was forgotten, and came back from disk", *t.kept.forgotten, r)
		}
		return
	}
	t.noLess(Durable, t.kept.acked, r)
	t.noLess(Ordered, t.kept.appended, r)
}

// noLess checks that a run does not begin with less than an earlier one had.
func (t *track) noLess(g Guarantee, had *streamlog.Record, r streamlog.Record) {
	if had == nil {
		return
	}
	t.report.Checked[g]++
	switch {
	case r.Event != streamlog.Restore:
		t.violated(g, "after a restart nothing was there", *had, r)
	case r.Cursor.Epoch == had.Cursor.Epoch && r.Cursor.Revision < had.Cursor.Revision:
		t.violated(g, "after a restart an earlier state was there", *had, r)
	case r.Cursor.Epoch != had.Cursor.Epoch && t.kept.past[r.Cursor.Epoch]:
		t.violated(g, "after a restart a state of an earlier epoch was there", *had, r)
	}
}

// purges forgets: what comes next may be earlier.
func (t *track) purges() {
	t.shown, t.since, t.left = nil, nil, map[string]bool{}
	t.appended, t.acked, t.past = nil, nil, nil
}

// acknowledges checks what is about to be acknowledged.
func (t *track) acknowledges(r streamlog.Record) {
	t.check(Durable, t.ever[*r.Cursor], r, "what is acknowledged was never shown")
	if t.boot.process.Durable {
		t.check(Durable, t.safe[*r.Cursor], r, "what is acknowledged was not synced to disk before")
	}
	t.acked = &r
}
