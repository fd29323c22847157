package hub_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestStorm: followers of all paces come, go and come back with what they had, while three
// environments change at random. What each applies leads from what it had, its digest is
// right, its revision never goes back (all of that is apply's to check), no heartbeat names
// another state; and in the end everybody has the newest.
func TestStorm(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { storm(t, rand.New(rand.NewPCG(seed, 4))) })
		})
	}
}

func storm(t *testing.T, random *rand.Rand) {
	environments := []string{"production", "staging", "dev"}
	history := []int{0, 3000, -1}[random.IntN(3)]
	b := newPipeBed(t, hub.Options{
		Heartbeat: 30 * time.Millisecond, SendTimeout: 300 * time.Millisecond, FullBytes: 40_000, FullWait: time.Hour,
	}, history, environments...)
	for _, e := range environments {
		b.publish(e, 100, keys(50)...)
		b.set.Replica(e).Confirm(0)
	}
	over := make(chan struct{})
	var followers sync.WaitGroup
	for i := range 30 {
		pace := time.Duration(random.IntN(3)) * time.Duration(random.IntN(20)) * time.Millisecond
		mine := environments[:1+random.IntN(len(environments))]
		own := rand.New(rand.NewPCG(random.Uint64(), uint64(i)))
		followers.Go(func() { b.rideOut(own, pace, mine, over) })
	}
	for range 400 {
		e := environments[random.IntN(len(environments))]
		switch r := b.set.Replica(e); random.IntN(8) {
		case 0:
			r.Advance(r.Snapshot().Cursor().Revision + random.Int64N(3))
		case 1:
			b.remove(e, fmt.Sprintf("key-%05d", random.IntN(60)))
		case 2:
			b.change(e, true, fmt.Sprintf("key-%05d", random.IntN(60)))
		default:
			b.publish(e, random.IntN(300), fmt.Sprintf("key-%05d", random.IntN(60)))
		}
		b.set.Replica(e).Confirm(0)
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
	}
	close(over)
	followers.Wait()
}

// remove deletes an item, if it is there.
func (b *bed) remove(environment, key string) {
	r := b.set.Replica(environment)
	now := r.Snapshot()
	id := item(key, 1, 1).ID()
	if _, there := now.Item(id.Kind, id.Key); !there {
		return
	}
	next, d := now.Next(now.Cursor().Revision+1, nil, []snapshot.ID{id})
	if err := r.Publish(next, d); err != nil {
		b.t.Fatal(err)
	}
}

// rideOut follows until it is over and it has the newest state of each environment; from
// time to time it goes away, and comes back with what it has.
func (b *bed) rideOut(random *rand.Rand, pace time.Duration, environments []string, over <-chan struct{}) {
	have := make(map[string]*snapshot.Snapshot)
	for {
		c := b.follow(have, environments...)
		for left := 5 + random.IntN(200); ; left-- {
			time.Sleep(pace)
			m, err := c.stream.Recv()
			if err != nil {
				break // it was too slow
			}
			for _, e := range m.GetHeartbeat().GetEnvironments() {
				c.checkStatus(e)
			}
			if u := m.GetUpdate(); u != nil {
				c.apply(u)
			}
			select {
			case <-over:
				if b.newest(c.have, environments) {
					c.cancel()
					return
				}
				continue
			default:
			}
			if left <= 0 {
				break
			}
		}
		c.cancel()
		have = c.have
	}
}

func (b *bed) newest(have map[string]*snapshot.Snapshot, environments []string) bool {
	for _, e := range environments {
		if s := have[e]; s == nil || !s.Cursor().SameState(b.set.Replica(e).Snapshot().Cursor()) {
			return false
		}
	}
	return true
}
