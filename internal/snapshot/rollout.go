package snapshot

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/rollout"
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

// Split names the outcome of a flag that a rollout owns, and the variant in it that is the
// control.
type Split struct {
	Flag string
	// Rule is empty for the default outcome.
	Rule, Control string
}

// SplitOf is the rollout's.
func SplitOf(r *rolloutv1.Rollout) Split {
	return Split{Flag: r.GetFlagKey(), Rule: r.GetRule(), Control: r.GetControl()}
}

// Controlled is the state with splits that give the control to everybody: what is answered from
// where rollouts were shut without the store. Of a flag that cannot be used it changes the
// version that is in force. It is s itself if it changes nothing.
func (s *Snapshot) Controlled(splits []Split) *Snapshot {
	var puts []Item
	for _, split := range splits {
		i := slices.IndexFunc(puts, func(p Item) bool { return p.Key == split.Flag })
		var item Item
		if i >= 0 {
			item = puts[i]
		} else if good := s.goodOf(ID{Kind: syncv1.Kind_KIND_FLAG, Key: split.Flag}); good != nil {
			item = *good
		} else {
			continue
		}
		f, err := item.Flag()
		if err != nil {
			continue // it was never in force
		}
		f, ok := rollout.Controlled(f, split.Rule, split.Control)
		if !ok {
			continue
		}
		if item.Data, err = proto.Marshal(f); err != nil {
			continue // it was decoded just now
		}
		if i >= 0 {
			puts[i] = item
		} else {
			puts = append(puts, item)
		}
	}
	if len(puts) == 0 {
		return s
	}
	next, _ := s.Next(s.cursor.Revision, puts, nil)
	return next
}

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
