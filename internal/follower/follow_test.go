package follower_test

import (
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestFollows(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	n.serve(t, "up", up.hub)
	set := replica.NewSet(replica.Options{})
	f, _ := run(t, n.options(set, "relay", "up"))
	r := set.Replica("production")

	// There is nothing yet; then there is; then it changes.
	eventually(t, "connected", func() bool { return f.State().Connected })
	eventually(t, "the first state", has(r, up.publish(t, []snapshot.Item{flagItem(t, "a", "")})))
	for range 10 {
		last := up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
		eventually(t, "a change", has(r, last))
	}
	last := up.publish(t, nil, snapshot.ID{Kind: flagItem(t, "a", "").Kind, Key: "a"})
	eventually(t, "a deletion", has(r, last))
	if r.Snapshot().Len() != 0 || r.Snapshot().Eval().Flag("a") != nil {
		t.Error("the deleted flag is still there")
	}

	// A quiet environment advances, and its age is the source's.
	up.replica.Observe(100, time.Hour)
	eventually(t, "revision 100", func() bool { return r.Snapshot().Cursor().Revision == 100 })
	eventually(t, "the age", func() bool { return r.Age() > time.Hour-time.Minute && r.Age() < 2*time.Hour })
	up.replica.Confirm(0)
	eventually(t, "a young age", func() bool { return r.Age() < time.Minute })

	eventually(t, "an acknowledgement", func() bool {
		fs := up.hub.Followers()
		return len(fs) == 1 && fs[0].InstanceID == "relay" && fs[0].Acked["production"].SameState(last.Cursor())
	})
	if got := f.State(); got.Hops() != 1 || got.Upstream != address("up") || got.Err != nil {
		t.Errorf("state %+v", got)
	}
}

// levels counts log lines by level.
type levels struct {
	mu    sync.Mutex
	lines map[zerolog.Level]int
}

func (l *levels) Run(_ *zerolog.Event, level zerolog.Level, _ string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines[level]++
}

func (l *levels) count(level zerolog.Level) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[level]
}

// An upstream that is away is news once, not at every attempt; so is its next loss.
func TestLogsALossOnce(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	o := n.options(replica.NewSet(replica.Options{}), "relay", "up")
	l := &levels{lines: make(map[zerolog.Level]int)}
	o.Logger = zerolog.New(nil).Hook(l)
	f, _ := run(t, o)
	eventually(t, "five attempts", func() bool { return l.count(zerolog.DebugLevel) >= 4 })
	if warned := l.count(zerolog.WarnLevel); warned != 1 {
		t.Errorf("%d warnings for one upstream that is away", warned)
	}
	stop := n.serve(t, "up", up.hub)
	eventually(t, "connected", func() bool { return f.State().Connected })
	stop()
	eventually(t, "the loss is told", func() bool { return l.count(zerolog.WarnLevel) == 2 })
}
