package hub_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestConfirmationIsPassedOn: a relay whose state is confirmed from above tells those below
// soon, not at its own time, and not what says nothing new: so a hop adds little to the
// age. A server, whose store confirms all the time, keeps to the interval.
func TestConfirmationIsPassedOn(t *testing.T) {
	const interval = 5 * time.Second
	for name, tc := range map[string]struct {
		server     bool
		beats      int           // in ten intervals
		oldest     time.Duration // that the state gets below
		oldestLeft time.Duration
	}{
		"a relay":  {false, 20, interval + 400*time.Millisecond, interval - time.Second},
		"a server": {true, 10, 2 * interval, interval},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := hub.Options{Heartbeat: interval}
				if tc.server {
					o.Head = func(context.Context) (snapshot.Epoch, int64, error) { return epoch, 1, nil }
				}
				b := newPipeBed(t, o, 0, "production")
				b.publish("production", 1, "a")
				r := b.set.Replica("production")
				r.Confirm(0)
				c := b.follow(nil, "production")
				defer confirmEvery(r, interval)()
				began, beats := time.Now(), 0
				var confirmed time.Time
				var oldest time.Duration
				for time.Since(began) < 12*interval {
					h := c.recv().GetHeartbeat()
					if h == nil || time.Since(began) < 2*interval {
						continue
					}
					beats++
					if !confirmed.IsZero() {
						oldest = max(oldest, time.Since(confirmed))
					}
					for _, e := range h.GetEnvironments() {
						confirmed = time.Now().Add(-e.GetAge().AsDuration())
					}
				}
				if beats < tc.beats-2 || beats > tc.beats+2 {
					t.Errorf("%d heartbeats in ten intervals, want about %d", beats, tc.beats)
				}
				if oldest > tc.oldest || oldest < tc.oldestLeft {
					t.Errorf("the state below gets %s old, want %s to %s", oldest, tc.oldestLeft, tc.oldest)
				}
				c.cancel()
			})
		})
	}
}

// confirmEvery confirms a replica once an interval, as heartbeats from above do, and between
// that says the same again, until the returned function is called.
func confirmEvery(r *replica.Replica, interval time.Duration) (stop func()) {
	ended := make(chan struct{})
	var confirming sync.WaitGroup
	confirming.Go(func() {
		tick := time.NewTicker(interval / 10)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			case <-tick.C:
				if i%10 == 3 {
					r.Confirm(0)
				} else {
					r.Confirm(r.Age())
				}
			}
		}
	})
	return func() { close(ended); confirming.Wait() }
}
