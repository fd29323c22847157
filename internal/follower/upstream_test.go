package follower_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// TestUpstreamsThatFail: each of these upstreams is left for the next one.
func TestUpstreamsThatFail(t *testing.T) {
	h := newHistory(t, epoch)
	older := updatesOf(h.one.Full())[0]
	for name, script := range map[string]func(*stage) error{
		"refuses":       func(*stage) error { return status.Error(codes.FailedPrecondition, "no") },
		"ends":          func(*stage) error { return nil },
		"says nothing":  (*stage).hold,
		"stops talking": func(s *stage) error { s.welcome(); return s.hold() },
		"is behind": func(s *stage) error {
			s.welcome()
			s.send(older)
			return s.hold()
		},
		"says that it is behind": func(s *stage) error {
			s.welcome()
			s.send(&syncv1.Goodbye{Code: syncv1.Goodbye_CODE_BEHIND, Backoff: durationpb.New(time.Hour)})
			return nil
		},
		"drains": func(s *stage) error {
			s.send(&syncv1.Goodbye{Code: syncv1.Goodbye_CODE_DRAINING})
			return nil
		},
		"is this process": func(s *stage) error {
			s.send(&syncv1.Welcome{InstanceId: "relay"})
			return s.hold()
		},
		"is far from the store": func(s *stage) error {
			s.send(&syncv1.Welcome{InstanceId: "x", Hops: 4})
			return s.hold()
		},
		"welcomes twice": func(s *stage) error {
			s.welcome()
			s.welcome()
			return s.hold()
		},
		"updates before welcome": func(s *stage) error {
			s.send(updatesOf(h.three.Full())[0])
			return s.hold()
		},
		"beats before welcome": func(s *stage) error {
			s.send(&syncv1.Heartbeat{})
			return s.hold()
		},
		"sends what was not asked for": func(s *stage) error {
			s.welcome()
			u := updatesOf(h.three.Full())[0]
			u.Environment = "staging"
			s.send(u)
			return s.hold()
		},
		"sends a heartbeat without a cursor": func(s *stage) error {
			s.welcome()
			s.send(h.two.Unchanged(h.two.Cursor()))
			s.send(&syncv1.Heartbeat{Environments: []*syncv1.EnvironmentStatus{{Environment: "production"}}})
			return s.hold()
		},
		"sends a message too large": func(s *stage) error {
			s.welcome()
			u := updatesOf(h.three.Full())[0]
			u.Puts[0].Data = make([]byte, 17<<20)
			s.send(u)
			return s.hold()
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork()
			bad := &liar{scripts: []func(*stage) error{script}}
			good := &liar{scripts: []func(*stage) error{func(s *stage) error {
				s.welcome()
				s.send(updatesOf(h.three.Full())[0])
				return s.hold()
			}}}
			n.serve(t, "bad", bad)
			n.serve(t, "good", good)
			set := replica.NewSet(replica.Options{})
			r := set.Add("production")
			r.Restore(h.two, time.Hour)
			watch(t, r)
			o := n.options(set, "relay", "bad", "good")
			o.DeadAfter = time.Second
			f, _ := run(t, o)
			eventually(t, "state three", has(r, h.three))
			if got := f.State(); got.Upstream != address("good") {
				t.Errorf("state %+v", got)
			}
			c, err := snapshot.CursorFromProto(good.hello(0).GetScopes()[0].GetCursor())
			if err != nil || c.Epoch != epoch || !c.SameState(h.two.Cursor()) {
				t.Errorf("it resumed from %v, %v", c, err)
			}
		})
	}
}

func TestGoodbyeEpoch(t *testing.T) {
	h, n := newHistory(t, snapshot.Epoch{Counter: 10, Random: 1}), newNetwork()
	l := &liar{scripts: []func(*stage) error{
		func(s *stage) error {
			s.welcome()
			s.send(&syncv1.Goodbye{Code: syncv1.Goodbye_CODE_EPOCH})
			return nil
		},
		func(s *stage) error {
			s.welcome()
			s.send(updatesOf(h.one.Full())[0])
			return s.hold()
		},
	}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	before := newHistory(t, snapshot.Epoch{Counter: 9})
	r := set.Add("production")
	r.Restore(before.three, time.Hour)
	run(t, n.options(set, "relay", "up"))
	eventually(t, "the new epoch", has(r, h.one))
	if l.hello(0).GetScopes()[0].GetCursor() == nil || l.hello(1).GetScopes()[0].GetCursor() != nil {
		t.Error("cursors are not as they should be")
	}
}

func TestHello(t *testing.T) {
	n := newNetwork()
	l := &liar{scripts: []func(*stage) error{(*stage).hold}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	h := newHistory(t, epoch)
	set.Add("production").Restore(h.two, 0)
	o := n.options(set, "relay", "up")
	o.Environments = []string{"production", "staging"}
	o.Region, o.Version = "here", "7"
	o.Kind = syncv1.FollowerKind_FOLLOWER_KIND_RELAY
	o.Below = tree.New("relay")
	o.Below.Join(tree.Follower{Relay: true, InstanceID: "z", BootID: "boot", Path: []string{"w", "x", "y", "z"}})
	run(t, o)
	eventually(t, "a hello", func() bool { return l.hello(0) != nil })
	got := l.hello(0)
	if got.GetBootId() == "" {
		t.Error("no boot id")
	}
	want := &syncv1.Hello{
		Protocol: 1, InstanceId: "relay", BootId: got.GetBootId(), Path: []string{"x", "y", "z", "relay"},
		Scopes: []*syncv1.Scope{{Environment: "production", Cursor: h.two.Cursor().Proto()}, {Environment: "staging"}},
		Region: "here", Version: "7", FollowerKind: syncv1.FollowerKind_FOLLOWER_KIND_RELAY, StreamNumber: 1,
	}
	if !proto.Equal(got, want) {
		t.Errorf("hello %v, want %v", got, want)
	}
}

func TestNewValidates(t *testing.T) {
	n := newNetwork()
	for name, spoil := range map[string]func(*follower.Options){
		"no upstream":       func(o *follower.Options) { o.Upstreams = nil },
		"empty upstream":    func(o *follower.Options) { o.Upstreams = []string{""} },
		"no environment":    func(o *follower.Options) { o.Environments = nil },
		"empty environment": func(o *follower.Options) { o.Environments = []string{""} },
		"environment twice": func(o *follower.Options) { o.Environments = []string{"a", "a"} },
		"no replicas":       func(o *follower.Options) { o.Replicas = nil },
		"no instance id":    func(o *follower.Options) { o.InstanceID = "" },
		"too many environments": func(o *follower.Options) {
			o.Environments = nil
			for i := range 65 {
				o.Environments = append(o.Environments, fmt.Sprint(i))
			}
		},
	} {
		o := n.options(replica.NewSet(replica.Options{}), "relay", "up")
		spoil(&o)
		if _, err := follower.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	f, err := follower.New(n.options(replica.NewSet(replica.Options{}), "relay", "up"))
	if err != nil {
		t.Fatal(err)
	}
	if s := f.State(); s.Connected || s.Upstream != address("up") || s.Since.IsZero() || s.Err != nil {
		t.Errorf("state %+v", s)
	}
}

// TestUpstreamThatReadsNothing: acknowledgements that nobody takes hold up no change.
func TestUpstreamThatReadsNothing(t *testing.T) {
	n := newNetwork()
	last := make(chan *snapshot.Snapshot, 1)
	l := &liar{scripts: []func(*stage) error{func(s *stage) error {
		s.welcome()
		now, _ := snapshot.New("production", epoch).Next(1, nil, nil)
		s.send(updatesOf(now.Full())[0])
		item := flagItem(t, "a", "")
		for revision := int64(2); revision < 5000; revision++ {
			item.ModRevision = revision
			next, d := now.Next(revision, []snapshot.Item{item}, nil)
			s.send(updatesOf(d)[0])
			now = next
		}
		last <- now
		return s.hold()
	}}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	run(t, n.options(set, "relay", "up"))
	eventually(t, "the last state", has(set.Replica("production"), <-last))
	if l.hello(1) != nil {
		t.Error("a second stream was opened")
	}
}

// TestUpstreamsThatAreNotThere: one refuses connections, one takes them and is silent.
func TestUpstreamsThatAreNotThere(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	n.listen("silent")
	n.serve(t, "up", up.hub)
	last := up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
	set := replica.NewSet(replica.Options{})
	o := n.options(set, "relay", "nowhere", "silent", "up")
	o.DeadAfter = 200 * time.Millisecond
	run(t, o)
	eventually(t, "a state", has(set.Add("production"), last))
}

// TestNewEpoch: a restored store is followed to an older revision, and the history of
// the old one is not resumed from.
func TestNewEpoch(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	up := newSource(t, "server", 0, "production")
	if err := up.replica.Publish(h.three, h.three.Full()); err != nil {
		t.Fatal(err)
	}
	n.serve(t, "up", up.hub)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	run(t, n.options(set, "relay", "up"))
	eventually(t, "the old epoch", has(r, h.three))
	restored := newHistory(t, snapshot.Epoch{Counter: 2})
	if err := up.replica.Publish(restored.one, restored.one.Full()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new epoch", has(r, restored.one))
	if err := up.replica.Publish(restored.two, snapshot.Diff(restored.one, restored.two)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a change of it", has(r, restored.two))
}

// TestEpochThatIsOver: an upstream that is cut off still has the epoch before; whoever was
// told of the new one does not go back to it.
func TestEpochThatIsOver(t *testing.T) {
	h, restored, n := newHistory(t, epoch), newHistory(t, snapshot.Epoch{Counter: epoch.Counter + 1}), newNetwork()
	full := func(s *stage, of *snapshot.Snapshot) {
		s.welcome()
		s.send(updatesOf(of.Full())[0])
	}
	l := &liar{scripts: []func(*stage) error{
		func(s *stage) error { full(s, h.two); return nil },
		func(s *stage) error { full(s, restored.one); return nil },
		func(s *stage) error { full(s, h.three); return s.hold() }, // must be left
		func(s *stage) error {
			if c := s.hello.GetScopes()[0].GetCursor(); c.GetEpoch().GetCounter() != restored.one.Cursor().Epoch.Counter {
				t.Errorf("it went back to %v", c)
			}
			full(s, restored.two)
			return s.hold()
		},
	}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	o := n.options(set, "relay", "up")
	o.DeadAfter = 500 * time.Millisecond
	run(t, o)
	eventually(t, "the new epoch goes on", has(r, restored.two))
}

// TestFullIsADeltaBelow: what comes whole because the upstream has lost its history is
// passed on as the difference.
func TestFullIsADeltaBelow(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	up := newSource(t, "server", 0, "production")
	if err := up.replica.Publish(h.two, h.two.Full()); err != nil {
		t.Fatal(err)
	}
	n.serve(t, "up", up.hub)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	r.Restore(h.one, time.Hour)
	_, sub := r.Subscribe()
	run(t, n.options(set, "relay", "up"))
	eventually(t, "state two", has(r, h.two))
	c, lost, err := sub.Next(t.Context())
	if err != nil || lost || c.Delta.Full || len(c.Delta.Puts) != 1 || c.Snapshot.Cursor() != h.two.Cursor() {
		t.Errorf("%+v, lost %v, %v", c.Delta, lost, err)
	}
}

// TestRejections: items that this process cannot use are named in its Ack.
func TestRejections(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	n.serve(t, "up", up.hub)
	set := replica.NewSet(replica.Options{})
	run(t, n.options(set, "relay", "up"))
	broken := snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, Key: "broken", Data: []byte{0xff}}
	up.publish(t, []snapshot.Item{flagItem(t, "a", ""), broken})
	rejections := func() int {
		if fs := up.hub.Followers(); len(fs) == 1 {
			return fs[0].Rejections["production"]
		}
		return 0
	}
	eventually(t, "a rejection", func() bool { return rejections() == 1 })
	eventually(t, "what is sound", has(set.Replica("production"), up.replica.Snapshot()))
	if e := set.Replica("production").Snapshot().Eval(); e.Flag("a") == nil || e.Flag("broken") != nil {
		t.Error("what is in force is wrong")
	}
	up.publish(t, []snapshot.Item{flagItem(t, "broken", "")})
	eventually(t, "no rejection", func() bool { return rejections() == 0 })
}

// TestCutInTheMiddle: what a stream that ended left staged is gone, and that is no
// reason to ask for everything.
func TestCutInTheMiddle(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	l := &liar{scripts: []func(*stage) error{
		func(s *stage) error {
			s.welcome()
			u := updatesOf(snapshot.Diff(h.one, h.two))[0]
			u.Commit = nil
			s.send(u)
			return nil
		},
		func(s *stage) error {
			s.welcome()
			// Before the first update a heartbeat says nothing about what is here.
			s.send(&syncv1.Heartbeat{Environments: []*syncv1.EnvironmentStatus{{Environment: "production", Cursor: h.two.Cursor().Proto()}}})
			s.send(updatesOf(snapshot.Diff(h.one, h.two))[0])
			return s.hold()
		},
	}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	r.Restore(h.one, time.Hour)
	run(t, n.options(set, "relay", "up"))
	eventually(t, "state two", has(r, h.two))
	if l.hello(1).GetScopes()[0].GetCursor() == nil || l.hello(2) != nil {
		t.Error("it did not simply go on")
	}
}

// TestHeartbeatWithoutAge says nothing of how old the state is, so nobody may claim it.
func TestHeartbeatWithoutAge(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	told := make(chan struct{})
	l := &liar{scripts: []func(*stage) error{func(s *stage) error {
		s.welcome()
		s.send(updatesOf(h.one.Full())[0])
		s.send(&syncv1.Heartbeat{Environments: []*syncv1.EnvironmentStatus{{Environment: "production", Cursor: h.one.Cursor().Proto()}}})
		s.send(updatesOf(snapshot.Diff(h.one, h.two))[0])
		close(told)
		return s.hold()
	}}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	run(t, n.options(set, "relay", "up"))
	<-told
	eventually(t, "what came after it", has(r, h.two))
	if age, ok := r.ConfirmedAge(); ok {
		t.Errorf("it claims to be %v old", age)
	}
}
