package hub

import (
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// FuzzHello: whatever a follower says first, it is either refused with a reason, or its
// scopes are the known environments that it named, each once.
func FuzzHello(f *testing.F) {
	for _, hello := range []*syncv1.Hello{
		{},
		{Protocol: 1, InstanceId: "f", BootId: "b", Path: []string{"f"}, Scopes: []*syncv1.Scope{{Environment: "production"}}},
		{Protocol: 1, InstanceId: "f", BootId: "b", Path: []string{"hub", "f"}, Scopes: []*syncv1.Scope{{Environment: "staging"}}},
		{Protocol: 1, InstanceId: "f", BootId: "b", Path: []string{"e", "f"}, Scopes: []*syncv1.Scope{
			{Environment: "production", Cursor: &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 1}, Revision: 3, Digest: make([]byte, 16)}},
			{Environment: "staging"},
		}},
		{Protocol: 1, InstanceId: "f", BootId: "b", Path: []string{"f"}, Scopes: []*syncv1.Scope{
			{Environment: "production"}, {Environment: "unknown"},
		}},
	} {
		data, err := proto.Marshal(hello)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	set := replica.NewSet(replica.Options{})
	set.Add("production")
	set.Add("staging")
	h := New(Options{Replicas: set, InstanceID: "hub"})
	f.Fuzz(func(t *testing.T, data []byte) {
		hello := &syncv1.Hello{}
		if proto.Unmarshal(data, hello) != nil {
			return
		}
		s := &stream{hub: h, ended: make(chan error, 1)}
		s.pending.Store(1) // a turn that goes on
		defer s.finish(nil)
		if err := s.admit(hello); err != nil {
			if _, parts := err.(*parting); !parts && status.Code(err) == codes.Unknown { //nolint:errorlint // as admit returns it
				t.Fatalf("refused without a code: %v", err)
			}
			return
		}
		// What was asked for is served, once each, or waits to be known.
		asked := make(map[string]*syncv1.Cursor)
		for _, sc := range hello.GetScopes() {
			asked[sc.GetEnvironment()] = sc.GetCursor()
		}
		take := func(name string, have *snapshot.Cursor) {
			cursor, ok := asked[name]
			if !ok || (have == nil) != (cursor == nil) {
				t.Fatalf("%q was not asked for like that", name)
			}
			delete(asked, name)
		}
		for _, sc := range s.scopes {
			take(sc.environment(), sc.have)
		}
		for _, w := range s.wanted {
			take(w.environment, w.have)
		}
		if len(s.scopes) == 0 || len(asked) != 0 {
			t.Fatalf("%d scopes; forgotten: %v", len(s.scopes), asked)
		}
	})
}

// FuzzAck: what the quick reader takes for an acknowledgement is one, and says the same
// to the generated code.
func FuzzAck(f *testing.F) {
	digest := []byte("0123456789abcdef")
	for _, ack := range []*syncv1.Ack{
		{},
		{Environment: "production", Cursor: &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 1, Random: 7}, Revision: 300, Digest: digest}},
		{Environment: "production", Cursor: &syncv1.Cursor{Epoch: &syncv1.Epoch{}, Digest: digest}},
		{Environment: "production", Cursor: &syncv1.Cursor{Epoch: &syncv1.Epoch{Random: 7}, Revision: -1, Digest: digest}},
		{Environment: "production", Cursor: &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 1}, Revision: 3, Digest: digest[1:]}},
		{
			Environment: "production", Cursor: &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 1}, Revision: 3, Digest: digest},
			Rejections: []*syncv1.Rejection{{Key: "a"}},
		},
	} {
		data, err := proto.Marshal(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Ack{Ack: ack}})
		if err != nil {
			f.Fatal(err)
		}
		_, quick := readAck(data)
		if _, err := snapshot.CursorFromProto(ack.GetCursor()); quick != (err == nil && ack.Environment != "" && ack.Rejections == nil) {
			f.Errorf("%v is read quickly: %v", ack, quick)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := readAck(data)
		if !ok || !utf8.Valid(got.environment) { // no environment that is known has such a name
			return
		}
		m := &syncv1.StreamRequest{}
		if err := proto.Unmarshal(data, m); err != nil {
			t.Fatal(err)
		}
		ack := m.GetAck()
		c, err := snapshot.CursorFromProto(ack.GetCursor())
		if err != nil || ack.GetEnvironment() != string(got.environment) || c != got.cursor || len(ack.GetRejections()) > 0 {
			t.Fatalf("%q at %s was read of %v", got.environment, got.cursor, m)
		}
	})
}
