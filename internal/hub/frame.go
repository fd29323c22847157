package hub

import (
	"fmt"
	"iter"
	"slices"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/syncwire"
)

// frame is an Update as it is sent: encoded once, when the first stream sends it, and
// shared by all that do. It lives as long as somebody may need it.
type frame struct {
	mode   syncv1.Begin_Mode
	target snapshot.Cursor
	// keys: it may change who may follow.
	keys bool

	once     sync.Once
	updates  iter.Seq[*syncv1.Update] // nil once they are encoded
	messages []*message
	err      error
}

func newFull(s *snapshot.Snapshot) *frame {
	return &frame{mode: syncv1.Begin_MODE_FULL, target: s.Cursor(), keys: true, updates: s.Updates()}
}

func newDelta(d snapshot.Delta) *frame {
	return &frame{
		mode: syncv1.Begin_MODE_DELTA, target: d.Target, updates: d.Updates(),
		keys: slices.ContainsFunc(d.Puts, func(i snapshot.Item) bool { return i.Kind == syncv1.Kind_KIND_KEY }) ||
			slices.ContainsFunc(d.Deletes, func(i snapshot.Deletion) bool { return i.Kind == syncv1.Kind_KIND_KEY }),
	}
}

// newUnchanged says that the follower has the state. It may know it by an earlier
// revision.
func newUnchanged(s *snapshot.Snapshot) *frame {
	return &frame{
		mode: syncv1.Begin_MODE_NONE, target: s.Cursor(),
		updates: slices.Values([]*syncv1.Update{s.Unchanged(s.Cursor())}),
	}
}

// encoded returns the frame's messages: at least one.
func (f *frame) encoded() ([]*message, error) {
	f.once.Do(func() {
		for u := range f.updates {
			m, err := newMessage(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: u}})
			if err != nil {
				f.messages, f.err = nil, fmt.Errorf("an update to %s cannot be encoded: %w", f.target, err)
				break
			}
			f.messages = append(f.messages, m)
		}
		f.updates = nil
	})
	return f.messages, f.err
}

// message is an encoded StreamResponse, sealed. It implements rpc.Encoded.
type message struct{ wire mem.BufferSlice }

func newMessage(m *syncv1.StreamResponse) (*message, error) {
	data, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return &message{mem.BufferSlice{mem.SliceBuffer(syncwire.Seal(data))}}, nil
}

func (m *message) bytes() []byte { return m.wire[0].ReadOnlyData() }

// Wire is the message; nobody may modify it.
func (m *message) Wire() mem.BufferSlice { return m.wire }

// ProtoReflect is for codecs that do not know of encoded messages: they encode it anew, so
// that a seal would not fit. What was encoded here can be decoded.
func (m *message) ProtoReflect() protoreflect.Message {
	decoded := &syncv1.StreamResponse{}
	_ = proto.Unmarshal(m.bytes(), decoded)
	decoded.Checksum = nil
	return decoded.ProtoReflect()
}
