package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// stream is one call of Watch.
type stream struct {
	*view
	parts   map[controlv1.Part]bool
	reader  controlplane.Reader
	send    func(*controlv1.WatchResponse) error
	rollout string // whose series is shown; empty: none

	sent  *snapshot.Snapshot // nil: nothing
	owned owned              // of it
	// Of what the view has.
	sentVersions versions

	relaysSent map[string]bool
	series     series
}

// versions are those of what was sent.
type versions struct{ activities, standings, relays, entries int64 }

// nothingSent is where a stream begins.
var nothingSent = versions{entries: -1}

// Watch answers WatchService with what the reader may know. It calls send from its own goroutine.
func (l *Live) Watch(ctx context.Context, r *controlv1.WatchRequest, reader controlplane.Reader, send func(*controlv1.WatchResponse) error) error {
	parts, err := partsOf(r)
	if err != nil {
		return err
	}
	held := l.o.Replicas.Replica(r.GetEnvironment())
	if held == nil {
		return &controlplane.NotFoundError{What: fmt.Sprintf("environment %q", r.GetEnvironment())}
	}
	s := &stream{
		view: l.view(held), parts: parts, reader: reader, send: send, rollout: r.GetRolloutKey(),
		sentVersions: nothingSent, relaysSent: make(map[string]bool),
	}
	if s.rollout != "" {
		if err := s.series.load(ctx, &l.o, r); err != nil {
			return err
		}
	}
	if err := s.begin(r); err != nil {
		return err
	}
	// What takes looks at the store begins once the state is there: nobody waits for it.
	for part := range s.needed() {
		defer s.hold(part)() //nolint:contextcheck // other streams need it longer
	}
	return s.run(ctx)
}

// needed are the parts that must be kept up to date: the points of a series are as old as how the
// evidence stands, which tells when to look for more.
func (s *stream) needed() map[controlv1.Part]bool {
	if s.rollout == "" {
		return s.parts
	}
	needed := maps.Clone(s.parts)
	needed[controlv1.Part_PART_ROLLOUTS] = true
	return needed
}

func partsOf(r *controlv1.WatchRequest) (map[controlv1.Part]bool, error) {
	parts := make(map[controlv1.Part]bool)
	for i, p := range r.GetParts() {
		if _, known := controlv1.Part_name[int32(p)]; !known || p == controlv1.Part_PART_UNSPECIFIED {
			return nil, invalid(fmt.Sprintf("parts[%d]", i), fmt.Sprintf("%d is no part", p))
		}
		parts[p] = true
	}
	switch {
	case r.GetEnvironment() == "":
		return nil, invalid("environment", "is empty: name the environment to show")
	case len(parts) == 0:
		return nil, invalid("parts", "is empty: name what to show of the environment")
	}
	return parts, nil
}

func invalid(field, problem string) error {
	return &controlplane.InvalidError{Fields: eval.Errors{{Field: field, Problem: problem}}}
}

// begin sends the first state, or what follows the cursor that the caller has.
func (s *stream) begin(r *controlv1.WatchRequest) error {
	now := s.replica.Snapshot()
	if now == nil {
		return fmt.Errorf("%w: environment %q is not loaded yet", controlplane.ErrUnavailable, s.environment)
	}
	b := newBatch(s.send)
	if delta, ok := s.since(r, now); ok {
		s.owned = ownedIn(now)
		s.changes(b, now, delta)
		s.sent = now
	} else {
		s.whole(b, now)
	}
	b.next.Ready, b.next.Cursor = true, now.Cursor().Proto()
	b.flush()
	return b.err
}

// since is what leads from the caller's cursor to a snapshot; false: that is not known.
func (s *stream) since(r *controlv1.WatchRequest, to *snapshot.Snapshot) (snapshot.Delta, bool) {
	if r.GetFrom() == nil {
		return snapshot.Delta{}, false
	}
	from, err := snapshot.CursorFromProto(r.GetFrom())
	if err != nil {
		return snapshot.Delta{}, false
	}
	if from.SameState(to.Cursor()) {
		return snapshot.Delta{}, true
	}
	delta, held, reached := s.replica.Since(from, to.Cursor())
	// Which rollouts own something of a flag is part of the flag's summary, and those that did
	// are not in the delta.
	return delta, held && reached && !delta.Full && !slices.ContainsFunc(changedIDs(delta), func(id snapshot.ID) bool {
		return id.Kind == syncv1.Kind_KIND_ROLLOUT
	})
}

// whole sends all of a snapshot.
func (s *stream) whole(b *batch, now *snapshot.Snapshot) {
	b.next.Reset_ = true
	s.owned = ownedIn(now)
	s.changes(b, now, now.Full())
	s.sent = now
}

// run sends what changes until ctx ends.
func (s *stream) run(ctx context.Context) error {
	_, changes := s.replica.Subscribe()
	beat := time.NewTicker(s.o.HeartbeatEvery)
	defer beat.Stop()
	for {
		viewChanged := s.Changed()
		for ok := true; ok; {
			_, _, ok = changes.Poll()
		}
		if err := s.follow(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changes.Changed():
		case <-viewChanged:
		case <-beat.C:
			if err := s.heartbeat(); err != nil {
				return err
			}
		}
	}
}

// follow sends all that is newer than what was sent.
func (s *stream) follow(ctx context.Context) error {
	now := s.replica.Snapshot()
	if now == nil {
		return fmt.Errorf("%w: environment %q is being loaded anew", controlplane.ErrUnavailable, s.environment)
	}
	b := newBatch(s.send)
	if now != s.sent && !s.sent.Cursor().SameState(now.Cursor()) {
		if s.sent.Cursor().Epoch != now.Cursor().Epoch {
			s.whole(b, now)
			b.next.Ready = true
			s.sentVersions = nothingSent
			clear(s.relaysSent)
		} else {
			before := s.owned
			s.owned = ownedIn(now)
			delta := snapshot.Diff(s.sent, now)
			s.changes(b, now, delta)
			s.reowned(b, now, before, delta)
			s.sent = now
		}
		b.next.Cursor = now.Cursor().Proto()
		b.flush()
	}
	s.fromView(b)
	if err := s.series.follow(ctx, s, b); err != nil {
		return err
	}
	if b.size > 0 || b.next.GetEntriesMissed() || len(b.next.GetUnreachableServers()) > 0 || len(b.next.GetResetParts()) > 0 {
		b.flush()
	}
	return b.err
}

// fromView adds what is new in the view.
func (s *stream) fromView(b *batch) {
	if s.parts[controlv1.Part_PART_FLAGS] {
		s.sentVersions.activities = s.activities.since(s.sentVersions.activities, func(m *controlv1.FlagActivity) {
			if s.reader.Sees(m.GetFlagKey()) {
				b.activity(m)
			}
		})
	}
	if s.parts[controlv1.Part_PART_ROLLOUTS] {
		s.sentVersions.standings = s.standings.since(s.sentVersions.standings, func(one *standing) {
			if s.reader.SeesRollout(one.message.GetRolloutKey(), one.flag) {
				b.standing(one.message)
			}
		})
	}
	if s.parts[controlv1.Part_PART_RELAYS] {
		s.addRelays(b)
	}
	if s.parts[controlv1.Part_PART_ENTRIES] {
		next, list, missed := s.entries.since(s.sentVersions.entries)
		if missed {
			b.flush() // what was before came before the gap
			b.next.EntriesMissed = true
		}
		if s.sentVersions.entries < 0 && next > 0 {
			b.begins(controlv1.Part_PART_ENTRIES)
		}
		for _, one := range list {
			if e := s.reader.Entry(one.AuditEntry, one.flag); e != nil {
				b.entry(e)
			}
		}
		if s.sentVersions.entries = next; next == 0 {
			s.sentVersions.entries = -1 // not read yet
		}
	}
}

func (s *stream) addRelays(b *batch) {
	next, all, changed, unreachable := s.relays.since(s.sentVersions.relays)
	if all == nil {
		return
	}
	if s.sentVersions.relays == 0 {
		b.begins(controlv1.Part_PART_RELAYS)
	}
	s.sentVersions.relays = next
	for _, m := range changed {
		s.relaysSent[m.GetInstanceId()] = true
		b.relay(m)
	}
	for id := range s.relaysSent {
		if !all[id] {
			delete(s.relaysSent, id)
			b.goneRelay(id)
		}
	}
	b.next.UnreachableServers = unreachable
}

func (s *stream) heartbeat() error {
	now := s.replica.Snapshot()
	if now == nil {
		return nil // which follow finds
	}
	return s.send(&controlv1.WatchResponse{Heartbeat: &controlv1.Heartbeat{
		ServerTime: timestamppb.Now(), Age: durationpb.New(s.replica.Age()), Revision: now.Cursor().Revision, Server: s.o.InstanceID,
	}})
}

// reowned sends the flags whose rollouts are others than before, and which did not change
// themselves.
func (s *stream) reowned(b *batch, now *snapshot.Snapshot, before owned, d snapshot.Delta) {
	if !s.parts[controlv1.Part_PART_FLAGS] {
		return
	}
	for _, keys := range []owned{before, s.owned} {
		for key := range keys {
			if slices.Equal(before[key], s.owned[key]) || slices.ContainsFunc(d.Puts, func(i snapshot.Item) bool { return i.ID() == flagID(key) }) {
				continue
			}
			if item, there := now.Item(flagID(key).Kind, key); there && s.reader.Sees(key) {
				b.flag(s.flagSummary(item, s.unusable(now)[key]))
			}
		}
	}
}
