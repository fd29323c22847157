// Package snapshot is the algebra of environment states: immutable snapshots, the
// deltas between them, and the digest that proves that two sides hold the same.
//
//	Apply(a, Diff(a, b)) == b
//
// for all snapshots a and b of one environment, digest included.
package snapshot

import (
	"errors"
	"iter"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// Epoch names one life of the store.
type Epoch struct{ Counter, Random uint64 }

// Digest is the 128-bit multiset hash that sync.proto defines.
type Digest struct{ Lo, Hi uint64 }

// Cursor names one state of one environment. Cursors are equal if and only if the
// states are.
type Cursor struct {
	Epoch    Epoch
	Revision int64
	Digest   Digest
}

// Proto and CursorFromProto convert; the latter fails on a digest that is not 16 bytes.
func (c Cursor) Proto() *syncv1.Cursor                 { panic("stub") }
func CursorFromProto(p *syncv1.Cursor) (Cursor, error) { panic("stub") }

// Item is one flag or segment as it travels: Data is never encoded again.
type Item struct {
	Kind        syncv1.Kind
	Key         string
	ModRevision int64
	Data        []byte
}

// ID identifies an item in its environment.
type ID struct {
	Kind syncv1.Kind
	Key  string
}

// Delta is a change from one state to another.
type Delta struct {
	Environment string
	// Full: Puts replace everything; Base is unused.
	Full         bool
	Base, Target Cursor
	Puts         []Item
	Deletes      []ID
}

var (
	// ErrBase: the delta does not start from this snapshot.
	ErrBase = errors.New("snapshot: delta starts from another state")
	// ErrDigest: the result is not the state that the delta promised. Nothing was applied.
	ErrDigest = errors.New("snapshot: digest mismatch")
	// ErrRevision: the delta would take the revision back within one epoch.
	ErrRevision = errors.New("snapshot: revision would go back")
)

// Snapshot is one state of one environment: the items as received, and their compiled
// form. Immutable; safe for concurrent use.
type Snapshot struct{}

// New returns the empty state of an environment, at revision 0 of the epoch.
func New(environment string, epoch Epoch) *Snapshot { panic("stub") }

func (s *Snapshot) Environment() string     { panic("stub") }
func (s *Snapshot) Cursor() Cursor          { panic("stub") }
func (s *Snapshot) Eval() *eval.Environment { panic("stub") }
func (s *Snapshot) Len() int                { panic("stub") }

// Bytes is the size of all items' data.
func (s *Snapshot) Bytes() int                                     { panic("stub") }
func (s *Snapshot) Item(kind syncv1.Kind, key string) (Item, bool) { panic("stub") }

// Items yields all items, in no particular order.
func (s *Snapshot) Items() iter.Seq[Item] { panic("stub") }

// Rejection is an item that could not be compiled; the last version that could be, if
// there is one, stays in force.
type Rejection struct {
	Item Item
	Err  error
}

// Rejections are the items of this state that could not be used.
func (s *Snapshot) Rejections() []Rejection { panic("stub") }

// Apply returns the state after a delta that came from elsewhere, verified: its digest
// is the one promised. On error (ErrBase, ErrDigest, ErrRevision) there is no new state.
// Time is proportional to the delta.
func (s *Snapshot) Apply(d Delta) (*Snapshot, error) { panic("stub") }

// Next returns the state after changes made here, at the source, and the delta that
// leads to it.
func (s *Snapshot) Next(revision int64, puts []Item, deletes []ID) (*Snapshot, Delta) { panic("stub") }

// Advance returns the same state at a later revision, at which nothing of it changed.
func (s *Snapshot) Advance(revision int64) *Snapshot { panic("stub") }

// Diff returns the delta from a to b.
func Diff(a, b *Snapshot) Delta { panic("stub") }

// Full returns b as a delta that replaces everything.
func (s *Snapshot) Full() Delta { panic("stub") }
