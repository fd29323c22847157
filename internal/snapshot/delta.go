package snapshot

import (
	"errors"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// Delta is a change from one state to another. Its slices and their data are shared and
// must not be modified.
type Delta struct {
	Environment string
	// Full: Puts replace everything; Base is unused.
	Full         bool
	Base, Target Cursor
	Puts         []Item
	Deletes      []Deletion
	// Urgent: a flag is switched off, or a rollout shut. It is not held back to be sent with
	// more.
	Urgent bool
}

// Deletion takes away one item.
type Deletion struct {
	ID
	// ModRevision of the item that is taken away.
	ModRevision int64
}

// itemOverhead is what an item takes beside its key and data, here and on the wire,
// rounded up.
const itemOverhead = 64

// Bytes is about what the delta takes in memory and on the wire.
func (d Delta) Bytes() int {
	n := itemOverhead
	for i := range d.Puts {
		n += itemOverhead + len(d.Puts[i].Key) + len(d.Puts[i].Data)
	}
	for i := range d.Deletes {
		n += itemOverhead + len(d.Deletes[i].Key)
	}
	return n
}

var (
	// ErrBase says that the delta does not start from this snapshot.
	ErrBase = errors.New("snapshot: delta starts from another state")
	// ErrDigest says that the result is not the state that the delta promised. Nothing was applied.
	ErrDigest = errors.New("snapshot: digest mismatch")
	// ErrRevision says that the delta would take the revision back within one epoch.
	ErrRevision = errors.New("snapshot: revision would go back")
	// ErrMalformed says that the delta, or the chunks in which it came, make no sense by themselves.
	ErrMalformed = errors.New("snapshot: malformed delta")
)

// Diff returns the delta from a to b. It takes time in proportion to the difference if
// one of them came from the other. States of different epochs are not compared: then it
// is b in full.
func Diff(a, b *Snapshot) Delta {
	if a.cursor.Epoch != b.cursor.Epoch {
		return b.Full()
	}
	d := Delta{Environment: b.environment, Base: a.cursor, Target: b.cursor}
	compare(a.root, b.root, 0, func(was, is *entry) {
		if is != nil {
			d.Puts = append(d.Puts, is.Item)
			d.Urgent = d.Urgent || change{was, is}.urgent(a.eval, b.eval)
		} else {
			d.Deletes = append(d.Deletes, Deletion{ID: was.id(), ModRevision: was.ModRevision})
		}
	})
	return d
}

// urgent tells whether the change takes away what may do harm: a flag that was in force and
// enabled is not enabled any more, or a rollout is shut. What is deleted is neither: nobody does
// that in a hurry.
func (c change) urgent(before, after *eval.Environment) bool {
	if c.was == nil || c.is == nil {
		return false
	}
	switch c.is.Kind {
	case syncv1.Kind_KIND_FLAG:
		was, is := before.Flag(c.is.Key), after.Flag(c.is.Key)
		return was != nil && is != nil && was.Enabled() && !is.Enabled()
	case syncv1.Kind_KIND_ROLLOUT:
		was, err := c.was.Rollout()
		if err != nil {
			return false
		}
		is, err := c.is.Rollout()
		return err == nil && rollout.Shut(was, is)
	}
	return false
}

// Full returns s as a delta that replaces everything.
func (s *Snapshot) Full() Delta {
	d := Delta{Environment: s.environment, Full: true, Target: s.cursor, Puts: make([]Item, 0, s.len)}
	for item := range s.Items() {
		d.Puts = append(d.Puts, item)
	}
	return d
}
