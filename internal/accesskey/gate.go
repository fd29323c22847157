package accesskey

import (
	"crypto/subtle"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// maxKnown bounds what a Gate remembers: more secrets than an environment has in use.
const maxKnown = 4096

// Gate tells what callers may evaluate in one environment, by what they present. It remembers
// who was let in, with what they presented, so that the next call compares little: that, the
// state, and the time. (In memory, where the transport has it, too: to hash it each time would
// cost more than all the rest.) How long that takes tells nothing of what would be right: it is
// found by a hash with a seed that nobody knows, and compared as a whole. Nil lets everybody in,
// whatever they present.
type Gate struct {
	required bool
	seed     maphash.Seed
	known    atomic.Pointer[map[uint64]*Visitor]
	mu       sync.Mutex // taken to change known
	uses     Uses
}

// NewGate makes a gate. required: without a key nobody is let in. Otherwise one that is
// presented must be good all the same.
func NewGate(required bool) *Gate { return &Gate{required: required, seed: maphash.MakeSeed()} }

// Uses are those of the keys that were let in; nil where everybody is.
func (g *Gate) Uses() *Uses {
	if g == nil {
		return nil
	}
	return &g.uses
}

// Visitor is who presents something at a gate; nil: nobody, where that is let in. It is found
// once for a call, or for a stream, and asked for its right at each answer. It is safe for
// concurrent use.
type Visitor struct {
	gate   *Gate
	header []byte
	key    Presented
	found  atomic.Pointer[finding]
	ticket atomic.Pointer[string] // once it was asked for
}

// finding is what was found in one state.
type finding struct {
	state    snapshot.Cursor
	revision int64 // of the key
	right    *Right
	until    time.Time // zero: for ever
	use      *use
}

// Visitor finds who presents the values of the header. The error is a status.
func (g *Gate) Visitor(values []string) (*Visitor, error) {
	if g == nil || len(values) == 0 && !g.required {
		return nil, nil
	}
	if known := g.known.Load(); known != nil && len(values) == 1 {
		v := (*known)[maphash.String(g.seed, values[0])]
		if v != nil && v.presents(values[0]) {
			return v, nil
		}
	}
	p, err := FromHeader(values, true)
	if err != nil {
		return nil, err
	}
	return &Visitor{gate: g, header: []byte(values[0]), key: *p}, nil
}

// presents tells whether a header is the visitor's.
func (v *Visitor) presents(header string) bool {
	var room [128]byte // on the stack
	return subtle.ConstantTimeCompare(v.header, append(room[:0], header...)) == 1
}

// Right is what the visitor may hear of a state of the gate's environment, and until when; zero: as
// long as the state stays. The error is a status. The same right is the same pointer, for as
// long as the key is not written anew.
func (v *Visitor) Right(s *snapshot.Snapshot, now time.Time) (right *Right, until time.Time, err error) {
	if v == nil {
		return nil, until, nil
	}
	f := v.found.Load()
	if f == nil || !f.state.SameState(s.Cursor()) || !f.until.IsZero() && !now.Before(f.until) {
		if f, err = v.look(s, now, f); err != nil {
			return nil, until, err
		}
	}
	f.use.note()
	return f.right, f.until, nil
}

// look finds the key in a state.
func (v *Visitor) look(s *snapshot.Snapshot, now time.Time, before *finding) (*finding, error) {
	g, d := v.key.grant(s, now)
	if d == nil {
		d = g.denies(Evaluate)
	}
	if d != nil {
		return nil, d.Status()
	}
	f := &finding{state: s.Cursor(), revision: g.revision, until: g.until, use: v.gate.uses.of(v.key.ID)}
	if before != nil && before.revision == g.revision && before.state.Epoch == f.state.Epoch {
		f.right = before.right
	} else {
		f.right = rightOf(&g)
	}
	if v.found.Swap(f) == nil && v.header != nil { // a ticket is presented once, for long
		v.gate.remember(v)
	}
	return f, nil
}

// remember keeps who was let in for the calls to come. Of too many, all are forgotten.
func (g *Gate) remember(v *Visitor) {
	hash := maphash.Bytes(g.seed, v.header)
	g.mu.Lock()
	defer g.mu.Unlock()
	next := map[uint64]*Visitor{hash: v}
	if known := g.known.Load(); known != nil && len(*known) < maxKnown {
		next = maps.Clone(*known)
		next[hash] = v
	}
	g.known.Store(&next)
}
