package follower_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
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
// as a backup that is restored twice has it twice.
func TestEpochsDoNotFlap(t *testing.T) {
	before := ofEpoch(t, snapshot.Epoch{Counter: 5, Random: 1}, 90)
	after := ofEpoch(t, snapshot.Epoch{Counter: 2, Random: 2}, 10)
	third := ofEpoch(t, snapshot.Epoch{Counter: 2, Random: 3}, 4)
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

// TestStoreMadeAnew: also an upstream that does not know better, as one of before, takes nobody over to
// the first epoch of another store; the follower keeps what it has, whether it comes with a cursor or
// asks afresh, and does not ask afresh because of that. Epochs that somebody began are followed, and
// the first one by who has served files or has nothing.
func TestStoreMadeAnew(t *testing.T) {
	begun, first := snapshot.Epoch{Counter: 2, Random: 1}, snapshot.Epoch{Counter: 1, Random: 2}
	for name, c := range map[string]struct {
		has    *snapshot.Epoch
		afresh bool
		comes  snapshot.Epoch
		kept   bool
	}{
		"of another store":            {&begun, false, first, true},
		"of another first":            {&snapshot.Epoch{Counter: 1, Random: 9}, false, first, true},
		"of another store, afresh":    {&begun, true, first, true},
		"of files":                    {&snapshot.Epoch{Random: 9}, false, first, false},
		"nothing":                     {nil, false, first, false},
		"of this store":               {&first, true, first, false},
		"begun, whatever came before": {&first, false, begun, false},
		"begun, and it asks afresh":   {&first, true, begun, false},
	} {
		t.Run(name, func(t *testing.T) {
			comes := ofEpoch(t, c.comes, 10)
			n := newNetwork()
			l := &liar{scripts: []func(*stage) error{func(s *stage) error {
				if c.afresh && s.hello.GetScopes()[0].GetCursor() != nil {
					s.welcome()
					s.send(&syncv1.Goodbye{Code: syncv1.Goodbye_CODE_EPOCH}) // has it ask afresh
					return nil
				}
				s.states(map[string]*snapshot.Snapshot{"production": comes})
				return s.hold()
			}}}
			n.serve(t, "up", l)
			set := replica.NewSet(replica.Options{})
			r := set.Add("production")
			want := comes
			if c.has != nil {
				had := ofEpoch(t, *c.has, 5)
				r.Restore(had, time.Hour)
				if c.kept {
					want = had
				}
			}
			shown := watch(t, r)
			f, stop := run(t, n.options(set, "relay", "up"))
			if c.kept {
				eventually(t, "it is asked again and again", func() bool { return l.count() > 4 })
				eventually(t, "the reason", func() bool {
					err := f.State().Err
					return err != nil && strings.Contains(err.Error(), "made anew")
				})
				if last := l.hello(3).GetScopes()[0]; c.afresh != (last.GetHeldEpoch().GetRandom() == c.has.Random) || c.afresh != (last.GetCursor() == nil) {
					t.Errorf("it asks for %v", last)
				}
			} else {
				eventually(t, "it is followed", has(r, want))
			}
			stop()
			if all := shown(); len(all) > 0 && all[len(all)-1] != want.Cursor() || r.Snapshot().Cursor() != want.Cursor() {
				t.Errorf("it showed %v, want %v", all, want.Cursor())
			}
		})
	}
}
