package clientsdk

import (
	"maps"
	"slices"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// changedFlags returns the keys, sorted, of the flags that may answer differently in
// next than in prev: those that differ, and those that depend on what differs. The time
// is in proportion to their number where one snapshot came from the other. One of them may
// be nil: nothing.
func changedFlags(prev, next *snapshot.Snapshot) []string {
	switch {
	case prev == nil && next == nil:
		return nil
	case prev == nil:
		prev = snapshot.New(next.Environment(), next.Cursor().Epoch)
	case next == nil:
		next = snapshot.New(prev.Environment(), prev.Cursor().Epoch)
	}
	c := closure{keys: map[string]struct{}{}, environments: []*eval.Environment{prev.Eval(), next.Eval()}}
	d := snapshot.Diff(prev, next)
	for i := range d.Puts {
		c.add(d.Puts[i].Kind, d.Puts[i].Key)
	}
	for _, deleted := range d.Deletes {
		c.add(deleted.Kind, deleted.Key)
	}
	if d.Full { // of another epoch: nothing can be compared
		for _, f := range prev.Eval().Flags() {
			c.addFlag(f.Key())
		}
	}
	return slices.Sorted(maps.Keys(c.keys))
}

// closure collects flags and, before and after the change, their dependants.
type closure struct {
	keys         map[string]struct{}
	environments []*eval.Environment
}

func (c *closure) add(kind syncv1.Kind, key string) {
	switch kind {
	case syncv1.Kind_KIND_FLAG:
		c.addFlag(key)
	case syncv1.Kind_KIND_SEGMENT:
		for _, e := range c.environments {
			c.addFlags(e.SegmentDependants(key))
		}
	}
}

func (c *closure) addFlag(key string) {
	if _, seen := c.keys[key]; seen {
		return
	}
	c.keys[key] = struct{}{}
	for _, e := range c.environments {
		c.addFlags(e.Dependants(key))
	}
}

func (c *closure) addFlags(keys []string) {
	for _, key := range keys {
		c.addFlag(key)
	}
}
