package follower_test

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestLeavesAStaleUpstream: it lives, beats, and has what is current as far as it can
// know; but nobody confirms it, and another upstream has newer states.
func TestLeavesAStaleUpstream(t *testing.T) {
	n, old, up := newNetwork(), newSource(t, "old", 0, "production"), newSource(t, "server", 0, "production")
	n.serve(t, "old", old.hub)
	n.serve(t, "up", up.hub)
	first := up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
	last := up.publish(t, []snapshot.Item{flagItem(t, "a", "")})
	old.replica.Restore(first, time.Hour)
	up.replica.Confirm(0)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	o := n.options(set, "relay", "old", "up")
	o.StaleAfter = 300 * time.Millisecond
	f, _ := run(t, o)
	eventually(t, "the old state", has(r, first))
	eventually(t, "the new state", has(r, last))
	if got := f.State(); got.Upstream != address("up") {
		t.Errorf("state %+v", got)
	}
}
