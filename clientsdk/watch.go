package clientsdk

import (
	"context"
	"time"

	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// stalePoll is how often a stale replica is asked whether it was confirmed.
const stalePoll = 250 * time.Millisecond

// watch turns what happens to the replica into notifications, until ctx ends.
func (c *inProcess) watch(ctx context.Context, prev *snapshot.Snapshot, changes *replica.Subscription) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	first, told := prev == nil, prev
	if !first {
		c.local.view.takeFirst() // nobody needs it
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changes.Changed():
			if _, _, err := changes.Next(ctx); err != nil {
				return
			}
			c.checkState()
			next := c.local.view.snapshot()
			if first { // what is shown by now may be later already
				told = c.local.view.takeFirst()
				first = told == nil
			}
			if !first {
				c.changed(changedFlags(told, next))
			}
			told = next
		case <-c.local.view.flipped:
			next := c.local.view.snapshot()
			if !first {
				c.changed(changedFlags(told, next))
			}
			told = next
		case <-timer.C:
			c.checkState()
		}
		timer.Reset(c.untilCheck())
	}
}

// untilCheck tells when the state may next change by itself.
func (c *inProcess) untilCheck() time.Duration {
	l := &c.local
	if l.staleAfter == 0 || l.replica.Snapshot() == nil {
		return time.Hour
	}
	if left := l.staleAfter - l.age(); left > 0 {
		return left + time.Millisecond
	}
	return stalePoll
}
