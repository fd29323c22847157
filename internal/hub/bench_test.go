package hub_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/tidegate/tidegate/internal/hub"
)

// BenchmarkFanOut publishes one change of 1 KiB and waits until every follower has it.
func BenchmarkFanOut(b *testing.B) {
	for _, followers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(followers), func(b *testing.B) {
			bed := newBed(b, hub.Options{}, 0, "production")
			bed.publish("production", 1024, "a")
			var received, done sync.WaitGroup
			received.Add(followers)
			clients := make([]*client, followers)
			for i := range clients {
				c := bed.open()
				clients[i] = c
				c.hello(hello(fmt.Sprint("f", i), "production"))
				done.Go(func() {
					for {
						m, err := c.stream.Recv()
						if err != nil {
							return
						}
						if m.GetUpdate().GetCommit() != nil {
							received.Done()
						}
					}
				})
			}
			received.Wait()
			b.ReportAllocs()
			for b.Loop() {
				received.Add(followers)
				bed.publish("production", 1024, "a")
				received.Wait()
			}
			for _, c := range clients {
				c.cancel()
			}
			done.Wait()
		})
	}
}
