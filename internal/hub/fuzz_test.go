package hub

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
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
		s := &stream{hub: h}
		if err := s.admit(hello); err != nil {
			if _, parts := err.(*parting); !parts && status.Code(err) == codes.Unknown { //nolint:errorlint // as admit returns it
				t.Fatalf("refused without a code: %v", err)
			}
			return
		}
		seen := make(map[string]bool)
		for i, sc := range s.scopes {
			name := sc.replica.Environment()
			if seen[name] || name != hello.GetScopes()[i].GetEnvironment() || (sc.have == nil) != (hello.GetScopes()[i].GetCursor() == nil) {
				t.Fatalf("scope %d is of %q", i, name)
			}
			seen[name] = true
		}
		if len(seen) == 0 || len(seen) != len(hello.GetScopes()) {
			t.Fatalf("%d scopes of %d", len(seen), len(hello.GetScopes()))
		}
	})
}
