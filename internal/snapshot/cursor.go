package snapshot

import (
	"errors"
	"fmt"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// Epoch names one life of the store.
type Epoch struct{ Counter, Random uint64 }

// String is COUNTER-RANDOM, such as 1-00c0ffee00c0ffee.
func (e Epoch) String() string { return fmt.Sprintf("%d-%016x", e.Counter, e.Random) }

// First tells whether it is the first of a store, which the store got when it was made: every other
// one was begun by somebody, who meant it.
func (e Epoch) First() bool { return e.Counter == 1 }

// OfStore tells whether it is an epoch of a store: those of files have the counter 0.
func (e Epoch) OfStore() bool { return e.Counter != 0 }

// Strange tells whether a state of this epoch is not to replace one of another, which is of another
// store for all that is known: nobody has said that this one shall be followed.
func (e Epoch) Strange(held Epoch) bool { return e.First() && held.OfStore() && held != e }

// Proto converts to the wire form.
func (e Epoch) Proto() *syncv1.Epoch { return &syncv1.Epoch{Counter: e.Counter, Random: e.Random} }

// Cursor names one state of one environment. The same state has one cursor at each
// revision that left it as it was: see [Cursor.SameState].
type Cursor struct {
	Epoch    Epoch
	Revision int64
	Digest   Digest
}

// SameState tells whether both cursors name the same items of the same epoch. Their
// revisions may differ: a quiet environment advances without changing.
func (c Cursor) SameState(o Cursor) bool { return c.Epoch == o.Epoch && c.Digest == o.Digest }

// String is EPOCH/REVISION/DIGEST.
func (c Cursor) String() string {
	return fmt.Sprintf("%s/%d/%s", c.Epoch, c.Revision, c.Digest)
}

// Proto converts to the wire form.
func (c Cursor) Proto() *syncv1.Cursor {
	return &syncv1.Cursor{
		Epoch:    c.Epoch.Proto(),
		Revision: c.Revision,
		Digest:   c.Digest.Bytes(),
	}
}

// CursorFromProto converts from the wire form. It fails on a missing cursor or epoch, a
// negative revision, and a digest that is not 16 bytes long.
func CursorFromProto(p *syncv1.Cursor) (Cursor, error) {
	switch {
	case p == nil:
		return Cursor{}, errors.New("cursor is missing")
	case p.GetEpoch() == nil:
		return Cursor{}, errors.New("cursor has no epoch")
	case p.GetRevision() < 0:
		return Cursor{}, fmt.Errorf("cursor has the negative revision %d", p.GetRevision())
	}
	digest, err := DigestFromBytes(p.GetDigest())
	if err != nil {
		return Cursor{}, err
	}
	return Cursor{
		Epoch:    Epoch{Counter: p.GetEpoch().GetCounter(), Random: p.GetEpoch().GetRandom()},
		Revision: p.GetRevision(),
		Digest:   digest,
	}, nil
}
