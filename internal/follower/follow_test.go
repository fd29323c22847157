package follower_test

import (
	"testing"
	"time"

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
	if got := f.State(); got.Hops != 1 || got.Upstream != address("up") || got.Err != nil {
		t.Errorf("state %+v", got)
	}
}
