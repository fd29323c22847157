package syncwire

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

func cursor() *syncv1.Cursor {
	return &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 1, Random: 77}, Revision: 300, Digest: bytes.Repeat([]byte{9}, 16)}
}

// messages are one of each kind.
func messages() []*syncv1.StreamResponse {
	return []*syncv1.StreamResponse{
		{Message: &syncv1.StreamResponse_Welcome{Welcome: &syncv1.Welcome{InstanceId: "up", Path: []string{"server", "up"}, HeadRevision: 300}}},
		{Message: &syncv1.StreamResponse_Update{Update: &syncv1.Update{
			Environment: "production",
			Begin:       &syncv1.Begin{Mode: syncv1.Begin_MODE_FULL, Target: cursor()},
			Puts:        []*syncv1.Put{{Kind: syncv1.Kind_KIND_FLAG, Key: "a", ModRevision: 3, Data: []byte("data")}},
			Commit:      &syncv1.Commit{Cursor: cursor()},
		}}},
		{Message: &syncv1.StreamResponse_Heartbeat{Heartbeat: &syncv1.Heartbeat{Environments: []*syncv1.EnvironmentStatus{{
			Environment: "production", Cursor: cursor(), Age: durationpb.New(1),
		}}}}},
		{Message: &syncv1.StreamResponse_Goodbye{Goodbye: &syncv1.Goodbye{Code: syncv1.Goodbye_CODE_EPOCH, Message: "new"}}},
		{},
	}
}

func seal(t testing.TB, m *syncv1.StreamResponse) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return Seal(b)
}

// withoutSeal is what the message says.
func withoutSeal(m *syncv1.StreamResponse) *syncv1.StreamResponse {
	m = proto.Clone(m).(*syncv1.StreamResponse)
	m.Checksum = nil
	m.ProtoReflect().SetUnknown(nil)
	return m
}

func TestOpen(t *testing.T) {
	for _, m := range messages() {
		for name, b := range map[string][]byte{"sealed": seal(t, m), "of an older version": seal(t, m)[:len(seal(t, m))-sealSize]} {
			got := &syncv1.StreamResponse{}
			if err := Open(b, got); err != nil || !proto.Equal(withoutSeal(got), m) {
				t.Errorf("%s: %v, %v; want %v", name, got, err, m)
			}
		}
		var c mem.BufferSlice
		c, err := Codec().Marshal(m)
		got := &syncv1.StreamResponse{}
		if err == nil {
			err = Codec().Unmarshal(c, got)
		}
		if err != nil || got.Checksum == nil || !proto.Equal(withoutSeal(got), m) {
			t.Errorf("over the codec: %v, %v; want %v", got, err, m)
		}
	}
	ack := &syncv1.StreamRequest{Message: &syncv1.StreamRequest_Ack{Ack: &syncv1.Ack{Environment: "production"}}}
	b, err := Codec().Marshal(ack)
	got := &syncv1.StreamRequest{}
	if err == nil {
		err = Codec().Unmarshal(b, got)
	}
	if err != nil || !proto.Equal(got, ack) {
		t.Errorf("other messages: %v, %v", got, err)
	}
	if err := Open(append(seal(t, messages()[0]), 0x78, 1), &syncv1.StreamResponse{}); !errors.Is(err, ErrChecksum) {
		t.Errorf("a seal that is not the end: %v", err)
	}
}

// TestEveryFlippedBit: no bit of a sealed message can flip and the message say anything
// else.
func TestEveryFlippedBit(t *testing.T) {
	for _, m := range messages() {
		b := seal(t, m)
		for bit := range 8 * len(b) {
			flipped := bytes.Clone(b)
			flipped[bit/8] ^= 1 << (bit % 8)
			got := &syncv1.StreamResponse{}
			if err := Open(flipped, got); err == nil && !proto.Equal(withoutSeal(got), m) {
				t.Errorf("with bit %d flipped, %v became %v", bit, m, got)
			}
		}
	}
}

// FuzzOpen: what opens with a seal is what was sealed.
func FuzzOpen(f *testing.F) {
	for _, m := range messages() {
		f.Add(seal(f, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &syncv1.StreamResponse{}
		if err := Open(b, m); err != nil || m.Checksum == nil {
			return
		}
		if again := Seal(bytes.Clone(b[:len(b)-sealSize])); !bytes.Equal(again[len(b)-4:], b[len(b)-4:]) {
			t.Fatalf("%x opens, but its seal would be %x", b, again[len(b)-sealSize:])
		}
	})
}
