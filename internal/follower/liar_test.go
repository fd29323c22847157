package follower_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// liar is an upstream that plays one script a stream; the last one again and again.
type liar struct {
	syncv1.UnimplementedSyncServiceServer
	scripts []func(*stage) error

	mu     sync.Mutex
	hellos []*syncv1.Hello
}

// stage is one stream of a liar.
type stage struct {
	stream grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]
	hello  *syncv1.Hello
}

func (l *liar) Stream(stream grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]) error {
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.hellos = append(l.hellos, m.GetHello())
	script := l.scripts[min(len(l.hellos), len(l.scripts))-1]
	l.mu.Unlock()
	return script(&stage{stream: stream, hello: m.GetHello()})
}

func (l *liar) hello(i int) *syncv1.Hello {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i >= len(l.hellos) {
		return nil
	}
	return l.hellos[i]
}

// count is how many streams were opened.
func (l *liar) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.hellos)
}

func (s *stage) welcome() { s.send(&syncv1.Welcome{InstanceId: "liar"}) }

func (s *stage) send(m proto.Message) {
	r := &syncv1.StreamResponse{}
	switch m := m.(type) {
	case *syncv1.Welcome:
		r.Message = &syncv1.StreamResponse_Welcome{Welcome: m}
	case *syncv1.Update:
		r.Message = &syncv1.StreamResponse_Update{Update: m}
	case *syncv1.Heartbeat:
		r.Message = &syncv1.StreamResponse_Heartbeat{Heartbeat: m}
	case *syncv1.Goodbye:
		r.Message = &syncv1.StreamResponse_Goodbye{Goodbye: m}
	case *syncv1.Preview:
		r.Message = &syncv1.StreamResponse_Preview{Preview: m}
	}
	_ = s.stream.Send(r) // a stream that ended is found by hold
}

// hold keeps the stream open until the follower closes it.
func (s *stage) hold() error {
	<-s.stream.Context().Done()
	return s.stream.Context().Err()
}

func updatesOf(d snapshot.Delta) []*syncv1.Update {
	var all []*syncv1.Update
	for u := range d.Updates() {
		all = append(all, proto.Clone(u).(*syncv1.Update))
	}
	return all
}

// history is a short one, of one environment.
type history struct{ one, two, three *snapshot.Snapshot }

func newHistory(t testing.TB, e snapshot.Epoch) history {
	at := func(key string, revision int64) []snapshot.Item {
		it := flagItem(t, key, "")
		it.ModRevision = revision
		return []snapshot.Item{it}
	}
	one, _ := snapshot.New("production", e).Next(10, at("a", 10), nil)
	two, _ := one.Next(20, at("b", 20), nil)
	three, _ := two.Next(30, at("a", 30), []snapshot.ID{at("b", 20)[0].ID()})
	return history{one, two, three}
}

// TestLies: the upstream sends state one, then a lie. What is shown is never anything
// but state one, until a new stream, without a cursor, brings state three.
func TestLies(t *testing.T) {
	h := newHistory(t, epoch)
	whole := func(s *snapshot.Snapshot) *syncv1.Update { return updatesOf(s.Full())[0] }
	change := func() *syncv1.Update { return updatesOf(snapshot.Diff(h.one, h.two))[0] }
	other := newHistory(t, snapshot.Epoch{Counter: 5})
	status := func(c snapshot.Cursor) *syncv1.Heartbeat {
		return &syncv1.Heartbeat{Environments: []*syncv1.EnvironmentStatus{{Environment: "production", Cursor: c.Proto()}}}
	}
	for name, lie := range map[string]func(*stage){
		"wrong digest": func(s *stage) {
			u := change()
			u.Begin.Target.Digest[0]++
			u.Commit.Cursor.Digest[0] = u.Begin.Target.Digest[0]
			s.send(u)
		},
		"digest of commit is another": func(s *stage) {
			u := change()
			u.Commit.Cursor = h.three.Cursor().Proto()
			s.send(u)
		},
		"flipped bit": func(s *stage) {
			u := change()
			u.Puts[0].Data[3] ^= 4
			s.send(u)
		},
		"wrong base": func(s *stage) {
			s.send(updatesOf(snapshot.Diff(h.two, h.three))[0])
		},
		"base of another epoch": func(s *stage) {
			s.send(updatesOf(snapshot.Diff(other.one, other.two))[0])
		},
		"commit without begin": func(s *stage) {
			u := change()
			u.Begin = nil
			s.send(u)
		},
		"begin inside another": func(s *stage) {
			u := change()
			u.Commit = nil
			s.send(u)
			s.send(change())
		},
		"chunks of two updates mixed": func(s *stage) {
			first, second := whole(h.three), change()
			first.Commit, second.Begin = nil, nil
			s.send(first)
			s.send(second)
		},
		"none, but it is another": func(s *stage) {
			s.send(h.two.Unchanged(h.two.Cursor()))
		},
		"delete of nothing": func(s *stage) {
			u := change()
			u.Deletes = []*syncv1.Delete{{Kind: syncv1.Kind_KIND_FLAG, Key: "zz", ModRevision: 1}}
			s.send(u)
		},
		"unknown mode": func(s *stage) {
			u := change()
			u.Begin.Mode = 17
			s.send(u)
		},
		"no target": func(s *stage) {
			u := change()
			u.Begin.Target = nil
			s.send(u)
		},
		"too large": func(s *stage) {
			for u := whole(h.three); ; u.Begin = nil {
				u.Puts[0].Data, u.Commit = make([]byte, 100_000), nil
				s.send(u)
				if s.stream.Context().Err() != nil {
					return
				}
			}
		},
		"heartbeat of another state": func(s *stage) { s.send(status(h.two.Cursor())) },
		"heartbeat of another epoch": func(s *stage) { s.send(status(other.one.Cursor())) },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork()
			l := &liar{scripts: []func(*stage) error{
				func(s *stage) error {
					s.welcome()
					s.send(whole(h.one))
					lie(s)
					return s.hold()
				},
				func(s *stage) error {
					s.welcome()
					s.send(whole(h.three))
					return s.hold()
				},
			}}
			n.serve(t, "liar", l)
			set := replica.NewSet(replica.Options{})
			r := set.Add("production")
			shown := watch(t, r)
			o := n.options(set, "relay", "liar")
			o.MaxStagedBytes = 1 << 20
			run(t, o)
			eventually(t, "the truth", has(r, h.three))
			if c := l.hello(1).GetScopes()[0].GetCursor(); c != nil {
				t.Errorf("the second stream was opened with the cursor %v", c)
			}
			for _, c := range shown() {
				if c != h.one.Cursor() && c != h.three.Cursor() {
					t.Errorf("%v was shown", c)
				}
			}
		})
	}
}

// watch records what a replica shows, until the returned function is called, and
// complains if a revision goes back within an epoch.
func watch(t *testing.T, r *replica.Replica) (shown func() []snapshot.Cursor) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	var cursors []snapshot.Cursor
	go func() {
		defer close(done)
		for {
			if s := r.Snapshot(); s != nil {
				c := s.Cursor()
				if n := len(cursors); n == 0 || cursors[n-1] != c {
					if n > 0 && cursors[n-1].Epoch == c.Epoch && c.Revision < cursors[n-1].Revision {
						t.Errorf("the revision went back from %v to %v", cursors[n-1], c)
					}
					cursors = append(cursors, c)
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Microsecond):
			}
		}
	}()
	var once sync.Once
	end := func() { once.Do(func() { close(stop); <-done }) }
	t.Cleanup(end)
	return func() []snapshot.Cursor { end(); return cursors }
}

// TestLyingForever: an upstream that lies with every stream does not take the state away.
// That it does not make the follower spin is for the rotation's tests.
func TestLyingForever(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	l := &liar{scripts: []func(*stage) error{func(s *stage) error {
		s.welcome()
		s.send(updatesOf(h.one.Full())[0])
		u := updatesOf(snapshot.Diff(h.one, h.two))[0]
		u.Puts[0].Data = []byte("no")
		s.send(u)
		return s.hold()
	}}}
	n.serve(t, "liar", l)
	set := replica.NewSet(replica.Options{})
	o := n.options(set, "relay", "liar")
	o.BackoffMin, o.BackoffMax = 10*time.Millisecond, time.Hour
	f, _ := run(t, o)
	eventually(t, "three streams", func() bool { return l.hello(2) != nil })
	eventually(t, "the reason", func() bool {
		err := f.State().Err
		return err != nil && strings.Contains(err.Error(), "digest")
	})
	if s := set.Replica("production").Snapshot(); s.Cursor() != h.one.Cursor() {
		t.Errorf("%v is shown", s.Cursor())
	}
}

// TestWhatIsUnknownIsIgnored: messages and fields of a later protocol.
func TestWhatIsUnknownIsIgnored(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	l := &liar{scripts: []func(*stage) error{func(s *stage) error {
		future := &syncv1.StreamResponse{}
		future.ProtoReflect().SetUnknown([]byte{0xa2, 0x06, 0x01, 'x'}) // field 100
		_ = s.stream.Send(future)
		s.welcome()
		_ = s.stream.Send(future)
		u := updatesOf(h.one.Full())[0]
		u.ProtoReflect().SetUnknown([]byte{0xa2, 0x06, 0x01, 'x'})
		u.Puts[0].ProtoReflect().SetUnknown([]byte{0xa2, 0x06, 0x01, 'x'})
		s.send(u)
		s.send(&syncv1.Heartbeat{Environments: []*syncv1.EnvironmentStatus{{Environment: "elsewhere"}}})
		_ = s.stream.Send(&syncv1.StreamResponse{})
		s.send(updatesOf(snapshot.Diff(h.one, h.two))[0])
		return s.hold()
	}}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	run(t, n.options(set, "relay", "up"))
	eventually(t, "state two", has(set.Add("production"), h.two))
	if l.hello(1) != nil {
		t.Error("a second stream was opened")
	}
}
