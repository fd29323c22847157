package follower

import (
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/syncwire"
)

// TestFlippedBitsOnTheWire flips each bit of each message of a stream in turn: what is
// shown afterwards is the state before or the one that was sent, as is its revision, and
// its age is not younger than was said. Updates do not need the seal for that.
func TestFlippedBitsOnTheWire(t *testing.T) {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	state := fuzzState()
	next, d := state.Next(7, []snapshot.Item{fuzzItem("a", 7), fuzzItem("c", 6)}, []snapshot.ID{fuzzItem("b", 5).ID()})
	restored, _ := snapshot.New("production", snapshot.Epoch{Counter: 9}).Next(3, []snapshot.Item{fuzzItem("z", 3)}, nil)
	quiet := state.Advance(300)
	welcome := fuzzSeeds()[0][0]
	update := func(u *syncv1.Update) *syncv1.StreamResponse {
		return &syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: u}}
	}
	only := func(d snapshot.Delta) *syncv1.StreamResponse {
		for u := range d.Updates() {
			return update(u)
		}
		return nil
	}
	for name, c := range map[string]struct {
		message *syncv1.StreamResponse
		after   *snapshot.Snapshot
		sealed  bool
	}{
		"delta":           {only(d), next, false},
		"everything":      {only(next.Full()), next, false},
		"another epoch":   {only(restored.Full()), restored, false},
		"none":            {update(state.Unchanged(state.Cursor())), state, false},
		"delta, sealed":   {only(d), next, true},
		"goodbye, sealed": {&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Goodbye{Goodbye: &syncv1.Goodbye{Code: syncv1.Goodbye_CODE_EPOCH}}}, state, true},
		"heartbeat, sealed": {&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Heartbeat{Heartbeat: &syncv1.Heartbeat{
			Environments: []*syncv1.EnvironmentStatus{{Environment: "production", Cursor: quiet.Cursor().Proto(), Age: durationpb.New(time.Minute)}},
		}}}, quiet, true},
	} {
		b, err := proto.Marshal(c.message)
		if err != nil {
			t.Fatal(err)
		}
		if c.sealed {
			b = syncwire.Seal(b)
		}
		for bit := -1; bit < 8*len(b); bit++ {
			flipped := slices.Clone(b)
			if bit >= 0 {
				flipped[bit/8] ^= 1 << (bit % 8)
			}
			r := flipWorld(t, m, state, welcome, flipped)
			got := r.Snapshot()
			if got == nil || got.Cursor() != state.Cursor() && got.Cursor() != c.after.Cursor() {
				t.Fatalf("%s: with bit %d flipped, %v is shown", name, bit, got)
			}
			if bit < 0 && got.Cursor() != c.after.Cursor() {
				t.Fatalf("%s: as it was sent, it leads to %v", name, got.Cursor())
			}
			if c.after == quiet && r.Age() < time.Minute {
				t.Fatalf("%s: with bit %d flipped, the age is %s", name, bit, r.Age())
			}
		}
	}
}

// flipWorld is a replica of the state after one stream that said welcome, that the state
// is current, and then what is given.
func flipWorld(t *testing.T, m *metrics, state *snapshot.Snapshot, welcome *syncv1.StreamResponse, message []byte) *replica.Replica {
	t.Helper()
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	r.Restore(state, time.Hour)
	in := newIntake(Options{
		InstanceID: "relay", Replicas: set, Environments: []string{"production", "staging"}, Logger: zerolog.Nop(),
	}, newDurability(nil, zerolog.Nop(), m), m)
	now := time.Now()
	in.open(now)
	unchanged := &syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: state.Unchanged(state.Cursor())}}
	for _, first := range []*syncv1.StreamResponse{welcome, unchanged} {
		if err := in.handle(first, now); err != nil {
			t.Fatal(err)
		}
	}
	got := &syncv1.StreamResponse{}
	if syncwire.Open(message, got) == nil {
		_ = in.handle(got, now) // what it says is shown, or not
	}
	return r
}
