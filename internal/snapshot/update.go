package snapshot

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

// A chunk is closed when it holds this much; so a message is at most ChunkBytes and one
// item large.
const (
	ChunkBytes = 64 << 10
	ChunkItems = 256
)

// Updates yields the messages in which the delta travels, made as they are asked for:
// one, if it is small.
func (d Delta) Updates() iter.Seq[*syncv1.Update] {
	begin := &syncv1.Begin{Mode: syncv1.Begin_MODE_FULL, Target: d.Target.Proto()}
	if !d.Full {
		begin.Mode, begin.Base = syncv1.Begin_MODE_DELTA, d.Base.Proto()
	}
	return chunks(&syncv1.Update{Environment: d.Environment, Begin: begin, Urgent: d.Urgent}, slices.Values(d.Puts), d.Deletes)
}

// Updates yields the messages in which the whole state travels, made as they are asked
// for, so that however large it is no more than one is held at a time.
func (s *Snapshot) Updates() iter.Seq[*syncv1.Update] {
	begin := &syncv1.Begin{Mode: syncv1.Begin_MODE_FULL, Target: s.cursor.Proto()}
	return chunks(&syncv1.Update{Environment: s.environment, Begin: begin}, s.Items(), nil)
}

// Unchanged is the message which says that a follower at base has this very state.
func (s *Snapshot) Unchanged(base Cursor) *syncv1.Update {
	return &syncv1.Update{
		Environment: s.environment,
		Begin:       &syncv1.Begin{Mode: syncv1.Begin_MODE_NONE, Base: base.Proto(), Target: s.cursor.Proto()},
		Commit:      &syncv1.Commit{Cursor: s.cursor.Proto()},
	}
}

// chunks fills up first, and makes more as needed.
func chunks(first *syncv1.Update, puts iter.Seq[Item], deletes []Deletion) iter.Seq[*syncv1.Update] {
	return func(yield func(*syncv1.Update) bool) {
		chunk := &syncv1.Update{Environment: first.Environment, Begin: first.Begin, Urgent: first.Urgent}
		size := 0
		// room makes room for one more item; false: nobody asks for more.
		room := func() bool {
			if size < ChunkBytes && len(chunk.Puts)+len(chunk.Deletes) < ChunkItems {
				return true
			}
			full := chunk
			chunk, size = &syncv1.Update{Environment: first.Environment}, 0
			return yield(full)
		}
		for item := range puts {
			if !room() {
				return
			}
			chunk.Puts = append(chunk.Puts, &syncv1.Put{
				Kind: item.Kind, Key: item.Key, ModRevision: item.ModRevision, Data: item.Data,
			})
			size += itemOverhead + len(item.Key) + len(item.Data)
		}
		for _, d := range deletes {
			if !room() {
				return
			}
			chunk.Deletes = append(chunk.Deletes, &syncv1.Delete{Kind: d.Kind, Key: d.Key, ModRevision: d.ModRevision})
			size += itemOverhead + len(d.Key)
		}
		chunk.Commit = &syncv1.Commit{Cursor: first.Begin.Target}
		yield(chunk)
	}
}

// Assembler makes deltas of the Updates of one environment, in the order in which they
// came. The zero Assembler has no bound.
type Assembler struct {
	// MaxBytes bounds what is staged, see [Delta.Bytes]; 0: no bound.
	MaxBytes int

	open   bool
	mode   syncv1.Begin_Mode
	staged Delta
	bytes  int
}

// Open tells whether an Update has begun and not been committed.
func (a *Assembler) Open() bool { return a.open }

// Reset drops what is staged.
func (a *Assembler) Reset() { *a = Assembler{MaxBytes: a.MaxBytes} }

// Add takes one Update. With its commit it returns the delta, not verified but for its
// form, and done. After an error (ErrMalformed) what was staged is gone. The items'
// data is u's own: it must not be modified afterwards.
func (a *Assembler) Add(u *syncv1.Update) (d Delta, done bool, err error) {
	if err := a.add(u); err != nil {
		a.Reset()
		return Delta{}, false, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if u.GetCommit() == nil && !fault.Planted("show-before-commit") {
		return Delta{}, false, nil
	}
	d = a.staged
	a.Reset()
	return d, true, nil
}

func (a *Assembler) add(u *syncv1.Update) error {
	if err := a.begin(u); err != nil {
		return err
	}
	a.staged.Urgent = a.staged.Urgent || u.GetUrgent()
	for _, p := range u.GetPuts() {
		a.bytes += itemOverhead + len(p.GetKey()) + len(p.GetData())
		a.staged.Puts = append(a.staged.Puts, Item{
			Kind: p.GetKind(), Key: p.GetKey(), ModRevision: p.GetModRevision(), Data: p.GetData(),
		})
	}
	for _, d := range u.GetDeletes() {
		a.bytes += itemOverhead + len(d.GetKey())
		a.staged.Deletes = append(a.staged.Deletes, Deletion{
			ID: ID{Kind: d.GetKind(), Key: d.GetKey()}, ModRevision: d.GetModRevision(),
		})
	}
	switch {
	case a.MaxBytes > 0 && a.bytes > a.MaxBytes:
		return fmt.Errorf("an update of more than %d bytes", a.MaxBytes)
	case a.mode == syncv1.Begin_MODE_FULL && len(a.staged.Deletes) > 0:
		return errors.New("an update that replaces everything deletes items")
	case a.mode == syncv1.Begin_MODE_NONE && len(a.staged.Puts)+len(a.staged.Deletes) > 0:
		return errors.New("an update that changes nothing has items")
	}
	if u.GetCommit() == nil {
		return nil
	}
	c, err := CursorFromProto(u.GetCommit().GetCursor())
	switch {
	case err != nil:
		return fmt.Errorf("commit: %w", err)
	case c != a.staged.Target:
		return fmt.Errorf("an update towards %s commits %s", a.staged.Target, c)
	}
	return nil
}

// begin opens the Update that u begins, or checks that it continues the open one.
func (a *Assembler) begin(u *syncv1.Update) error {
	b := u.GetBegin()
	switch {
	case b == nil && !a.open:
		return errors.New("an update goes on that has not begun")
	case b == nil && u.GetEnvironment() != a.staged.Environment:
		return fmt.Errorf("an update of environment %q goes on with a chunk of %q", a.staged.Environment, u.GetEnvironment())
	case b == nil:
		return nil
	case a.open:
		return errors.New("an update begins inside another")
	}
	a.open, a.mode = true, b.GetMode()
	a.staged = Delta{Environment: u.GetEnvironment(), Full: a.mode == syncv1.Begin_MODE_FULL}
	var err error
	if a.staged.Target, err = CursorFromProto(b.GetTarget()); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	switch a.mode {
	case syncv1.Begin_MODE_FULL:
		return nil
	case syncv1.Begin_MODE_DELTA, syncv1.Begin_MODE_NONE:
		if a.staged.Base, err = CursorFromProto(b.GetBase()); err != nil {
			return fmt.Errorf("base: %w", err)
		}
		if a.mode == syncv1.Begin_MODE_NONE && !a.staged.Base.SameState(a.staged.Target) {
			return fmt.Errorf("an update that changes nothing leads from %s to %s", a.staged.Base, a.staged.Target)
		}
		return nil
	default:
		return fmt.Errorf("an update of the unknown mode %d", a.mode)
	}
}
