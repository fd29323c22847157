package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// patience bounds the wait for what must come.
const patience = 5 * time.Minute

var errNotBack = errors.New("not all streams are back")

// collector is where the streams of a fleet tell what happens to them.
type collector struct {
	mu sync.Mutex
	// delivered are the changes that streams got, since renew.
	delivered []delivery
	// joined is when streams got their first Update, lost how many that had one ended, both
	// since renew; inSync are those that have one now.
	joined       []time.Time
	lost, inSync int
	// ends counts what ended streams, since renew.
	ends map[string]int
}

// delivery is one change on one stream.
type delivery struct {
	revision int64
	at       time.Time
}

// renew forgets what was told, but for who is in sync.
func (c *collector) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delivered, c.joined, c.lost, c.ends = c.delivered[:0], nil, 0, make(map[string]int)
}

func (c *collector) join(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined, c.inSync = append(c.joined, at), c.inSync+1
}

func (c *collector) deliver(revision int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delivered = append(c.delivered, delivery{revision, at})
}

func (c *collector) end(why string, wasInSync bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends[why]++
	if wasInSync {
		c.inSync--
		c.lost++
	}
}

// awaitBack waits until that many streams were lost since renew, and n are in sync. It
// returns when those that joined since renew did, in order.
func (c *collector) awaitBack(ctx context.Context, lost, n int) ([]time.Time, error) {
	err := poll(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.lost >= lost && c.inSync >= n
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%w: %d of %d streams are in sync after %v; ended: %s", errNotBack, c.inSync, n, patience, reasons(c.ends))
	}
	slices.SortFunc(c.joined, time.Time.Compare)
	return slices.Clone(c.joined), nil
}

// awaitDelivered waits until n streams have the revision, or a later one, and returns when
// each got it, in order.
func (c *collector) awaitDelivered(ctx context.Context, revision int64, n int) ([]time.Time, error) {
	times, looked := make([]time.Time, 0, n), 0
	err := poll(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for ; looked < len(c.delivered); looked++ {
			if d := c.delivered[looked]; d.revision >= revision {
				times = append(times, d.at)
			}
		}
		return len(times) >= n
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || len(times) != n {
		return nil, fmt.Errorf("%d of %d streams got revision %d, once each: %w; what ended some: %v", len(times), n, revision, err, c.ends)
	}
	slices.SortFunc(times, time.Time.Compare)
	return times, nil
}

// lostSince is how many streams that were in sync ended since renew.
func (c *collector) lostSince() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// counted returns how many streams ended since renew, by reason.
func (c *collector) counted() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.ends)
}

// poll looks every millisecond; what is timed has been timed by whoever did it.
func poll(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}
