package replica_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestPurge(t *testing.T) {
	p := newPublisher(t, 0)
	r := p.replica
	r.Purge()
	waiting := r.Ready()
	if !r.Purged() || isClosed(waiting) {
		t.Fatal("an empty replica is purged, and not ready")
	}
	one := p.publish(1)
	_, behind := r.Subscribe()
	p.publish(1)
	r.Confirm(time.Hour)
	if r.Purged() || !isClosed(waiting) || !isClosed(r.Ready()) {
		t.Fatal("who waited since the purge was not told of the snapshot")
	}
	_, current := r.Subscribe()
	if !r.Holds(one.Cursor()) {
		t.Fatal("there is no history")
	}

	r.Purge()
	if r.Snapshot() != nil || r.Age() != 0 || !r.Purged() || isClosed(r.Ready()) {
		t.Errorf("snapshot %v, age %s", r.Snapshot(), r.Age())
	}
	if _, ok := r.ConfirmedAge(); ok {
		t.Error("somebody stands for the age of nothing")
	}
	for name, s := range map[string]*replica.Subscription{"current": current, "behind": behind} {
		if c, lost := next(t, s); !lost || c.Snapshot != nil {
			t.Errorf("%s: %v, lost %v", name, c.Snapshot, lost)
		}
		if pending(s) {
			t.Errorf("%s is told twice", name)
		}
	}
	if r.Holds(one.Cursor()) {
		t.Error("the history of what was purged is still there")
	}
	r.Observe(100, time.Hour) // of nothing
	if r.Snapshot() != nil || r.Age() != 0 {
		t.Error("nothing was confirmed, and is there")
	}

	// A new beginning, of a lower revision.
	ready := r.Ready()
	first, _ := snapshot.New(r.Environment(), epoch).Next(1, []snapshot.Item{item("a", 1, 1)}, nil)
	if err := r.Publish(first, first.Full()); err != nil {
		t.Fatal(err)
	}
	if !isClosed(ready) || r.Purged() || r.Snapshot() != first || r.Age() > time.Minute {
		t.Error("the snapshot that came is not announced")
	}
	if c, lost := next(t, current); !lost || c.Snapshot != first {
		t.Errorf("%v, lost %v", c.Snapshot, lost)
	}
	r.Purge()
	r.Restore(first, time.Hour)
	if r.Purged() || r.Snapshot() != first || !isClosed(r.Ready()) {
		t.Error("nothing was restored")
	}
}
