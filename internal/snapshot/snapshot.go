package snapshot

import (
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// Item is one flag, segment or key as it travels: Data is never encoded again.
type Item struct {
	Kind        syncv1.Kind
	Key         string
	ModRevision int64
	Data        []byte
}

// ID returns what identifies the item.
func (i Item) ID() ID { return ID{Kind: i.Kind, Key: i.Key} }

// Flag decodes the definition of an item of KIND_FLAG.
func (i Item) Flag() (*flagv1.Flag, error) {
	definition := &flagv1.Flag{}
	return definition, decode(i, definition)
}

// Segment decodes the definition of an item of KIND_SEGMENT.
func (i Item) Segment() (*flagv1.Segment, error) {
	definition := &flagv1.Segment{}
	return definition, decode(i, definition)
}

// AccessKey decodes the definition of an item of KIND_KEY.
func (i Item) AccessKey() (*accessv1.Key, error) {
	key := &accessv1.Key{}
	if err := proto.Unmarshal(i.Data, key); err != nil {
		return nil, fmt.Errorf("%s cannot be decoded: %w", i.ID(), err)
	}
	if key.GetId() != i.Key {
		return nil, fmt.Errorf("%s holds key %q", i.ID(), key.GetId())
	}
	return key, nil
}

// ID identifies an item in its environment.
type ID struct {
	Kind syncv1.Kind
	Key  string
}

// Snapshot is one state of one environment: the items as received, and their compiled
// form. Immutable; safe for concurrent use.
type Snapshot struct {
	environment string
	cursor      Cursor
	root        *node
	len, bytes  int
	eval        *eval.Environment
	// rejected is shared between snapshots until it changes; usually nil.
	rejected map[ID]Rejection
	rollouts []Item // by key
}

// New returns the empty state of an environment, at revision 0 of the epoch.
func New(environment string, epoch Epoch) *Snapshot {
	return &Snapshot{environment: environment, cursor: Cursor{Epoch: epoch}}
}

// Environment returns the environment's name.
func (s *Snapshot) Environment() string { return s.environment }

// Cursor names the state.
func (s *Snapshot) Cursor() Cursor { return s.cursor }

// Eval returns the compiled flags and segments; nil, which is usable, if there are none.
func (s *Snapshot) Eval() *eval.Environment { return s.eval }

// Len is the number of items.
func (s *Snapshot) Len() int { return s.len }

// Bytes is the size of all items' data.
func (s *Snapshot) Bytes() int { return s.bytes }

// Item returns an item; its data is shared and must not be modified.
func (s *Snapshot) Item(kind syncv1.Kind, key string) (Item, bool) {
	id := ID{Kind: kind, Key: key}
	if e := s.root.lookup(id, hashID(id)); e != nil {
		return e.Item, true
	}
	return Item{}, false
}

// Items yields all items, in no particular order.
func (s *Snapshot) Items() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		s.root.each(func(e *entry) bool { return yield(e.Item) })
	}
}

// Advance returns the same state at a later revision, at which nothing of it changed;
// s itself if the revision is not later.
func (s *Snapshot) Advance(revision int64) *Snapshot {
	if revision <= s.cursor.Revision {
		return s
	}
	next := *s
	next.cursor.Revision = revision
	return &next
}
