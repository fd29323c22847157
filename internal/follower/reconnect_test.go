package follower_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/follower"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// wire is one upstream over connections that can be made to swallow what is sent. It
// notes when it was dialled.
type wire struct {
	listener *bufconn.Listener
	server   *grpc.Server
	// dialling is done to each attempt first; nil: nothing.
	dialling func() (net.Conn, error)
	// ours vanish on the way to the server, theirs on the way back.
	ours, theirs atomic.Bool

	mu    sync.Mutex
	dials []time.Time
}

func newWire(s syncv1.SyncServiceServer) *wire {
	w := &wire{listener: bufconn.Listen(256 << 10), server: grpc.NewServer()}
	syncv1.RegisterSyncServiceServer(w.server, s)
	go func() { _ = w.server.Serve(w.listener) }()
	return w
}

func (w *wire) dial(ctx context.Context, _ string) (net.Conn, error) {
	w.mu.Lock()
	w.dials = append(w.dials, time.Now())
	w.mu.Unlock()
	if w.dialling != nil {
		return w.dialling()
	}
	c, err := w.listener.DialContext(ctx)
	return &holed{c, w}, err
}

// dialled are the moments of the attempts by now.
func (w *wire) dialled() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials
}

// holed is a connection that swallows what its wire swallows.
type holed struct {
	net.Conn
	wire *wire
}

func (h *holed) Write(b []byte) (int, error) {
	if h.wire.ours.Load() {
		return len(b), nil
	}
	return h.Conn.Write(b)
}

func (h *holed) Read(b []byte) (int, error) {
	for {
		n, err := h.Conn.Read(b)
		if err != nil || !h.wire.theirs.Load() {
			return n, err
		}
	}
}

// follow runs a follower with the defaults in a bubble, where an hour takes no time.
func (w *wire) follow(t *testing.T, during func(*follower.Follower, *replica.Replica)) {
	set := replica.NewSet(replica.Options{})
	f, err := follower.New(follower.Options{
		Upstreams: []string{"passthrough:///up"}, Environments: []string{"production"}, Replicas: set, InstanceID: "relay",
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(w.dial), grpc.WithTransportCredentials(insecure.NewCredentials())},
		Logger:      zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	during(f, set.Replica("production"))
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	w.server.Stop()
	_ = w.listener.Close()
	synctest.Wait()
}

// confirmed is a hub of one environment whose state is confirmed all the time, until stop.
func confirmed(t *testing.T) (h *hub.Hub, stop func()) {
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	item := flagItem(t, "a", "")
	item.ModRevision = 1
	s, d := snapshot.New("production", epoch).Next(1, []snapshot.Item{item}, nil)
	if err := r.Publish(s, d); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for ctx.Err() == nil {
			r.Confirm(0)
			time.Sleep(time.Second)
		}
	}()
	return hub.New(hub.Options{Replicas: set, InstanceID: "server"}), cancel
}

// TestAttempts: however an upstream fails, within an hour it is dialled no more often
// than the waits allow, and at most a few times within a minute at the beginning.
func TestAttempts(t *testing.T) {
	silent := func(s *stage) error { return s.hold() }
	for name, c := range map[string]struct {
		script   func(*stage) error
		dialling func(t *testing.T) (net.Conn, error)
		// each attempt takes at least this long.
		takes time.Duration
	}{
		"refused": {dialling: func(*testing.T) (net.Conn, error) { return nil, errors.New("connection refused") }},
		"handshake hangs": {takes: 15 * time.Second, dialling: func(t *testing.T) (net.Conn, error) {
			a, b := net.Pipe()
			t.Cleanup(func() { _ = b.Close() })
			return a, nil
		}},
		"accepted, then silence": {takes: 15 * time.Second, script: silent},
		"welcomed, then silence": {takes: 15 * time.Second, script: func(s *stage) error { s.welcome(); return s.hold() }},
		"ends at once":           {script: func(*stage) error { return nil }},
		"welcomed, then ends":    {script: func(s *stage) error { s.welcome(); return nil }},
		"revokes":                {script: func(s *stage) error { s.welcome(); s.send(revoked(0)); return nil }},
		"another state each time": {script: func(s *stage) error {
			s.welcome()
			s.send(&syncv1.Update{Environment: "production", Commit: &syncv1.Commit{}})
			return s.hold()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(&liar{scripts: []func(*stage) error{c.script}})
				if c.dialling != nil {
					w.dialling = func() (net.Conn, error) { return c.dialling(t) }
				}
				begun := time.Now()
				w.follow(t, func(*follower.Follower, *replica.Replica) { time.Sleep(time.Hour) })
				dials := w.dialled()
				// Waits of 15 s in the middle, after a minute.
				most := int(time.Hour/(15*time.Second+c.takes))*3/2 + 20
				if len(dials) > most || len(dials) < most/4 {
					t.Errorf("%d attempts in an hour, want at most %d", len(dials), most)
				}
				early := 0
				for _, d := range dials {
					if d.Sub(begun) < time.Minute {
						early++
					}
				}
				if early > 25 {
					t.Errorf("%d attempts in the first minute", early)
				}
			})
		})
	}
}

// TestBackoffIsHonoured: nothing is dialled before the upstream wants it, and not much
// later.
func TestBackoffIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(&liar{scripts: []func(*stage) error{func(s *stage) error {
			s.send(&syncv1.Goodbye{Code: syncv1.Goodbye_CODE_OVERLOADED, Backoff: durationpb.New(12 * time.Second)})
			return nil
		}}})
		w.follow(t, func(*follower.Follower, *replica.Replica) { time.Sleep(10 * time.Minute) })
		dials := w.dialled()
		for i := 1; i < len(dials); i++ {
			if wait := dials[i].Sub(dials[i-1]); wait < 12*time.Second || wait > 31*time.Second {
				t.Errorf("attempt %d after %s", i, wait)
			}
		}
		if len(dials) < 20 {
			t.Errorf("%d attempts in ten minutes", len(dials))
		}
	})
}

// TestBlackholes: what the server sends vanishes: within 15 s it is known, the state is
// kept, and it is followed again once it does not. What is sent to the server vanishes:
// it goes on, as what it has is fresh, until the server ends it.
func TestBlackholes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, stop := confirmed(t)
		w := newWire(h)
		w.follow(t, func(f *follower.Follower, r *replica.Replica) {
			time.Sleep(time.Minute)
			fresh := func(what string, connected bool, most time.Duration) {
				t.Helper()
				if s := f.State(); s.Connected != connected || r.Snapshot() == nil || r.Age() > most {
					t.Errorf("%s: %+v, age %s", what, s, r.Age())
				}
			}
			fresh("at first", true, 10*time.Second)
			w.theirs.Store(true)
			time.Sleep(15*time.Second + time.Millisecond)
			fresh("theirs vanish", false, 25*time.Second)
			time.Sleep(10 * time.Minute)
			if age := r.Age(); age < 10*time.Minute {
				t.Errorf("nothing was heard for ten minutes, and the age is %s", age)
			}
			if n := len(w.dialled()); n > 60 {
				t.Errorf("%d attempts in ten minutes", n)
			}
			w.theirs.Store(false)
			time.Sleep(time.Minute)
			fresh("it is heard again", true, 10*time.Second)

			dials := len(w.dialled())
			w.ours.Store(true)
			time.Sleep(10 * time.Minute)
			fresh("ours vanish", true, 10*time.Second)
			if n := len(w.dialled()) - dials; n > 0 {
				t.Errorf("%d attempts though it was heard all the time", n)
			}
		})
		stop()
		time.Sleep(2 * time.Second)
	})
}
