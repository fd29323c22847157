package hub_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// arrival is an update, and when it came.
type arrival struct {
	at       time.Duration
	revision int64
	urgent   bool
}

// TestCoalescing: the first change goes at once, what comes within 20 ms is sent as one,
// what is urgent does not wait, and takes along what waits.
func TestCoalescing(t *testing.T) {
	for name, tc := range map[string]struct {
		changes []time.Duration // of revisions 2, 3, ...
		urgent  []int64
		want    []arrival
	}{
		"one": {[]time.Duration{0}, nil, []arrival{{0, 2, false}}},
		"far apart": {
			[]time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond},
			nil,
			[]arrival{{0, 2, false}, {20 * time.Millisecond, 3, false}, {50 * time.Millisecond, 4, false}},
		},
		"gathered": {
			[]time.Duration{0, 5 * time.Millisecond, 10 * time.Millisecond, 19 * time.Millisecond},
			nil,
			[]arrival{{0, 2, false}, {20 * time.Millisecond, 5, false}},
		},
		"without end": {
			[]time.Duration{0, 8 * time.Millisecond, 16 * time.Millisecond, 24 * time.Millisecond, 32 * time.Millisecond, 42 * time.Millisecond},
			nil,
			[]arrival{{0, 2, false}, {20 * time.Millisecond, 4, false}, {40 * time.Millisecond, 6, false}, {60 * time.Millisecond, 7, false}},
		},
		"urgent": {
			[]time.Duration{0, 5 * time.Millisecond},
			[]int64{3},
			[]arrival{{0, 2, false}, {5 * time.Millisecond, 3, true}},
		},
		"urgent after one that waits": {
			[]time.Duration{0, 5 * time.Millisecond, 7 * time.Millisecond, 12 * time.Millisecond},
			[]int64{4},
			[]arrival{{0, 2, false}, {7 * time.Millisecond, 4, true}, {27 * time.Millisecond, 5, false}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newPipeBed(t, hub.Options{}, 0, "production")
				state := b.publish("production", 10, "a")
				c := b.follow(nil, "production")
				c.expect(full, state)
				time.Sleep(time.Second)
				began := time.Now()
				var got []arrival
				done := make(chan struct{})
				go func() {
					defer close(done)
					for {
						m, err := c.stream.Recv()
						if err != nil {
							return
						}
						u := m.GetUpdate()
						got = append(got, arrival{time.Since(began), c.apply(u).Cursor().Revision, u.GetUrgent()})
					}
				}()
				for i, at := range tc.changes {
					time.Sleep(at - time.Since(began))
					b.change("production", slices.Contains(tc.urgent, int64(i+2)), "a")
				}
				time.Sleep(time.Second)
				c.cancel()
				<-done
				if !slices.Equal(got, tc.want) {
					t.Errorf("got %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// change is publish of one small item, which may be urgent.
func (b *bed) change(environment string, urgent bool, key string) *snapshot.Snapshot {
	b.t.Helper()
	r := b.set.Replica(environment)
	revision := r.Snapshot().Cursor().Revision + 1
	next, d := r.Snapshot().Next(revision, []snapshot.Item{item(key, revision, 10)}, nil)
	d.Urgent = urgent
	if err := r.Publish(next, d); err != nil {
		b.t.Fatal(err)
	}
	return next
}

// TestHeartbeatsOfWhoDoesNotRead: they are skipped, not queued.
func TestHeartbeatsOfWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPipeBed(t, hub.Options{Heartbeat: time.Second, SendTimeout: time.Hour}, 0, "production")
		c := b.follow(nil, "production")
		c.recv()                                        // a heartbeat
		time.Sleep(10*time.Second + 5*time.Millisecond) // between two of the hub's ticks
		began := time.Now()
		beats := 0
		for range 3 {
			c.recv()
			if time.Since(began) == 0 {
				beats++
			}
		}
		// One was being sent, one came due meanwhile.
		if beats != 2 {
			t.Errorf("%d heartbeats at once", beats)
		}
		c.cancel()
	})
}

// TestHeartbeatsAreSpread: streams that are opened together do not beat together.
func TestHeartbeatsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams = 500
		b := newPipeBed(t, hub.Options{Heartbeat: 5 * time.Second}, 0, "production")
		beats := make(chan time.Time, 10*streams)
		for range streams {
			c := b.follow(nil, "production")
			go func() {
				for {
					m, err := c.stream.Recv()
					if err != nil {
						return
					}
					if m.GetHeartbeat() != nil {
						beats <- time.Now()
					}
				}
			}()
			defer c.cancel()
		}
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		at := make(map[time.Time]int)
		for range len(beats) {
			at[<-beats]++
		}
		total := 0
		for _, n := range at {
			total += n
			if n > 2*streams/100 {
				t.Errorf("%d at once", n)
			}
		}
		if total != streams {
			t.Errorf("%d heartbeats in one interval", total)
		}
	})
}

// TestSendTimeoutIsKept: whoever does not read is cut loose in time, and holds up nobody
// meanwhile.
func TestSendTimeoutIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 8 * time.Second
		b := newPipeBed(t, hub.Options{SendTimeout: timeout}, 0, "production")
		state := b.publish("production", 10, "a")
		const stalled = 300
		for range stalled {
			c := b.follow(nil, "production")
			c.expect(full, state)
			defer c.cancel()
		}
		reader := b.follow(nil, "production")
		reader.expect(full, state)
		began := time.Now()
		for range 20 {
			sent := time.Now()
			state = b.publish("production", 10, "a")
			reader.expect(delta, state)
			if d := time.Since(sent); d > 30*time.Millisecond {
				t.Fatalf("it took %s", d)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if n := len(b.hub.Followers()); n != stalled+1 {
			t.Errorf("%d followers", n)
		}
		time.Sleep(timeout - time.Since(began))
		synctest.Wait()
		if n := b.ended.Load(); n != 0 {
			t.Errorf("%d were cut loose too early", n)
		}
		time.Sleep(timeout/4 + time.Second)
		synctest.Wait()
		if n := b.ended.Load(); n != stalled {
			t.Errorf("%d of %d were cut loose", n, stalled)
		}
		state = b.publish("production", 10, "a")
		reader.expect(delta, state)
		reader.cancel()
	})
}

// TestUrgentOnTheWire: what switches a flag off says so, also in a part of a longer way.
func TestUrgentOnTheWire(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production")
	states := []*snapshot.Snapshot{b.publish("production", 1, "a"), b.change("production", true, "a"), b.change("production", false, "b")}
	for i, want := range []bool{true, false} {
		c := b.follow(map[string]*snapshot.Snapshot{"production": states[i]}, "production")
		if u := c.recv().GetUpdate(); u.GetBegin().GetMode() != syncv1.Begin_MODE_DELTA || u.GetUrgent() != want {
			t.Errorf("from %d: %v", i+1, u)
		}
	}
}
