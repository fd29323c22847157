package follower_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// disk is a Journal in memory. It complains about a delta that does not continue what
// was appended last.
type disk struct {
	mu       sync.Mutex
	appended map[string]*snapshot.Snapshot
	synced   map[string]*snapshot.Snapshot
	deltas   []snapshot.Delta
	// forgotten are the environments, in order.
	forgotten []string
	err       error

	// onAppend and onSync may fail, and may block.
	onAppend func(*snapshot.Snapshot, snapshot.Delta) error
	onSync   func() error
}

func newDisk() *disk {
	return &disk{
		appended: make(map[string]*snapshot.Snapshot), synced: make(map[string]*snapshot.Snapshot),
		onAppend: func(*snapshot.Snapshot, snapshot.Delta) error { return nil },
		onSync:   func() error { return nil },
	}
}

func (d *disk) Append(next *snapshot.Snapshot, delta snapshot.Delta) error {
	if err := d.onAppend(next, delta); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	from := d.appended[next.Environment()]
	if from == nil {
		from = snapshot.New(next.Environment(), next.Cursor().Epoch)
	}
	got, err := from.Apply(delta)
	if err == nil && got.Cursor() != next.Cursor() {
		err = fmt.Errorf("the delta leads to %v, not to %v", got.Cursor(), next.Cursor())
	}
	if err != nil {
		d.err = errors.Join(d.err, err)
		return err
	}
	d.appended[next.Environment()] = got
	d.deltas = append(d.deltas, delta)
	return nil
}

func (d *disk) Sync(environment string) error {
	d.mu.Lock()
	s := d.appended[environment]
	d.mu.Unlock()
	if err := d.onSync(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.synced[environment] = s
	return nil
}

func (d *disk) Forget(environment string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.appended, environment)
	delete(d.synced, environment)
	d.forgotten = append(d.forgotten, environment)
	return nil
}

// load is what a killed process finds.
func (d *disk) load(environment string) *snapshot.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.appended[environment]
}

func (d *disk) syncedState(environment string) *snapshot.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.synced[environment]
}

func (d *disk) check(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		t.Error(d.err)
	}
}

// acked is what the only follower acknowledged.
func (s *source) acked() (snapshot.Cursor, bool) {
	fs := s.hub.Followers()
	if len(fs) != 1 {
		return snapshot.Cursor{}, false
	}
	c, ok := fs[0].Acked["production"]
	return c, ok
}

func TestAppendedBeforeShownAndSyncedBeforeAcknowledged(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	n.serve(t, "up", up.hub)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	d := newDisk()
	d.onAppend = func(next *snapshot.Snapshot, _ snapshot.Delta) error {
		if s := r.Snapshot(); s != nil && s.Cursor().Revision >= next.Cursor().Revision {
			t.Errorf("%v is shown before %v is appended", s.Cursor(), next.Cursor())
		}
		return nil
	}
	o := n.options(set, "relay", "up")
	o.Journal = d
	run(t, o)
	for range 50 {
		last := up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
		eventually(t, "an acknowledgement", func() bool {
			c, ok := up.acked()
			if synced := d.syncedState("production"); ok && (synced == nil || synced.Cursor().Revision < c.Revision) {
				t.Fatalf("%v is acknowledged, but not synced", c)
			}
			return ok && c == last.Cursor()
		})
	}
	// A revision that only advances survives a restart, too.
	up.replica.Advance(1000)
	eventually(t, "revision 1000", func() bool { return r.Snapshot().Cursor().Revision == 1000 })
	if s := d.load("production"); s.Cursor() != r.Snapshot().Cursor() {
		t.Errorf("%v is appended, %v shown", s.Cursor(), r.Snapshot().Cursor())
	}
	d.check(t)
}

func TestSlowSyncDelaysNothing(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	n.serve(t, "up", up.hub)
	set := replica.NewSet(replica.Options{})
	d, release := newDisk(), make(chan struct{})
	d.onSync = func() error { <-release; return nil }
	o := n.options(set, "relay", "up")
	o.Journal = d
	run(t, o)
	var last *snapshot.Snapshot
	for range 20 {
		last = up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
		eventually(t, "a change", has(set.Replica("production"), last))
	}
	if c, ok := up.acked(); ok {
		t.Errorf("%v is acknowledged, but not synced", c)
	}
	close(release)
	eventually(t, "the acknowledgement", func() bool { c, _ := up.acked(); return c == last.Cursor() })
	d.check(t)
}

func TestFailingDisk(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	n.serve(t, "up", up.hub)
	set := replica.NewSet(replica.Options{})
	d := newDisk()
	var mu sync.Mutex
	var appendErr, syncErr error
	fail := func(a, s error) {
		mu.Lock()
		defer mu.Unlock()
		appendErr, syncErr = a, s
	}
	d.onAppend = func(*snapshot.Snapshot, snapshot.Delta) error { mu.Lock(); defer mu.Unlock(); return appendErr }
	d.onSync = func() error { mu.Lock(); defer mu.Unlock(); return syncErr }
	o := n.options(set, "relay", "up")
	o.Journal = d
	run(t, o)
	publish := func() *snapshot.Snapshot {
		last := up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
		eventually(t, "a change", has(set.Replica("production"), last))
		return last
	}
	acked := func(want *snapshot.Snapshot) {
		t.Helper()
		eventually(t, "an acknowledgement", func() bool {
			c, ok := up.acked()
			return ok && c.SameState(want.Cursor())
		})
	}
	acked(publish())

	full := errors.New("no space left on device")
	fail(full, nil)
	publish()
	unwritten := publish()
	// Also when the upstream has to be asked again: what was not written is not acknowledged.
	n.cut("up")
	eventually(t, "another stream", func() bool { return len(up.hub.Followers()) == 1 })
	fail(nil, full)
	last := publish()
	eventually(t, "an attempt to sync", func() bool { return d.load("production").Cursor() == last.Cursor() })
	if c, ok := up.acked(); ok && (c == unwritten.Cursor() || c == last.Cursor()) {
		t.Errorf("%v is acknowledged", c)
	}
	fail(nil, nil)
	acked(publish())
	d.check(t)
	d.mu.Lock()
	defer d.mu.Unlock()
	whole := 0
	for _, delta := range d.deltas {
		if delta.Full {
			whole++
		}
	}
	if whole != 2 {
		t.Errorf("everything was written %d times, not once at first and once after the failure", whole)
	}
}

// TestWrittenLate: what could not be written is written when the upstream confirms it.
func TestWrittenLate(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	n.serve(t, "up", up.hub)
	last := up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
	set := replica.NewSet(replica.Options{})
	d := newDisk()
	failures := 0
	d.onAppend = func(*snapshot.Snapshot, snapshot.Delta) error {
		if failures++; failures == 1 {
			return errors.New("not now")
		}
		return nil
	}
	o := n.options(set, "relay", "up")
	o.Journal = d
	run(t, o)
	eventually(t, "a state", has(set.Replica("production"), last))
	n.cut("up")
	eventually(t, "the acknowledgement", func() bool {
		_, ok := up.acked()
		if ok && d.load("production") == nil {
			t.Fatal("what was not written is acknowledged")
		}
		return ok
	})
	if s := d.load("production"); s.Cursor() != last.Cursor() {
		t.Errorf("%v is written", s.Cursor())
	}
	d.check(t)
}
