package follower_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// epochRecord keeps epochs as a disk does.
type epochRecord struct {
	mu   sync.Mutex
	list []snapshot.Epoch
	err  error
}

func (r *epochRecord) LeftEpochs() ([]snapshot.Epoch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list, r.err
}

func (r *epochRecord) SetLeftEpochs(list []snapshot.Epoch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.list = list
	}
	return r.err
}

// ofEpoch is a first state of an epoch.
func ofEpoch(t *testing.T, e snapshot.Epoch, revision int64) *snapshot.Snapshot {
	t.Helper()
	item := flagItem(t, "a", "")
	item.ModRevision = revision
	s, _ := snapshot.New("production", e).Next(revision, []snapshot.Item{item}, nil)
	return s
}

// TestEpochsDoNotFlap: of two upstreams one is late with a new epoch. The follower goes to
// the new one and stays, whoever it asks, and after a restart; the counter does not matter,
// as a store made anew begins at 1 again.
func TestEpochsDoNotFlap(t *testing.T) {
	before := ofEpoch(t, snapshot.Epoch{Counter: 5, Random: 1}, 90)
	after := ofEpoch(t, snapshot.Epoch{Counter: 1, Random: 2}, 10)
	third := ofEpoch(t, snapshot.Epoch{Counter: 1, Random: 3}, 4)
	n := newNetwork()
	give := func(s *snapshot.Snapshot) func(*stage) error {
		return func(st *stage) error {
			st.states(map[string]*snapshot.Snapshot{"production": s})
			return st.hold()
		}
	}
	late := &liar{scripts: []func(*stage) error{give(before)}}
	n.serve(t, "late", late)
	n.serve(t, "new", &liar{scripts: []func(*stage) error{give(after)}})
	set, record := replica.NewSet(replica.Options{}), &epochRecord{}
	r := set.Add("production")
	o := n.options(set, "relay", "late", "new")
	o.Epochs = record
	shown := watch(t, r)
	f, stop := run(t, o)
	eventually(t, "the first epoch", has(r, before))
	n.cut("late")
	eventually(t, "the new epoch", has(r, after))
	asked := late.count()
	n.cut("new")
	eventually(t, "the late one is left again", func() bool {
		return late.count() > asked && f.State().Connected && f.State().Upstream == address("new")
	})
	stop()

	set = replica.NewSet(replica.Options{})
	set.Add("production").Restore(after, time.Hour)
	o.Replicas = set
	o.Upstreams = o.Upstreams[:1]
	asked = late.count()
	_, stop = run(t, o)
	eventually(t, "the late one is asked again", func() bool { return late.count() > asked+3 })
	if got := set.Replica("production").Snapshot().Cursor(); got != after.Cursor() {
		t.Errorf("after a restart it went back to %s", got)
	}
	stop()
	if want := []snapshot.Epoch{before.Cursor().Epoch}; !slices.Equal(record.list, want) {
		t.Errorf("recorded %v, want %v", record.list, want)
	}

	// A record that fails is no reason not to go on.
	record.err = errors.New("disk full")
	n.serve(t, "third", &liar{scripts: []func(*stage) error{give(third)}})
	o.Upstreams = []string{address("third")}
	run(t, o)
	eventually(t, "a third epoch", has(set.Replica("production"), third))

	var epochs []snapshot.Epoch
	for _, c := range shown() {
		epochs = append(epochs, c.Epoch)
	}
	if want := []snapshot.Epoch{before.Cursor().Epoch, after.Cursor().Epoch}; !slices.Equal(slices.Compact(epochs), want) {
		t.Errorf("it showed the epochs %v", epochs)
	}
}
