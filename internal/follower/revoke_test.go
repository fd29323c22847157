package follower_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// states sends the state of each environment that the hello asks for.
func (s *stage) states(all map[string]*snapshot.Snapshot) {
	s.welcome()
	for _, sc := range s.hello.GetScopes() {
		s.send(updatesOf(all[sc.GetEnvironment()].Full())[0])
	}
}

// asked are the environments of a hello.
func asked(h *syncv1.Hello) []string {
	var names []string
	for _, sc := range h.GetScopes() {
		names = append(names, sc.GetEnvironment())
	}
	return names
}

func stateOf(t testing.TB, environment string, revision int64) *snapshot.Snapshot {
	item := flagItem(t, "a", "")
	item.ModRevision = revision
	s, _ := snapshot.New(environment, epoch).Next(revision, []snapshot.Item{item}, nil)
	return s
}

func revoked(backoff time.Duration, environments ...string) *syncv1.Goodbye {
	return &syncv1.Goodbye{Code: syncv1.Goodbye_CODE_REVOKED, Backoff: durationpb.New(backoff), Environments: environments}
}

// TestRevokedOne: the state of the environment is gone, also from the journal; the others
// go on at once from where they were; it is asked for again, from nothing, and is served
// again once it is granted, at whatever revision.
func TestRevokedOne(t *testing.T) {
	n := newNetwork()
	before := map[string]*snapshot.Snapshot{"production": stateOf(t, "production", 9), "staging": stateOf(t, "staging", 9)}
	after := map[string]*snapshot.Snapshot{"production": stateOf(t, "production", 5), "staging": before["staging"]}
	granted := make(chan struct{})
	refuse := func(s *stage) error {
		s.states(map[string]*snapshot.Snapshot{"production": before["production"], "staging": before["staging"]})
		s.send(revoked(time.Hour, "production", "elsewhere"))
		return nil
	}
	l := &liar{scripts: []func(*stage) error{refuse, func(s *stage) error {
		if !slices.Contains(asked(s.hello), "production") {
			s.states(before)
			return s.hold()
		}
		select {
		case <-granted:
			s.states(after)
			return s.hold()
		default:
			s.welcome()
			s.send(revoked(time.Hour, "production"))
			return nil
		}
	}}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	production, staging := set.Add("production"), set.Add("staging")
	o := n.options(set, "relay", "up")
	o.BackoffMin, o.BackoffMax = 300*time.Millisecond, 300*time.Millisecond // on a busy machine, too, the second stream comes before
	o.Environments = []string{"production", "staging"}
	d := newDisk()
	o.Journal = d
	shown := watch(t, staging)
	run(t, o)
	eventually(t, "a third question for production", func() bool {
		i := 0
		for j := range 1000 {
			if slices.Contains(asked(l.hello(j)), "production") {
				i++
			}
		}
		return i >= 3
	})
	if production.Snapshot() != nil || !production.Purged() || d.load("production") != nil {
		t.Error("what was revoked is still there")
	}
	second := l.hello(1)
	if !slices.Equal(asked(second), []string{"staging"}) || second.GetScopes()[0].GetCursor() == nil {
		t.Errorf("the second stream is about %v", second.GetScopes())
	}
	for j := 2; l.hello(j) != nil; j++ {
		for _, sc := range l.hello(j).GetScopes() {
			if (sc.GetEnvironment() == "staging") != (sc.GetCursor() != nil) {
				t.Errorf("stream %d is opened with %v", j, sc)
			}
		}
	}
	close(granted)
	eventually(t, "it is granted again", has(production, after["production"]))
	if d.load("production").Cursor() != after["production"].Cursor() {
		t.Error("what was granted again is not in the journal")
	}
	for _, c := range shown() {
		if c != before["staging"].Cursor() {
			t.Errorf("staging showed %v", c)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.forgotten == nil || slices.Contains(d.forgotten, "staging") {
		t.Errorf("forgotten: %v", d.forgotten)
	}
}

// TestRevokedAll: without names, it is all that the stream was about.
func TestRevokedAll(t *testing.T) {
	n := newNetwork()
	state := stateOf(t, "production", 9)
	l := &liar{scripts: []func(*stage) error{
		func(s *stage) error {
			s.states(map[string]*snapshot.Snapshot{"production": state})
			s.send(revoked(0))
			return nil
		},
		func(s *stage) error {
			s.states(map[string]*snapshot.Snapshot{"production": state})
			return s.hold()
		},
	}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	d := newDisk()
	o := n.options(set, "relay", "up")
	o.Journal = d
	run(t, o)
	eventually(t, "a second question", func() bool { return l.hello(1) != nil })
	eventually(t, "it is asked for again", has(r, state))
	if l.hello(1).GetScopes()[0].GetCursor() != nil {
		t.Error("it was asked for with the cursor of what was revoked")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.forgotten, []string{"production"}) {
		t.Errorf("forgotten: %v", d.forgotten)
	}
}

// TestRevokedIsNotAcknowledged: what was on its way to the disk when it was revoked is
// not acknowledged on the next stream.
func TestRevokedIsNotAcknowledged(t *testing.T) {
	n := newNetwork()
	state := stateOf(t, "production", 9)
	acks, syncing, proceed := make(chan *syncv1.Ack, 10), make(chan struct{}), make(chan struct{})
	l := &liar{scripts: []func(*stage) error{
		func(s *stage) error {
			s.states(map[string]*snapshot.Snapshot{"production": state})
			<-syncing
			s.send(revoked(0))
			return nil
		},
		func(s *stage) error {
			s.welcome()
			for {
				m, err := s.stream.Recv()
				if err != nil {
					return err
				}
				acks <- m.GetAck()
			}
		},
	}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	d := newDisk()
	d.onSync = func() error { close(syncing); <-proceed; return nil }
	o := n.options(set, "relay", "up")
	o.Journal = d
	_, stop := run(t, o)
	eventually(t, "it denies, however slow the disk is", r.Purged)
	close(proceed)
	eventually(t, "a second stream", func() bool { return l.hello(1) != nil })
	stop()
	close(acks)
	for ack := range acks {
		t.Errorf("acknowledged %v", ack)
	}
}
