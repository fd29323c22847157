package main

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

func cursor(revision int64) *syncv1.Cursor {
	return &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 1, Random: 7}, Revision: revision, Digest: bytes.Repeat([]byte{byte(revision)}, 16)}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func updates() []*syncv1.StreamResponse {
	update := func(u *syncv1.Update) *syncv1.StreamResponse {
		return &syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: u}}
	}
	return []*syncv1.StreamResponse{
		{},
		{Message: &syncv1.StreamResponse_Welcome{Welcome: &syncv1.Welcome{HeadRevision: 7, InstanceId: "server"}}},
		update(&syncv1.Update{Environment: "e", Begin: &syncv1.Begin{Mode: syncv1.Begin_MODE_FULL, Target: cursor(4)}}),
		update(&syncv1.Update{Environment: "e", Puts: []*syncv1.Put{{Key: "a", Data: []byte("b")}}, Commit: &syncv1.Commit{Cursor: cursor(300)}}),
		update(&syncv1.Update{Environment: "e", Commit: &syncv1.Commit{}}),
		{Message: &syncv1.StreamResponse_Heartbeat{Heartbeat: &syncv1.Heartbeat{Environments: []*syncv1.EnvironmentStatus{
			{Environment: "e", Cursor: cursor(9), Age: durationpb.New(time.Second)},
		}}}},
		{Message: &syncv1.StreamResponse_Goodbye{Goodbye: &syncv1.Goodbye{
			Code: syncv1.Goodbye_CODE_OVERLOADED, Backoff: durationpb.New(1500 * time.Millisecond),
		}}},
	}
}

// same checks an answer against the message that it was read from.
func same(t *testing.T, a answer, m *syncv1.StreamResponse) {
	t.Helper()
	commit := m.GetUpdate().GetCommit().GetCursor()
	if (a.committed != nil) != (commit != nil) || a.revision != commit.GetRevision() {
		t.Errorf("committed %x, revision %d; want %v", a.committed, a.revision, commit)
	}
	if commit != nil && !bytes.Equal(a.committed, marshal(t, commit)) {
		t.Errorf("committed %x, want %v", a.committed, commit)
	}
	var current *syncv1.Cursor
	if all := m.GetHeartbeat().GetEnvironments(); len(all) > 0 {
		current = all[len(all)-1].GetCursor()
	}
	if current != nil && !bytes.Equal(a.current, marshal(t, current)) {
		t.Errorf("current %x, want %v", a.current, current)
	}
	g := m.GetGoodbye()
	if a.parting != (g != nil) || a.code != int(g.GetCode()) || a.backoff != g.GetBackoff().AsDuration() {
		t.Errorf("parting %v, code %d, backoff %v; want %v", a.parting, a.code, a.backoff, g)
	}
}

func TestReadAnswer(t *testing.T) {
	for _, m := range updates() {
		a, err := readAnswer(marshal(t, m))
		if err != nil {
			t.Errorf("%v: %v", m, err)
			continue
		}
		same(t, a, m)
	}
}

// FuzzReadAnswer: whatever comes, it is read or refused; what protobuf reads, is read.
func FuzzReadAnswer(f *testing.F) {
	for _, m := range updates() {
		f.Add(marshal(f, m))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := readAnswer(data)
		if err != nil && proto.Unmarshal(data, new(syncv1.StreamResponse)) == nil {
			t.Errorf("refused: %v", err)
		}
	})
}

func TestRequests(t *testing.T) {
	have := marshal(t, cursor(5))
	for _, c := range []struct {
		name string
		got  []byte
		want *syncv1.StreamRequest
	}{
		{"hello without a state", appendHello(nil, "f", "e", nil), &syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
			Protocol: 1, InstanceId: "f", BootId: "boot", Path: []string{"f"}, FollowerKind: syncv1.FollowerKind_FOLLOWER_KIND_RELAY,
			Scopes: []*syncv1.Scope{{Environment: "e"}},
		}}}},
		{"hello", appendHello(nil, "f", "e", have), &syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
			Protocol: 1, InstanceId: "f", BootId: "boot", Path: []string{"f"}, FollowerKind: syncv1.FollowerKind_FOLLOWER_KIND_RELAY,
			Scopes: []*syncv1.Scope{{Environment: "e", Cursor: cursor(5)}},
		}}}},
		{"ack", appendAck(nil, "e", have), &syncv1.StreamRequest{Message: &syncv1.StreamRequest_Ack{Ack: &syncv1.Ack{
			Environment: "e", Cursor: cursor(5),
		}}}},
	} {
		got := &syncv1.StreamRequest{}
		if err := proto.Unmarshal(c.got, got); err != nil || !proto.Equal(got, c.want) {
			t.Errorf("%s: got %v (%v), want %v", c.name, got, err, c.want)
		}
	}
}
