package collector

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// The age of what waits for its commit can be seen.
func TestOldestPending(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		one := leading(t, Options{})
		oldest := func() time.Duration {
			one.mu.Lock()
			defer one.mu.Unlock()
			return one.oldestLocked()
		}
		held := make(chan struct{})
		hook := func(store.Txn) { <-held }
		one.store.hook.Store(&hook)
		st := push(t.Context(), one.Collector, everywhere)
		st.send(batch("a", 1, 10, 0, 10))
		time.Sleep(3 * time.Second)
		if age := oldest(); age < 2*time.Second || age > 3*time.Second {
			t.Errorf("it has waited for %v", age)
		}
		close(held)
		st.answers(t, "a", 1)
		if age := oldest(); age != 0 {
			t.Errorf("nothing waits, for %v", age)
		}
	})
}
