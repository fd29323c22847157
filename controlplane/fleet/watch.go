package fleet

import (
	"context"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	// watchGap is the least time between two answers to another server.
	watchGap = 20 * time.Millisecond
	// perAnswer is how many relays one answer has, at most.
	perAnswer = 500
)

// WatchRelays answers FleetService; send is called from its goroutine.
func (f *Fleet) WatchRelays(ctx context.Context, r *controlv1.WatchRelaysRequest, send func(*controlv1.WatchRelaysResponse) error) error {
	sent := make(map[string]*member)
	for first := true; ; first = false {
		local, changed := f.local.all()
		if err := tell(r.GetEnvironment(), local, sent, first, send); err != nil {
			return err
		}
		for _, wake := range []<-chan struct{}{nil, changed} {
			var gap <-chan time.Time
			if wake == nil {
				gap = time.After(watchGap)
			}
			select {
			case <-gap:
			case <-wake:
			case <-ctx.Done():
				return ctx.Err()
			case <-f.stopped:
				return ErrStopped
			}
		}
	}
}

// tell sends what is not as it was sent.
func tell(environment string, local []*member, sent map[string]*member, always bool, send func(*controlv1.WatchRelaysResponse) error) error {
	now, next := time.Now(), &controlv1.WatchRelaysResponse{}
	known := make(map[string]bool, len(local))
	flush := func(limit int) error {
		if len(next.GetRelays())+len(next.GetGone()) < limit {
			return nil
		}
		full := next
		next = &controlv1.WatchRelaysResponse{}
		return send(full)
	}
	for _, m := range local {
		if !m.follows(environment) {
			continue
		}
		known[m.id] = true
		if sent[m.id] == m {
			continue
		}
		sent[m.id] = m
		next.Relays = append(next.Relays, m.relay(now, nil))
		if err := flush(perAnswer); err != nil {
			return err
		}
	}
	for id := range sent {
		if known[id] {
			continue
		}
		delete(sent, id)
		next.Gone = append(next.Gone, id)
		if err := flush(perAnswer); err != nil {
			return err
		}
	}
	if always || len(next.GetRelays())+len(next.GetGone()) > 0 {
		next.Current = true
		return send(next)
	}
	return nil
}
