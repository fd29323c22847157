package collector

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// ErrNoRoom is what a Judge returns if the effects that there must be do not fit the room of
// the transaction: it is asked again with fewer batches. A single batch for which there is no
// room is refused.
var ErrNoRoom = errors.New("collector: not enough room in the transaction")

// Judge draws the consequences of what is counted. All calls come from one goroutine, and hold
// up the collector.
//
// A judge may keep what it knows in memory, if it does not take the effects of Judge for done
// before Committed is called. Load is called before the first Judge of a term, and again
// whenever the effects of the last one did not come to be, or may not have: whatever its cause,
// a compare of the judge's that did not hold, an outage, an error of its own.
type Judge interface {
	// Load forgets everything, and reads it from the store. An error is tried again after a while.
	Load(ctx context.Context, term leader.Term) error
	// Judge returns what to commit together with the count. It is called at least once an
	// interval, also with no batches at all. The same group may come again, after a Load. What is
	// of rollouts, steps or metrics that are not there, or no longer, is set aside: rollouts end
	// while telemetry of them is under way. An error other than ErrNoRoom is tried again after a
	// while: nobody is acknowledged until then, so no content of a batch may lead to one.
	Judge(ctx context.Context, g *Group) (Effects, error)
	// Committed says that the effects of the last Judge are in the store, as of the revision. It
	// is not called where there were none.
	Committed(revision int64)
}

// Group is what one transaction counts.
type Group struct {
	Term leader.Term
	// Time by this server's clock.
	Time time.Time
	// Batches that are counted, none of them before and none twice; those of one sender in
	// their order. They were checked (see batchcheck), and must not be modified.
	Batches []*telemetryv1.Batch
	// Room is what the transaction has left for the effects: for 40 keys and half a mebibyte,
	// at least.
	Room Room
}

// Room is how much a transaction takes.
type Room struct{ Ops, Compares, Bytes int }

// Effects are what the transaction does beside the counting.
type Effects struct {
	// Compares must hold, else nothing is committed and the judge is asked again on the new
	// state. The term's fence is among them already.
	Compares []store.Compare
	Ops      []store.Op
	// SetAside is the number of cells that belong to nothing that is there.
	SetAside int
}

// Count is what a group has of one rollout.
type Count struct {
	Environment, Rollout string
	// Parts by batch, in the group's order: those that have something of the rollout.
	Parts []Part
}

// Part is what one batch has of one rollout.
type Part struct {
	Sender *telemetryv1.Sender
	// Windows with the rollout's cells alone.
	Windows []*telemetryv1.Window
	Trips   []*telemetryv1.Trip
}

// Counts sorts what was counted by environment and rollout.
func (g *Group) Counts() []Count {
	type key struct{ environment, rollout string }
	counts := make(map[key]*Count)
	for _, b := range g.Batches {
		parts := make(map[string]*Part)
		part := func(rollout string) *Part {
			p := parts[rollout]
			if p == nil {
				p = &Part{Sender: b.GetSender()}
				parts[rollout] = p
			}
			return p
		}
		for _, w := range b.GetWindows() {
			for rollout, cells := range cellsOf(w) {
				p := part(rollout)
				p.Windows = append(p.Windows, &telemetryv1.Window{BeganAt: w.GetBeganAt(), Length: w.GetLength(), Cells: cells})
			}
		}
		for _, t := range b.GetTrips() {
			p := part(t.GetRollout())
			p.Trips = append(p.Trips, t)
		}
		for rollout, p := range parts {
			k := key{b.GetEnvironment(), rollout}
			if counts[k] == nil {
				counts[k] = &Count{Environment: k.environment, Rollout: k.rollout}
			}
			counts[k].Parts = append(counts[k].Parts, *p)
		}
	}
	list := make([]Count, 0, len(counts))
	for _, c := range counts {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Rollout, b.Rollout))
	})
	return list
}

func cellsOf(w *telemetryv1.Window) map[string][]*telemetryv1.Cell {
	cells := make(map[string][]*telemetryv1.Cell)
	for _, c := range w.GetCells() {
		cells[c.GetRollout()] = append(cells[c.GetRollout()], c)
	}
	return cells
}

// size of a transaction, as the store counts it: keys and values, and some for its encoding of
// each.
func sizeOf(compares []store.Compare, ops []store.Op) int {
	const overhead = 32
	size := 0
	for _, c := range compares {
		size += len(c.Key) + overhead
	}
	for _, op := range ops {
		size += len(op.Key) + len(op.Value) + overhead
	}
	return size
}

// fits tells whether the room takes the effects.
func (r Room) fits(e Effects) bool {
	return len(e.Ops) <= r.Ops && len(e.Compares) <= r.Compares && sizeOf(e.Compares, e.Ops) <= r.Bytes
}

func encode(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}
