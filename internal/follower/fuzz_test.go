package follower

import (
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// FuzzUpdate feeds a stream of arbitrary bytes, cut into messages by their lengths, to
// the receiving state machine. Nothing panics; what is shown is at all times a state
// whose digest is that of its items; it changes with a commit only, and never back.
func FuzzUpdate(f *testing.F) {
	for _, messages := range fuzzSeeds() {
		var stream []byte
		for _, m := range messages {
			data, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			stream = protowire.AppendBytes(stream, data)
		}
		f.Add(stream)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		set := replica.NewSet(replica.Options{})
		set.Add("production").Restore(fuzzState(), time.Hour)
		in := newIntake(Options{
			InstanceID: "relay", Replicas: set, Environments: []string{"production", "staging"}, MaxStagedBytes: 1 << 20,
			Logger: zerolog.Nop(),
		}, newDurability(nil, zerolog.Nop(), m), m)
		in.open(time.Now())
		for len(stream) > 0 {
			data, n := protowire.ConsumeBytes(stream)
			if n < 0 {
				return
			}
			stream = stream[n:]
			message := &syncv1.StreamResponse{}
			if proto.Unmarshal(data, message) != nil {
				return
			}
			before := [2]*snapshot.Snapshot{set.Replica("production").Snapshot(), set.Replica("staging").Snapshot()}
			err := in.handle(message, time.Now())
			for i, name := range in.names() {
				checkShown(t, message, before[i], set.Replica(name).Snapshot())
			}
			if err != nil {
				in.open(time.Now())
			}
		}
	})
}

func (in *intake) names() []string {
	var names []string
	for _, sc := range in.scopes {
		names = append(names, sc.replica.Environment())
	}
	return names
}

func checkShown(t *testing.T, m *syncv1.StreamResponse, before, after *snapshot.Snapshot) {
	if before == after {
		return
	}
	if before != nil && before.Cursor().Epoch == after.Cursor().Epoch && after.Cursor().Revision < before.Cursor().Revision {
		t.Fatalf("from %v back to %v", before.Cursor(), after.Cursor())
	}
	if before != nil && before.Cursor().SameState(after.Cursor()) {
		return
	}
	if m.GetUpdate().GetCommit() == nil {
		t.Fatalf("from %v to %v without a commit", before, after.Cursor())
	}
	var items []snapshot.Item
	for item := range after.Items() {
		items = append(items, item)
	}
	again, _ := snapshot.New(after.Environment(), after.Cursor().Epoch).Next(after.Cursor().Revision, items, nil)
	if again.Cursor() != after.Cursor() {
		t.Fatalf("%v is shown, but its items make %v", after.Cursor(), again.Cursor())
	}
}

var fuzzEpoch = snapshot.Epoch{Counter: 1, Random: 2}

func fuzzItem(key string, revision int64) snapshot.Item {
	return snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, Key: key, ModRevision: revision, Data: []byte("\x0a\x01" + key)}
}

func fuzzState() *snapshot.Snapshot {
	s, _ := snapshot.New("production", fuzzEpoch).Next(5, []snapshot.Item{fuzzItem("a", 4), fuzzItem("b", 5)}, nil)
	return s
}

func fuzzSeeds() [][]*syncv1.StreamResponse {
	welcome := &syncv1.StreamResponse{Message: &syncv1.StreamResponse_Welcome{Welcome: &syncv1.Welcome{InstanceId: "up"}}}
	update := func(u *syncv1.Update) *syncv1.StreamResponse {
		return &syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: u}}
	}
	state := fuzzState()
	next, d := state.Next(7, []snapshot.Item{fuzzItem("a", 7), fuzzItem("c", 6)}, []snapshot.ID{fuzzItem("b", 5).ID()})
	delta, full := []*syncv1.StreamResponse{welcome}, []*syncv1.StreamResponse{welcome}
	for u := range d.Updates() {
		delta = append(delta, update(u))
	}
	restored, _ := snapshot.New("production", snapshot.Epoch{Counter: 9}).Next(3, []snapshot.Item{fuzzItem("z", 3)}, nil)
	for u := range restored.Updates() {
		full = append(full, update(u))
	}
	begin := &syncv1.Update{Environment: "production", Begin: &syncv1.Begin{
		Mode: syncv1.Begin_MODE_DELTA, Base: state.Cursor().Proto(), Target: next.Cursor().Proto(),
	}}
	rest := proto.Clone(delta[1].GetUpdate()).(*syncv1.Update)
	rest.Begin = nil
	return [][]*syncv1.StreamResponse{
		delta, full,
		{welcome, update(begin), update(rest)},
		{welcome, update(state.Unchanged(state.Cursor())), {Message: &syncv1.StreamResponse_Heartbeat{Heartbeat: &syncv1.Heartbeat{
			Environments: []*syncv1.EnvironmentStatus{{Environment: "production", Cursor: state.Advance(9).Cursor().Proto()}},
		}}}},
		{welcome, {Message: &syncv1.StreamResponse_Goodbye{Goodbye: &syncv1.Goodbye{Code: syncv1.Goodbye_CODE_EPOCH}}}, welcome},
	}
}
