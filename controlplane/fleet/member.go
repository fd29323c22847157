package fleet

import (
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// member is what one server knows of one relay; immutable.
type member struct {
	id, boot         string
	stream           uint64
	region, version  string
	server, upstream string
	connected        bool
	// seen is when it was last heard of; zero: not since the server started.
	seen    time.Time
	streams uint32
	has     []applied
}

// applied is what a relay has of one environment.
type applied struct {
	environment string
	cursor      *snapshot.Cursor // nil: nothing yet
	rejections  tree.Rejections
	// confirmed is when its state was the store's; zero: nobody said.
	confirmed time.Time
}

// in returns what the relay has of the environment; nil if it does not follow it.
func (m *member) in(environment string) *applied {
	for i := range m.has {
		if m.has[i].environment == environment {
			return &m.has[i]
		}
	}
	return nil
}

// follows tells whether the relay follows the environment; all do the empty one.
func (m *member) follows(environment string) bool {
	return environment == "" || m.in(environment) != nil
}

func (m *member) environments() []string {
	names := make([]string, len(m.has))
	for i, a := range m.has {
		names[i] = a.environment
	}
	return names
}

// gone is the relay, no longer connected, and without what it was told to drop.
func (m *member) gone(revoked []string) *member {
	g := *m
	g.connected = false
	g.has = slices.DeleteFunc(slices.Clone(m.has), func(a applied) bool { return slices.Contains(revoked, a.environment) })
	return &g
}

// fromStatus is a relay of this server's own tree.
func fromStatus(s *syncv1.RelayStatus, server string, now time.Time) *member {
	m := &member{
		id: s.GetInstanceId(), boot: s.GetBootId(), stream: s.GetStreamNumber(), region: s.GetRegion(), version: s.GetVersion(),
		server: server, upstream: s.GetUpstream(), connected: true, seen: now, streams: s.GetStreams(),
		has: make([]applied, len(s.GetEnvironments())),
	}
	for i, e := range s.GetEnvironments() {
		m.has[i] = applied{environment: e.GetEnvironment(), rejections: tree.Rejections{Count: e.GetRejections(), Newest: e.GetNewestRejection()}, confirmed: before(now, e.GetAge())}
		if c, err := snapshot.CursorFromProto(e.GetCursor()); err == nil {
			m.has[i].cursor = &c
		}
	}
	return m
}

// fromRelay is a relay of which another server told.
func fromRelay(r *controlv1.Relay, now time.Time) *member {
	m := &member{
		id: r.GetInstanceId(), boot: r.GetBootId(), stream: r.GetStreamNumber(), region: r.GetRegion(), version: r.GetVersion(),
		server: r.GetServer(), upstream: r.GetUpstream(), connected: r.GetConnected(), streams: r.GetStreams(),
		has: make([]applied, len(r.GetEnvironments())),
	}
	if r.GetLastSeen() != nil {
		m.seen = r.GetLastSeen().AsTime()
	}
	for i, e := range r.GetEnvironments() {
		m.has[i] = applied{environment: e.GetEnvironment(), rejections: tree.Rejections{Count: e.GetRejections(), Newest: e.GetNewestRejection()}, confirmed: before(now, e.GetAge())}
		if c, err := snapshot.CursorFromProto(e.GetCursor()); err == nil {
			m.has[i].cursor = &c
		}
	}
	return m
}

func before(now time.Time, age *durationpb.Duration) time.Time {
	if age == nil {
		return time.Time{}
	}
	return now.Add(-age.AsDuration())
}

// relay is the wire form. lag may be nil.
func (m *member) relay(now time.Time, lag func(environment string, c *snapshot.Cursor) time.Duration) *controlv1.Relay {
	r := &controlv1.Relay{
		InstanceId: m.id, BootId: m.boot, StreamNumber: m.stream, Region: m.region, Version: m.version,
		Server: m.server, Upstream: m.upstream, Connected: m.connected, Streams: m.streams,
		Environments: make([]*controlv1.AppliedEnvironment, len(m.has)),
	}
	if !m.seen.IsZero() {
		r.LastSeen = timestamppb.New(m.seen)
	}
	for i, a := range m.has {
		e := &controlv1.AppliedEnvironment{Environment: a.environment, Rejections: a.rejections.Count, NewestRejection: a.rejections.Newest}
		if a.cursor != nil {
			e.Cursor = a.cursor.Proto()
		}
		if !a.confirmed.IsZero() {
			e.Age = durationpb.New(max(now.Sub(a.confirmed), 0))
		}
		if lag != nil {
			e.Lag = durationpb.New(lag(a.environment, a.cursor))
		}
		r.Environments[i] = e
	}
	return r
}

// members are the relays that one server knows, by instance id.
type members struct {
	mu      sync.Mutex
	byID    map[string]*member
	changed chan struct{} // closed and replaced with each change
}

func newMembers() *members {
	return &members{byID: make(map[string]*member), changed: make(chan struct{})}
}

// edit changes the members as the function does, and wakes who waits.
func (m *members) edit(change func(byID map[string]*member)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m.byID)
	close(m.changed)
	m.changed = make(chan struct{})
}

// all returns the members, and what is closed when they are no longer these.
func (m *members) all() ([]*member, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.AppendSeq(make([]*member, 0, len(m.byID)), maps.Values(m.byID)), m.changed
}

func (m *members) get(id string) *member {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id]
}
