package live

import (
	"context"
	"sync"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// view is what streams of one environment share.
type view struct {
	o           *Options
	environment string
	replica     *replica.Replica

	activities *activities
	standings  *standings
	relays     *relays
	entries    *entries
	feeds      map[controlv1.Part]*feed

	mu      sync.Mutex
	changed chan struct{} // closed when something of the view is new
}

func newView(o *Options, r *replica.Replica) *view {
	v := &view{o: o, environment: r.Environment(), replica: r, changed: make(chan struct{})}
	v.activities = &activities{view: v, byKey: make(map[string]*activity)}
	v.standings = &standings{view: v, byKey: make(map[string]*standing)}
	v.relays = &relays{view: v, byID: make(map[string]*relay)}
	v.entries = &entries{view: v}
	v.feeds = map[controlv1.Part]*feed{
		controlv1.Part_PART_FLAGS:    {run: v.activities.run},
		controlv1.Part_PART_ROLLOUTS: {run: v.standings.run},
		controlv1.Part_PART_RELAYS:   {run: v.relays.run},
		controlv1.Part_PART_ENTRIES:  {run: v.entries.run},
	}
	return v
}

// Changed is closed when something is new.
func (v *view) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// wake tells the streams that something is new.
func (v *view) wake() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.changed)
	v.changed = make(chan struct{})
}

// hold keeps what is needed for a part up to date until the returned function is called, which
// waits until nothing of it runs that no other stream needs.
func (v *view) hold(part controlv1.Part) (release func()) {
	f := v.feeds[part]
	if f == nil {
		return func() {} // the snapshot has it
	}
	f.acquire()
	return f.release
}

// feed runs while somebody holds it.
type feed struct {
	run func(context.Context)

	mu    sync.Mutex
	held  int
	stop  context.CancelFunc
	ended chan struct{}
}

func (f *feed) acquire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held++; f.held > 1 {
		return
	}
	// It outlives the stream that was the first, and ends with the last.
	ctx, stop := context.WithCancel(context.Background())
	f.stop, f.ended = stop, make(chan struct{})
	go func(ended chan struct{}) {
		defer close(ended)
		f.run(ctx)
	}(f.ended)
}

func (f *feed) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held--; f.held == 0 {
		f.stop()
		<-f.ended // which needs nothing of f
	}
}

// wait waits for so long; false: ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
