package hub_test

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	full  = syncv1.Begin_MODE_FULL
	delta = syncv1.Begin_MODE_DELTA
	none  = syncv1.Begin_MODE_NONE
)

func TestHello(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production", "staging")
	b.publish("production", 1, "a")
	many := make([]string, 65)
	for i := range many {
		many[i] = "production"
	}
	for name, tc := range map[string]struct {
		spoil   func(*syncv1.Hello)
		code    codes.Code
		goodbye syncv1.Goodbye_Code
	}{
		"protocol 0":           {func(h *syncv1.Hello) { h.Protocol = 0 }, codes.FailedPrecondition, 0},
		"protocol 2":           {func(h *syncv1.Hello) { h.Protocol = 2 }, codes.FailedPrecondition, 0},
		"no instance id":       {func(h *syncv1.Hello) { h.InstanceId = "" }, codes.InvalidArgument, 0},
		"long instance id":     {func(h *syncv1.Hello) { h.InstanceId = string(make([]byte, 257)) }, codes.InvalidArgument, 0},
		"no boot id":           {func(h *syncv1.Hello) { h.BootId = "" }, codes.InvalidArgument, 0},
		"long region":          {func(h *syncv1.Hello) { h.Region = string(make([]byte, 257)) }, codes.InvalidArgument, 0},
		"no path":              {func(h *syncv1.Hello) { h.Path = nil }, codes.InvalidArgument, 0},
		"path of another":      {func(h *syncv1.Hello) { h.Path = []string{"f", "other"} }, codes.InvalidArgument, 0},
		"long path":            {func(h *syncv1.Hello) { h.Path = []string{"a", "b", "c", "d", "f"} }, codes.InvalidArgument, 0},
		"empty hop":            {func(h *syncv1.Hello) { h.Path = []string{"", "f"} }, codes.InvalidArgument, 0},
		"long hop":             {func(h *syncv1.Hello) { h.Path = []string{string(make([]byte, 257)), "f"} }, codes.InvalidArgument, 0},
		"no scopes":            {func(h *syncv1.Hello) { h.Scopes = nil }, codes.InvalidArgument, 0},
		"too many scopes":      {func(h *syncv1.Hello) { h.Scopes = hello("f", many...).Scopes }, codes.InvalidArgument, 0},
		"the same scope twice": {func(h *syncv1.Hello) { h.Scopes = hello("f", "staging", "staging").Scopes }, codes.InvalidArgument, 0},
		"bad cursor":           {func(h *syncv1.Hello) { h.Scopes[0].Cursor = &syncv1.Cursor{} }, codes.InvalidArgument, 0},
		"unknown environments": {func(h *syncv1.Hello) { h.Scopes = hello("f", "nowhere", "elsewhere").Scopes }, codes.NotFound, 0},
		"unnamed environment":  {func(h *syncv1.Hello) { h.Scopes[0].Environment = "" }, codes.NotFound, 0},
		"loop":                 {func(h *syncv1.Hello) { h.Path = []string{"hub", "f"} }, codes.OK, syncv1.Goodbye_CODE_LOOP},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			h := hello("f", "production")
			tc.spoil(h)
			c := b.open()
			c.hello(h)
			if tc.goodbye != 0 {
				if g := c.goodbye(); g.GetCode() != tc.goodbye || g.GetMessage() == "" || g.GetBackoff().AsDuration() <= 0 {
					t.Errorf("goodbye %v", g)
				}
				return
			}
			if m, err := c.stream.Recv(); status.Code(err) != tc.code || status.Convert(err).Message() == "" {
				t.Errorf("%v, %v; want %s", m, err, tc.code)
			}
		})
	}
	if f := b.hub.Followers(); len(f) != 0 {
		t.Errorf("followers %v", f)
	}
}

func TestStreamKeepsToTheProtocol(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production")
	first := b.publish("production", 1, "a")
	for name, tc := range map[string]struct {
		send []*syncv1.StreamRequest
		code codes.Code
	}{
		"ack first":     {[]*syncv1.StreamRequest{{Message: &syncv1.StreamRequest_Ack{Ack: &syncv1.Ack{}}}}, codes.InvalidArgument},
		"unknown first": {[]*syncv1.StreamRequest{{}}, codes.InvalidArgument},
		"hello twice": {[]*syncv1.StreamRequest{
			{Message: &syncv1.StreamRequest_Hello{Hello: hello("f", "production")}},
			{Message: &syncv1.StreamRequest_Hello{Hello: hello("f", "production")}},
		}, codes.InvalidArgument},
		"bad ack": {[]*syncv1.StreamRequest{
			{Message: &syncv1.StreamRequest_Hello{Hello: hello("f", "production")}},
			{Message: &syncv1.StreamRequest_Ack{Ack: &syncv1.Ack{Environment: "production"}}},
		}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			c := b.open()
			for _, m := range tc.send {
				if err := c.stream.Send(m); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			for err == nil {
				_, err = c.stream.Recv()
			}
			if status.Code(err) != tc.code {
				t.Errorf("%v; want %s", err, tc.code)
			}
		})
	}

	// What it does not know is ignored; who closes its side is let go.
	b.t = t
	c := b.follow(nil, "production")
	c.expect(full, first)
	if err := c.stream.Send(&syncv1.StreamRequest{}); err != nil {
		t.Fatal(err)
	}
	c.ack(&syncv1.Ack{Environment: "elsewhere"})
	c.expect(delta, b.publish("production", 1, "b"))
	if err := c.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := c.stream.Recv(); err != nil {
			if err.Error() != "EOF" {
				t.Error(err)
			}
			break
		}
	}
	eventually(t, "no follower", func() bool { return len(b.hub.Followers()) == 0 })
}

func TestModes(t *testing.T) {
	b := newBed(t, hub.Options{BehindWait: time.Millisecond}, 0, "production")
	var states []*snapshot.Snapshot
	for _, k := range []string{"a", "b", "c", "a"} {
		states = append(states, b.publish("production", 10, k))
	}
	production := func(s *snapshot.Snapshot) map[string]*snapshot.Snapshot {
		return map[string]*snapshot.Snapshot{"production": s}
	}
	last := states[len(states)-1]

	t.Run("from nothing", func(t *testing.T) {
		b.t = t
		b.follow(nil, "production").expect(full, last)
	})
	t.Run("current", func(t *testing.T) {
		b.t = t
		b.follow(production(last), "production").expect(none, last)
	})
	t.Run("from the history", func(t *testing.T) {
		b.t = t
		for _, s := range states[:len(states)-1] {
			b.follow(production(s), "production").expect(delta, last) // in one
		}
	})
	t.Run("of another epoch", func(t *testing.T) {
		b.t = t
		other, _ := snapshot.New("production", snapshot.Epoch{Counter: 9}).Next(100, []snapshot.Item{item("x", 100, 1)}, nil)
		b.follow(production(other), "production").expect(full, last)
	})
	t.Run("never seen", func(t *testing.T) {
		b.t = t
		other, _ := states[1].Next(3, []snapshot.Item{item("x", 3, 1)}, nil)
		b.follow(production(other), "production").expect(full, last)
	})
	t.Run("ahead", func(t *testing.T) {
		b.t = t
		c := b.follow(production(last.Advance(100)), "production")
		if g := c.goodbye(); g.GetCode() != syncv1.Goodbye_CODE_BEHIND {
			t.Errorf("goodbye %v", g)
		}
	})
}

// TestWaitsToCatchUp: a follower that is ahead is kept for a while, and served once the
// replica is there.
func TestWaitsToCatchUp(t *testing.T) {
	b := newBed(t, hub.Options{BehindWait: time.Minute}, 0, "production", "staging")
	state := b.publish("production", 1, "a")
	staging := b.publish("staging", 1, "a")
	c := b.follow(map[string]*snapshot.Snapshot{"production": state.Advance(50)}, "production", "staging")
	c.expect(full, staging) // which is not held up
	b.set.Replica("production").Advance(60)
	c.expect(none, state.Advance(60))
}

func TestEmptyEnvironmentHoldsUpNone(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: time.Millisecond}, 0, "production", "staging", "dev")
	staging := b.publish("staging", 1, "a")
	c := b.follow(nil, "production", "staging", "dev")
	c.expect(full, staging)
	c.expect(delta, b.publish("staging", 1, "b"))
	c.expect(full, b.publish("dev", 1, "a"))
	c.expect(full, b.publish("production", 1, "a"))
	c.expect(delta, b.publish("production", 1, "b"))
}

// TestNothingToServe: who waits for a first state is sent elsewhere, unless there is one
// of another environment that it follows.
func TestNothingToServe(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: time.Millisecond, EmptyWait: 5 * time.Millisecond}, 0, "production", "empty", "void")
	state := b.publish("production", 1, "a")
	c := b.follow(nil, "empty", "void")
	var err error
	for err == nil {
		_, err = c.stream.Recv()
	}
	if status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
	c = b.follow(nil, "empty", "production")
	c.expect(full, state)
	for range 20 {
		c.recv()
	}
	c.expect(full, b.publish("empty", 1, "a"))
}

func TestLargeStateTravelsInChunks(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production")
	state := b.publish("production", 1000, keys(3000)...)
	c := b.follow(nil, "production")
	chunks := 0
	for c.have["production"] == nil {
		u := c.recv().GetUpdate()
		chunks++
		if n := len(u.GetPuts()); n > snapshot.ChunkItems {
			t.Fatalf("%d items in one message", n)
		}
		c.apply(u)
	}
	if c.have["production"].Cursor() != state.Cursor() || chunks < 3000*1000/snapshot.ChunkBytes {
		t.Errorf("%d chunks, to %v", chunks, c.have["production"].Cursor())
	}
}

func TestHeartbeats(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: time.Millisecond, Path: func() []string { return []string{"root", "between", "hub"} }}, 0, "production", "quiet")
	state := b.publish("production", 1, "a")
	c := b.open()
	c.hello(hello("f", "production", "quiet"))
	if w := c.recv().GetWelcome(); w.GetHops() != 2 || w.GetHeadRevision() != 1 || w.GetHeartbeatInterval().AsDuration() != time.Millisecond {
		t.Errorf("welcome %v", w)
	}
	c.expect(full, state)
	// Nobody said yet how old the state is: so nothing is passed on.
	for range 5 {
		if h := c.recv().GetHeartbeat(); h == nil || len(h.GetEnvironments()) != 0 {
			t.Fatalf("heartbeat %v", h)
		}
	}
	b.set.Replica("production").Observe(70, time.Hour)
	for {
		h := c.recv().GetHeartbeat()
		if len(h.GetEnvironments()) == 0 {
			continue
		}
		e := h.GetEnvironments()[0]
		c.checkStatus(e)
		if age := e.GetAge().AsDuration(); len(h.GetEnvironments()) != 1 || e.GetCursor().GetRevision() != 70 || age < time.Hour || age > 2*time.Hour {
			t.Errorf("heartbeat %v", h)
		}
		break
	}
}

// TestHeartbeatsAmongChanges: a heartbeat never names a state that was not sent before.
func TestHeartbeatsAmongChanges(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: 50 * time.Microsecond}, 0, "production")
	b.publish("production", 1, "a")
	b.set.Replica("production").Confirm(0)
	c := b.follow(nil, "production")
	const last = 3000
	beat := make(chan struct{}, 1)
	go func() {
		for range last - 1 {
			if s := b.publish("production", 1, "a"); s.Cursor().Revision%100 == 0 {
				select {
				case <-beat: // there are some on the way
				case <-t.Context().Done():
					return
				}
			}
			b.set.Replica("production").Confirm(0)
		}
	}()
	for c.have["production"] == nil || c.have["production"].Cursor().Revision < last {
		m := c.recv()
		for _, e := range m.GetHeartbeat().GetEnvironments() {
			c.checkStatus(e)
			select {
			case beat <- struct{}{}:
			default:
			}
		}
		if u := m.GetUpdate(); u != nil {
			c.apply(u)
		}
	}
}

// TestSlow: a follower that reads slower than things change gets the difference in one,
// or, if that is beyond the history, everything; after that it goes on.
func TestSlow(t *testing.T) {
	for name, tc := range map[string]struct {
		history int
		mode    syncv1.Begin_Mode
		lost    float64
	}{
		"within the history": {0, delta, 0},
		"beyond it":          {-1, full, 1},
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			b := newBed(t, hub.Options{Registerer: registry}, tc.history, "production")
			state := b.publish("production", 10_000, keys(100)...) // 1 MB
			c := b.follow(nil, "production")
			c.apply(c.recv().GetUpdate())
			// It reads no more: the hub is in the middle of the first state. Another does.
			other := b.follow(map[string]*snapshot.Snapshot{"production": state}, "production")
			other.expect(none, state)
			var last *snapshot.Snapshot
			for range 100 {
				last = b.publish("production", 10_000, "key-00001", "key-00002")
				other.expect(delta, last)
			}
			if _, s := c.update(); s.Cursor() != state.Cursor() {
				t.Fatalf("to %v", s.Cursor())
			}
			c.expect(tc.mode, last)
			if lost := metric(t, registry, "tidegate_hub_lost_total"); lost != tc.lost {
				t.Errorf("lost %v times", lost)
			}
			c.expect(delta, b.publish("production", 10, "key-00003"))
		})
	}
}

// TestNewEpoch: a follower goes on in the new one, with everything.
func TestNewEpoch(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production")
	c := b.follow(nil, "production")
	c.expect(full, b.publish("production", 10, "a"))
	restored, _ := snapshot.New("production", snapshot.Epoch{Counter: 2}).Next(1, []snapshot.Item{item("a", 1, 1)}, nil)
	if err := b.set.Replica("production").Publish(restored, restored.Full()); err != nil {
		t.Fatal(err)
	}
	c.expect(full, restored)
	c.expect(delta, b.publish("production", 1, "b"))
}

// TestLostAlmostEverything: where the difference is more than what is left, what is left
// is sent.
func TestLostAlmostEverything(t *testing.T) {
	b := newBed(t, hub.Options{}, -1, "production")
	state := b.publish("production", 10_000, keys(100)...)
	c := b.open()
	c.hello(hello("f", "production"))
	eventually(t, "a follower", func() bool { return len(b.hub.Followers()) == 1 })
	// It is blocked in the middle of the first state.
	var gone []snapshot.ID
	for _, k := range keys(100) {
		gone = append(gone, item(k, 1, 1).ID())
	}
	r := b.set.Replica("production")
	empty, d := state.Next(2, nil, gone)
	if err := r.Publish(empty, d); err != nil {
		t.Fatal(err)
	}
	b.publish("production", 1, "x")
	last := b.publish("production", 1, "y")
	c.recv() // welcome
	c.expect(full, state)
	c.expect(full, last)
}

func metric(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	if i < 0 {
		t.Fatalf("no metric %s", name)
	}
	m := families[i].GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestFollowers(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := newBed(t, hub.Options{Registerer: registry}, 0, "production")
	state := b.publish("production", 1, "a")
	h := hello("f2", "production")
	h.Path = []string{"below", "f2"}
	two, one := b.open(), b.open()
	two.hello(h)
	one.hello(hello("f1", "production"))
	eventually(t, "two followers", func() bool { return len(b.hub.Followers()) == 2 })
	if n := metric(t, registry, "tidegate_hub_unacknowledged_scopes"); n != 2 {
		t.Errorf("%v scopes are unacknowledged", n)
	}
	two.ack(&syncv1.Ack{Environment: "production", Cursor: state.Cursor().Proto(), Rejections: []*syncv1.Rejection{{Key: "a"}}})
	eventually(t, "an acknowledgement", func() bool { return len(b.hub.Followers()[1].Acked) == 1 })
	f := b.hub.Followers()[1]
	if f.InstanceID != "f2" || f.Region != "here" || f.Version != "1" || f.Peer == "" || f.Since.IsZero() ||
		!slices.Equal(f.Path, []string{"below", "f2"}) || !slices.Equal(f.Environments, []string{"production"}) ||
		f.Acked["production"] != state.Cursor() || f.Rejections["production"] != 1 {
		t.Errorf("follower %+v", f)
	}
	for name, want := range map[string]float64{
		"tidegate_hub_followers": 2, "tidegate_hub_unacknowledged_scopes": 1, "tidegate_hub_rejected_items": 1,
	} {
		if got := metric(t, registry, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	one.cancel()
	two.cancel()
	eventually(t, "no follower", func() bool { return len(b.hub.Followers()) == 0 })
}

// An environment that is not known does not keep the others from being served, and is
// served itself as soon as it is known.
func TestUnknownEnvironment(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: time.Millisecond}, 0, "production")
	want := b.publish("production", 1, "a")
	c := b.open()
	c.hello(hello("f", "later", "production"))
	if unknown := c.recv().GetWelcome().GetUnknownEnvironments(); !slices.Equal(unknown, []string{"later"}) {
		t.Errorf("unknown are %q", unknown)
	}
	c.expect(full, want)
	b.set.Add("later")
	c.expect(full, b.publish("later", 1, "a"))
	c.expect(delta, b.publish("production", 1, "b"))
}

// An environment that is added is served at once to those that wait for it: not with their next
// heartbeat, of which there is none here.
func TestAddedEnvironment(t *testing.T) {
	b := newBed(t, hub.Options{Heartbeat: time.Hour}, 0, "production")
	want := b.publish("production", 1, "a")
	var waiting []*client
	for _, name := range []string{"one", "two"} {
		c := b.open()
		c.hello(hello(name, "later", "production"))
		c.recv() // the welcome
		c.expect(full, want)
		waiting = append(waiting, c)
	}
	b.set.Add("later")
	added := b.publish("later", 1, "a")
	for _, c := range waiting {
		c.expect(full, added)
	}
}
