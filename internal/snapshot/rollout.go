package snapshot

import (
	"slices"
	"strings"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// Rollout decodes the definition of an item of KIND_ROLLOUT.
func (i Item) Rollout() (*rolloutv1.Rollout, error) {
	definition := &rolloutv1.Rollout{}
	return definition, decode(i, definition)
}

// Rollouts are the items of KIND_ROLLOUT, by key: as received, whether they can be used or
// not. The slice is shared with the snapshots before and after that have the same, and must
// not be modified.
func (s *Snapshot) Rollouts() []Item { return s.rollouts }

// rolloutsAfter brings the list of rollouts up to date; it is the same if none changed.
func rolloutsAfter(list []Item, changes []change) []Item {
	shared := true
	for _, c := range changes {
		id := c.id()
		if id.Kind != syncv1.Kind_KIND_ROLLOUT {
			continue
		}
		if shared {
			list, shared = slices.Clone(list), false
		}
		at, found := slices.BinarySearchFunc(list, id.Key, func(i Item, key string) int {
			return strings.Compare(i.Key, key)
		})
		switch {
		case c.is == nil && found:
			list = slices.Delete(list, at, at+1)
		case c.is != nil && found:
			list[at] = c.is.Item
		case c.is != nil:
			list = slices.Insert(list, at, c.is.Item)
		}
	}
	return list
}

func (c change) id() ID {
	if c.is != nil {
		return c.is.id()
	}
	return c.was.id()
}
