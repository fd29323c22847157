package fleet

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tidegate/tidegate/controlplane"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// look asks the other servers once. It returns every relay that follows the environment,
// and the servers that did not answer.
func (f *Fleet) look(ctx context.Context, environment string) ([]*member, []string, error) {
	ctx, cancel := context.WithCancel(ctx)
	others := f.ask(ctx, environment)
	defer others.wait()
	defer cancel()
	if err := f.ready(ctx, others); err != nil {
		return nil, nil, err
	}
	told, unreachable := others.known()
	local, _ := f.local.all()
	return f.merge(environment, append(local, told...)), unreachable, nil
}

// ready waits until there is something to tell: the records were read, and the other
// servers have answered. Neither is waited for without end.
func (f *Fleet) ready(ctx context.Context, others *peers) error {
	late := time.NewTimer(f.o.PeerTimeout)
	defer late.Stop()
	loaded := []<-chan struct{}{f.relays.Loaded()}
	if f.o.Advertise != "" {
		loaded = append(loaded, f.servers.Loaded())
	}
	for _, one := range loaded {
		select {
		case <-one:
		case <-late.C:
			f.o.Logger.Warn().Msg("the store does not answer: relays that are not connected are not known")
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-f.stopped:
			return ErrStopped
		}
	}
	others.find(ctx)
	return others.settled(ctx)
}

// merge makes one of all that is known of each relay, in the order of their ids. What is
// known of one that is not connected counts only while there is a record of it: another
// server may have seen it leave.
func (f *Fleet) merge(environment string, known []*member) []*member {
	byID := make(map[string][]*member, len(known))
	for _, m := range known {
		byID[m.id] = append(byID[m.id], m)
	}
	records, _ := f.relays.All()
	for id, e := range records {
		if byID[id] == nil {
			byID[id] = []*member{e.Value.member(id)}
		}
	}
	all := make([]*member, 0, len(byID))
	for id, claims := range byID {
		m := mergeClaims(claims)
		_, recorded := records[id]
		if (m.connected || recorded || f.dirty.has(id)) && m.follows(environment) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *member) int { return cmp.Compare(a.id, b.id) })
	return all
}

// mergeClaims makes one of what several servers know of a relay. It is where it is
// connected; of one start, by its latest stream. If it seems to be connected in two starts
// (the end of one was not noticed yet), it has what both have.
func mergeClaims(claims []*member) *member {
	latest := slices.MaxFunc(claims, func(a, b *member) int {
		return cmp.Or(compareBool(a.connected, b.connected), a.seen.Compare(b.seen))
	})
	for _, c := range claims {
		if c.connected && c.boot == latest.boot && c.stream > latest.stream {
			latest = c
		}
	}
	for _, c := range claims {
		if c.connected && c.boot != latest.boot {
			latest = latest.atLeast(c)
		}
	}
	return latest
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// atLeast is m with what o has, too, at least.
func (m *member) atLeast(o *member) *member {
	both := *m
	both.has = slices.Clone(m.has)
	for i := range both.has {
		mine, other := both.has[i].cursor, o.in(both.has[i].environment)
		switch {
		case mine == nil:
		case other == nil || other.cursor == nil || other.cursor.Epoch != mine.Epoch:
			both.has[i].cursor = nil
		case other.cursor.Revision < mine.Revision:
			both.has[i].cursor = other.cursor
		}
	}
	return &both
}

// lag is for how long there has been something newer than the cursor's state.
func (f *Fleet) lag(environment string, c *snapshot.Cursor, now time.Time) time.Duration {
	h := f.histories.of(environment)
	if h == nil {
		return 0
	}
	return h.lag(c, now)
}

func (f *Fleet) relayOf(m *member, now time.Time) *controlv1.Relay {
	return m.relay(now, func(environment string, c *snapshot.Cursor) time.Duration { return f.lag(environment, c, now) })
}

// ListRelays answers FleetService.
func (f *Fleet) ListRelays(ctx context.Context, r *controlv1.ListRelaysRequest) (*controlv1.ListRelaysResponse, error) {
	if name := r.GetEnvironment(); name != "" && f.o.Replicas.Replica(name) == nil {
		return nil, unknownEnvironment(name)
	}
	all, unreachable, err := f.look(ctx, r.GetEnvironment())
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b *member) int { return cmp.Compare(a.region, b.region) })
	now := time.Now()
	response := &controlv1.ListRelaysResponse{UnreachableServers: unreachable}
	for _, m := range all {
		response.Relays = append(response.Relays, f.relayOf(m, now))
	}
	return response, nil
}

func unknownEnvironment(name string) error {
	return &controlplane.NotFoundError{What: "environment " + quote(name)}
}

// ForgetRelay answers FleetService.
func (f *Fleet) ForgetRelay(ctx context.Context, r *controlv1.ForgetRelayRequest) (*controlv1.ForgetRelayResponse, error) {
	id := r.GetInstanceId()
	if id == "" {
		return nil, invalid("instance_id", "is empty: want the id of a relay, as ListRelays shows it")
	}
	all, _, err := f.look(ctx, "")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(m *member) bool { return m.id == id })
	if i < 0 {
		return nil, &controlplane.NotFoundError{What: "relay " + quote(id)}
	}
	if all[i].connected {
		return nil, precondition("instance_id", "relay "+quote(id)+" is connected to server "+quote(all[i].server)+": stop it first")
	}
	records, _ := f.relays.All()
	if err := f.forget(ctx, id, records[id].Revision); err != nil {
		return nil, controlplane.Unavailable(err)
	}
	f.local.edit(func(byID map[string]*member) {
		if m := byID[id]; m != nil && !m.connected {
			delete(byID, id)
		}
	})
	return &controlv1.ForgetRelayResponse{}, nil
}
