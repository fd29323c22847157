package follower_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// keyFile is what is configured.
type keyFile struct {
	mu     sync.Mutex
	secret string
	err    error
	reads  int
}

func (k *keyFile) read() (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reads++
	return k.secret, k.err
}

func (k *keyFile) set(secret string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.secret, k.err, k.reads = secret, err, 0
}

// looked tells whether it was looked at since it was set, and what came of it.
func (k *keyFile) looked() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reads > 1
}

// presented is the key of a stream.
func (s *stage) presented() string {
	values := metadata.ValueFromIncomingContext(s.stream.Context(), "authorization")
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// TestKeyIsReplaced: another key in the file is presented at once, by a new stream, and what
// is here stays; also if the old one is revoked before that is noticed. One that cannot be
// read changes nothing. A key that is still the configured one takes the state away.
func TestKeyIsReplaced(t *testing.T) {
	n, key := newNetwork(), &keyFile{secret: "first"}
	state := map[string]*snapshot.Snapshot{"production": stateOf(t, "production", 9)}
	var mu sync.Mutex
	var presented []string
	seen := func(want ...string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(presented, want)
		}
	}
	revoke := make(chan struct{})
	l := &liar{scripts: []func(*stage) error{func(s *stage) error {
		mu.Lock()
		presented = append(presented, s.presented())
		mu.Unlock()
		if s.presented() == "Bearer fourth" {
			return status.Error(codes.PermissionDenied, "of another environment")
		}
		s.states(state)
		select {
		case <-s.stream.Context().Done():
		case <-revoke:
			s.send(revoked(time.Hour))
		}
		return nil
	}}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	d := newDisk()
	o := n.options(set, "relay", "up")
	o.Journal, o.Key = d, key.read
	o.BackoffMin, o.BackoffMax = time.Minute, time.Minute // what happens at once does not wait
	f, _ := run(t, o)
	eventually(t, "the first stream", func() bool { return seen("Bearer first")() && has(r, state["production"])() })

	key.set("", errors.New("no such file"))
	connected := f.State().Since
	eventually(t, "it is looked at", key.looked)
	if got := f.State(); !got.Connected || got.Since != connected {
		t.Errorf("without a key to read: %+v", got)
	}
	key.set("second", nil)
	eventually(t, "a stream with the second key", seen("Bearer first", "Bearer second"))
	eventually(t, "it follows", func() bool { return f.State().Connected })
	if l.hello(1).GetScopes()[0].GetCursor() == nil {
		t.Error("it asked for everything")
	}

	key.set("third", nil)
	revoke <- struct{}{}
	eventually(t, "a stream with the third key", seen("Bearer first", "Bearer second", "Bearer third"))
	if r.Purged() || r.Snapshot() == nil || d.load("production") == nil {
		t.Error("what was revoked from a key that is not used any more is gone")
	}

	eventually(t, "it follows", func() bool { return f.State().Connected })
	revoke <- struct{}{}
	eventually(t, "what the configured key lost is gone", r.Purged)
	// Now it waits for long; another key ends the wait.
	key.set("fourth", nil)
	eventually(t, "a stream with the fourth key", func() bool { return l.count() == 4 })
	key.set("fifth", nil)
	eventually(t, "it is served again", has(r, state["production"]))
}
