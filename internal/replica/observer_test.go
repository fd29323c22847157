package replica_test

import (
	"slices"
	"testing"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// watcher notes what it is told, and what the replica showed at that moment.
type watcher struct {
	name    string
	replica func() *replica.Replica
	told    *[]string
}

func (w *watcher) Showing(v replica.View) {
	if s := w.replica().Snapshot(); s == v.Snapshot {
		*w.told = append(*w.told, w.name+" is told late")
		return
	}
	*w.told = append(*w.told, w.name)
}

// All are told, in turn, before the snapshot is shown.
func TestObservers(t *testing.T) {
	if replica.Observers() != nil || replica.Observers(nil, nil) != nil {
		t.Error("nobody observes, and yet there is an observer")
	}
	var told []string
	var r *replica.Replica
	the := func() *replica.Replica { return r }
	first, second := &watcher{"first", the, &told}, &watcher{"second", the, &told}
	set := replica.NewSet(replica.Options{Observer: replica.Observers(first, nil, second)})
	r = set.Add("production")
	s, d := snapshot.New("production", epoch).Next(1, []snapshot.Item{item("a", 1, 1)}, nil)
	if err := r.Publish(s, d); err != nil {
		t.Fatal(err)
	}
	if want := []string{"first", "second"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
