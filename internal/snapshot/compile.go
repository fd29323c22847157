package snapshot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

// Rejection is an item that could not be compiled; the last version that could be, if
// there is one, stays in force.
type Rejection struct {
	Item Item
	Err  error
	// Good is the version in force, as it was received; nil if there is none.
	Good *Item
}

// Rejections are the items of this state that could not be used, by kind and key.
func (s *Snapshot) Rejections() []Rejection {
	if len(s.rejected) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Values(s.rejected), func(a, b Rejection) int {
		return cmp.Or(cmp.Compare(a.Item.Kind, b.Item.Kind), cmp.Compare(a.Item.Key, b.Item.Key))
	})
}

// compile brings the changes into executable form. Keys, and items of kinds that it does not
// know, are carried, not used.
func compile(env *eval.Environment, rejected map[ID]Rejection, changed []change) (*eval.Environment, map[ID]Rejection) {
	var c eval.Changes
	shared := true
	for _, ch := range changed {
		var id ID
		var err error
		if ch.is == nil {
			id = ch.was.id()
			remove(env, &c, id)
		} else {
			id = ch.is.id()
			err = compileItem(&c, ch.is.Item)
		}
		if _, was := rejected[id]; err == nil && !was {
			continue
		}
		if shared {
			shared = false
			if rejected = maps.Clone(rejected); rejected == nil {
				rejected = make(map[ID]Rejection)
			}
		}
		if err != nil {
			if fault.Planted("forget-last-known-good") {
				remove(env, &c, id)
			}
			rejected[id] = Rejection{Item: ch.is.Item, Err: err, Good: inForce(rejected, ch.was)}
		} else {
			delete(rejected, id)
		}
	}
	if len(c.Flags)+len(c.DeletedFlags)+len(c.Segments)+len(c.DeletedSegments) > 0 {
		env = env.With(c)
	}
	return env, rejected
}

// inForce is the version of an item that was in force before it was replaced; nil if
// there was none.
func inForce(rejected map[ID]Rejection, was *entry) *Item {
	if was == nil {
		return nil
	}
	if r, ok := rejected[was.id()]; ok {
		return r.Good
	}
	return &was.Item
}

// remove takes an item, or the version of it that is in force, out of the environment.
func remove(env *eval.Environment, c *eval.Changes, id ID) {
	switch {
	case id.Kind == syncv1.Kind_KIND_FLAG && env.Flag(id.Key) != nil:
		c.DeletedFlags = append(c.DeletedFlags, id.Key)
	case id.Kind == syncv1.Kind_KIND_SEGMENT && env.Segment(id.Key) != nil:
		c.DeletedSegments = append(c.DeletedSegments, id.Key)
	}
}

func compileItem(c *eval.Changes, item Item) error {
	switch item.Kind {
	case syncv1.Kind_KIND_FLAG:
		definition, err := item.Flag()
		if err != nil {
			return err
		}
		flag, err := eval.Compile(definition, item.ModRevision)
		if err != nil {
			return err
		}
		c.Flags = append(c.Flags, flag)
	case syncv1.Kind_KIND_SEGMENT:
		definition, err := item.Segment()
		if err != nil {
			return err
		}
		segment, err := eval.CompileSegment(definition, item.ModRevision)
		if err != nil {
			return err
		}
		c.Segments = append(c.Segments, segment)
	}
	return nil
}

// decode unmarshals an item's data, which must be of the item's key.
func decode(item Item, into interface {
	proto.Message
	GetKey() string
},
) error {
	if err := proto.Unmarshal(item.Data, into); err != nil {
		return fmt.Errorf("%s cannot be decoded: %w", item.ID(), err)
	}
	if into.GetKey() != item.Key {
		return fmt.Errorf("%s holds the definition of %q", item.ID(), into.GetKey())
	}
	return nil
}
