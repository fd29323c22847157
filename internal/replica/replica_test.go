package replica_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = snapshot.Epoch{Counter: 1}

// item is of a kind that is not compiled: here only its travels matter.
func item(key string, revision int64, size int) snapshot.Item {
	return snapshot.Item{Kind: syncv1.Kind(77), Key: key, ModRevision: revision, Data: make([]byte, size)}
}

// publisher changes one item at each revision.
type publisher struct {
	t       testing.TB
	replica *replica.Replica
	states  []*snapshot.Snapshot // by revision
}

func newPublisher(t testing.TB, historyBytes int) *publisher {
	set := replica.NewSet(replica.Options{HistoryBytes: historyBytes})
	return &publisher{t: t, replica: set.Add("production"), states: []*snapshot.Snapshot{snapshot.New("production", epoch)}}
}

func (p *publisher) publish(size int) *snapshot.Snapshot {
	revision := int64(len(p.states))
	next, d := p.states[revision-1].Next(revision, []snapshot.Item{item(fmt.Sprint(revision%5), revision, size)}, nil)
	if err := p.replica.Publish(next, d); err != nil {
		p.t.Fatal(err)
	}
	p.states = append(p.states, next)
	return next
}

func pending(s *replica.Subscription) bool {
	select {
	case <-s.Changed():
		return true
	default:
		return false
	}
}

func next(t testing.TB, s *replica.Subscription) (replica.Change, bool) {
	t.Helper()
	c, lost, err := s.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c, lost
}

func TestSet(t *testing.T) {
	s := replica.NewSet(replica.Options{})
	if s.Replica("a") != nil || len(s.Environments()) != 0 {
		t.Error("an empty set has something")
	}
	b, a := s.Add("b"), s.Add("a")
	if s.Add("b") != b || s.Replica("a") != a || a.Environment() != "a" || !slices.Equal(s.Environments(), []string{"b", "a"}) {
		t.Errorf("environments %v", s.Environments())
	}
}

func TestPublish(t *testing.T) {
	p := newPublisher(t, 0)
	r := p.replica
	if r.Snapshot() != nil || r.Age() != 0 {
		t.Error("there is something before the first")
	}
	select {
	case <-r.Ready():
		t.Error("ready before the first")
	default:
	}
	first := p.publish(1)
	<-r.Ready()
	if r.Snapshot() != first {
		t.Error("the first snapshot is not current")
	}
	if second := p.publish(1); r.Snapshot() != second {
		t.Error("the second snapshot is not current")
	}
	r.Advance(9)
	if c := r.Snapshot().Cursor(); c.Revision != 9 || !c.SameState(p.states[2].Cursor()) {
		t.Errorf("advanced to %v", c)
	}
	r.Advance(4)
	if c := r.Snapshot().Cursor(); c.Revision != 9 {
		t.Errorf("the revision went back to %v", c)
	}
}

func TestPublishRefuses(t *testing.T) {
	p := newPublisher(t, 0)
	p.publish(1)
	current := p.publish(1)
	older, forward := p.states[1].Next(2, []snapshot.Item{item("other", 2, 1)}, nil)
	back, backDelta := current.Next(1, []snapshot.Item{item("other", 1, 1)}, nil)
	next, d := current.Next(3, []snapshot.Item{item("other", 3, 1)}, nil)
	stranger, strange := snapshot.New("staging", epoch).Next(3, []snapshot.Item{item("a", 3, 1)}, nil)
	for name, tc := range map[string]struct {
		next *snapshot.Snapshot
		d    snapshot.Delta
	}{
		"from another state":  {older, forward},
		"back":                {back, backDelta},
		"full but back":       {p.states[1], p.states[1].Full()},
		"leads elsewhere":     {next, forward},
		"another environment": {stranger, strange},
		"delta of another":    {next, snapshot.Delta{Environment: "staging", Base: d.Base, Target: d.Target}},
	} {
		if err := p.replica.Publish(tc.next, tc.d); !errors.Is(err, replica.ErrOutOfOrder) {
			t.Errorf("%s: %v", name, err)
		}
		if p.replica.Snapshot() != current {
			t.Fatalf("%s: it was published", name)
		}
	}
	if err := p.replica.Publish(next, d); err != nil {
		t.Error(err)
	}
}

func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, 0)
		r := p.replica
		check := func(what string, want time.Duration, known bool) {
			t.Helper()
			if got := r.Age(); got != want {
				t.Errorf("%s: age %s, want %s", what, got, want)
			}
			if _, ok := r.ConfirmedAge(); ok != known {
				t.Errorf("%s: known %v", what, ok)
			}
		}
		r.Confirm(time.Hour)
		check("nothing", 0, false)
		p.publish(1)
		time.Sleep(time.Second)
		check("published", time.Second, false)
		r.Confirm(time.Minute)
		check("confirmed for the first time", time.Minute, true)
		time.Sleep(time.Second)
		check("a second later", time.Minute+time.Second, true)
		r.Confirm(2 * time.Minute)
		check("an older confirmation", time.Minute+time.Second, true)
		r.Confirm(10 * time.Second)
		check("a newer one", 10*time.Second, true)
		p.publish(1)
		check("a change", 10*time.Second, true)
		r.Advance(50)
		check("advanced", 0, true)
		r.Confirm(-time.Hour)
		check("from the future", 0, true)
		restored, _ := snapshot.New("production", snapshot.Epoch{Counter: 2}).Next(1, nil, nil)
		time.Sleep(time.Second)
		if err := r.Publish(restored, restored.Full()); err != nil {
			t.Fatal(err)
		}
		check("a new epoch", 0, false)
		r.Confirm(1<<63 - 1)
		if r.Age() < 1000*time.Hour {
			t.Errorf("a huge age became %s", r.Age())
		}
	})
}

func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, 0)
		_, early := p.replica.Subscribe()
		saved, _ := p.states[0].Next(1, []snapshot.Item{item("1", 1, 1)}, nil)
		p.replica.Restore(saved, time.Hour)
		<-p.replica.Ready()
		if p.replica.Snapshot() != saved || p.replica.Age() != time.Hour {
			t.Errorf("age %s", p.replica.Age())
		}
		if c, lost := next(t, early); !lost || c.Snapshot != saved {
			t.Error("an early subscriber does not get it")
		}
		p.states = append(p.states, saved)
		p.publish(1)
		p.publish(1)
		p.replica.Restore(saved, 0)
		if p.replica.Snapshot() != p.states[3] || p.replica.Age() != time.Hour {
			t.Error("it was restored over something newer")
		}
		// The clock of the wall, by which the age was told, may have been wrong.
		p.replica.Confirm(2 * time.Hour)
		if p.replica.Age() != 2*time.Hour {
			t.Errorf("age %s", p.replica.Age())
		}
	})
}
