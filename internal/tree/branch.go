package tree

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Bounds of what is taken from below.
const (
	// MaxReport is how many relays, and how many departures, one Report may have.
	MaxReport = 1000
	// MaxBelow is how many relays there may be below one follower.
	MaxBelow = 20_000
	// maxEnvironments is how many a relay can follow.
	maxEnvironments = 64
	// maxName bounds ids and names, in bytes.
	maxName = 256
)

// Follower is who joins a tree, as its Hello says.
type Follower struct {
	// Relay tells that it serves others; else it is only counted.
	Relay              bool
	InstanceID, BootID string
	StreamNumber       uint64
	Region, Version    string
	Environments       []string
	// Path is the chain of followers below it, and itself, last.
	Path []string
}

// Branch is one direct follower's stream, and what comes up over it.
type Branch struct {
	tree  *Tree
	relay bool
	id    string
	path  []string // of a relay
	own   *claim   // of a relay
	// below are the relays that it reported.
	below map[string]*claim
	// revoked are environments that it was told to drop.
	revoked []string
	over    bool
}

// Join adds a follower's stream. It must leave.
func (t *Tree) Join(f Follower) *Branch {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &Branch{tree: t, relay: f.Relay, id: f.InstanceID}
	t.branches[b] = struct{}{}
	if !f.Relay {
		return b
	}
	b.path, b.below = f.Path, make(map[string]*claim)
	b.own = &claim{
		branch: b, boot: f.BootID, stream: f.StreamNumber, region: f.Region, version: f.Version, upstream: t.self,
		has: make([]applied, len(f.Environments)),
	}
	for i, name := range f.Environments {
		b.own.has[i].environment = name
	}
	t.claimLocked(b.id, b.own, true)
	return b
}

// Ack notes what the follower has applied and made durable.
func (b *Branch) Ack(environment string, c snapshot.Cursor, rejections Rejections) {
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	if !b.relay || b.over {
		return
	}
	for i := range b.own.has {
		if a := &b.own.has[i]; a.environment == environment {
			a.cursor, a.rejections, a.claimed = &c, rejections, nil
			b.tree.claimLocked(b.id, b.own, true)
		}
	}
}

// Claim notes what the follower says that it has, and that is above what is here. It
// counts for nothing here: it is for who can ask the store.
func (b *Branch) Claim(environment string, c snapshot.Cursor) {
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	if !b.relay || b.over {
		return
	}
	for i := range b.own.has {
		if a := &b.own.has[i]; a.environment == environment && a.cursor == nil {
			a.claimed = &c
			b.tree.claimLocked(b.id, b.own, true)
		}
	}
}

// Revoke notes that the follower was told to drop environments: it is not expected to have
// what comes of them.
func (b *Branch) Revoke(environments []string) {
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	if !b.relay || b.over {
		return
	}
	b.revoked = append(b.revoked, environments...)
	b.own.has = slices.DeleteFunc(b.own.has, func(a applied) bool { return slices.Contains(environments, a.environment) })
	b.tree.claimLocked(b.id, b.own, true)
}

// Leave ends the stream, and with it what came over it. byItself: the follower serves no
// more. Whoever is below it may.
func (b *Branch) Leave(byItself bool) {
	t := b.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.over {
		return
	}
	b.over = true
	delete(t.branches, b)
	for id := range b.below {
		t.unclaimLocked(id, b, departure{})
	}
	if b.relay {
		t.unclaimLocked(b.id, b, departure{byItself, b.revoked})
	}
}

// Report takes what the follower tells of its own tree. An error says what is wrong with
// it; nothing of it has then been taken.
func (b *Branch) Report(r *syncv1.Report) error {
	if !b.relay {
		return errors.New("report: the follower did not say that it is a relay: only relays report")
	}
	now := time.Now()
	claims, err := b.check(r, now)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	b.tree.mu.Lock()
	defer b.tree.mu.Unlock()
	if b.over {
		return nil
	}
	if err := b.checkRoomLocked(r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, d := range r.GetDepartures() {
		if id := d.GetInstanceId(); b.below[id] != nil {
			delete(b.below, id)
			b.tree.unclaimLocked(id, b, departure{d.GetLeft(), d.GetRevoked()})
		}
	}
	for i, status := range r.GetRelays() {
		id := status.GetInstanceId()
		if id == b.id {
			b.ageLocked(claims[i])
			continue
		}
		was := b.below[id]
		b.below[id] = claims[i]
		b.tree.claimLocked(id, claims[i], was == nil || !was.sameBut(claims[i]))
	}
	return nil
}

// checkRoomLocked counts what there would be below the follower.
func (b *Branch) checkRoomLocked(r *syncv1.Report) error {
	n := len(b.below)
	for _, status := range r.GetRelays() {
		if b.below[status.GetInstanceId()] == nil {
			n++
		}
	}
	for _, d := range r.GetDepartures() {
		if b.below[d.GetInstanceId()] != nil {
			n--
		}
	}
	if n > MaxBelow {
		return fmt.Errorf("there are more than %d relays below %s: spread them over more relays", MaxBelow, b.id)
	}
	return nil
}

// ageLocked takes what the follower says of itself.
func (b *Branch) ageLocked(c *claim) {
	b.own.streams = c.streams
	for i := range b.own.has {
		own := &b.own.has[i]
		j := slices.IndexFunc(c.has, func(a applied) bool { return a.environment == own.environment })
		if j >= 0 && !c.has[j].confirmed.IsZero() {
			own.confirmed = c.has[j].confirmed
		}
	}
	b.tree.claimLocked(b.id, b.own, false)
}

// sameBut tells whether the claims differ in nothing that is to be told at once.
func (c *claim) sameBut(o *claim) bool {
	return c.boot == o.boot && c.stream == o.stream && c.region == o.region && c.version == o.version && c.upstream == o.upstream &&
		slices.EqualFunc(c.has, o.has, func(a, b applied) bool {
			return a.environment == b.environment && same(a.cursor, b.cursor) && same(a.claimed, b.claimed)
		})
}

func same(a, b *snapshot.Cursor) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// check validates a report, and returns the claim of each of its relays.
func (b *Branch) check(r *syncv1.Report, now time.Time) ([]*claim, error) {
	if n := max(len(r.GetRelays()), len(r.GetDepartures())); n > MaxReport {
		return nil, fmt.Errorf("it has %d entries; at most %d are allowed", n, MaxReport)
	}
	claims := make([]*claim, len(r.GetRelays()))
	seen := make(map[string]struct{}, len(r.GetRelays())+len(r.GetDepartures()))
	once := func(id string) error {
		if err := checkID(id); err != nil {
			return err
		}
		if _, twice := seen[id]; twice {
			return fmt.Errorf("%q occurs twice", id)
		}
		seen[id] = struct{}{}
		return nil
	}
	for i, status := range r.GetRelays() {
		id := status.GetInstanceId()
		err := once(id)
		if err == nil && id == b.tree.self {
			err = fmt.Errorf("%q is who receives it, and cannot be below", id)
		}
		if err == nil {
			claims[i], err = b.claim(status, now)
		}
		if err != nil {
			return nil, fmt.Errorf("relays[%d]: %w", i, err)
		}
	}
	for i, d := range r.GetDepartures() {
		if err := once(d.GetInstanceId()); err != nil {
			return nil, fmt.Errorf("departures[%d]: %w", i, err)
		}
		if n := len(d.GetRevoked()); n > maxEnvironments {
			return nil, fmt.Errorf("departures[%d]: it has %d environments; at most %d are allowed", i, n, maxEnvironments)
		}
		if slices.ContainsFunc(d.GetRevoked(), func(name string) bool { return name == "" || len(name) > maxName }) {
			return nil, fmt.Errorf("departures[%d]: environment is empty, or longer than %d bytes", i, maxName)
		}
	}
	return claims, nil
}

func checkID(id string) error {
	if id == "" || len(id) > maxName {
		return fmt.Errorf("instance_id is empty, or longer than %d bytes", maxName)
	}
	return nil
}

// claim validates one relay's status.
func (b *Branch) claim(s *syncv1.RelayStatus, now time.Time) (*claim, error) {
	other := s.GetInstanceId() != b.id
	for _, f := range []struct{ field, value string }{
		{"boot_id", s.GetBootId()}, {"upstream", s.GetUpstream()}, {"region", s.GetRegion()}, {"version", s.GetVersion()},
	} {
		switch {
		case len(f.value) > maxName:
			return nil, fmt.Errorf("%s is %d bytes long; at most %d are allowed", f.field, len(f.value), maxName)
		case other && f.value == "" && (f.field == "boot_id" || f.field == "upstream"):
			return nil, fmt.Errorf("%s is empty", f.field)
		}
	}
	if n := len(s.GetEnvironments()); n > maxEnvironments {
		return nil, fmt.Errorf("it has %d environments; at most %d are allowed", n, maxEnvironments)
	}
	c := &claim{
		branch: b, boot: s.GetBootId(), stream: s.GetStreamNumber(), region: s.GetRegion(), version: s.GetVersion(),
		upstream: s.GetUpstream(), streams: s.GetStreams(), has: make([]applied, len(s.GetEnvironments())),
	}
	for i, e := range s.GetEnvironments() {
		if err := c.has[i].read(e, now); err != nil {
			return nil, fmt.Errorf("environments[%d]: %w", i, err)
		}
	}
	return c, nil
}

func (a *applied) read(e *syncv1.RelayEnvironment, now time.Time) error {
	a.environment, a.rejections = e.GetEnvironment(), Rejections{e.GetRejections(), e.GetNewestRejection()}
	if a.environment == "" || len(a.environment) > maxName {
		return fmt.Errorf("environment is empty, or longer than %d bytes", maxName)
	}
	if e.GetCursor() != nil {
		c, err := snapshot.CursorFromProto(e.GetCursor())
		if err != nil {
			return err
		}
		a.cursor = &c
	}
	if e.GetClaimed() != nil {
		c, err := snapshot.CursorFromProto(e.GetClaimed())
		if err != nil {
			return fmt.Errorf("claimed: %w", err)
		}
		a.claimed = &c
	}
	if e.GetAge() != nil {
		const century = 100 * 365 * 24 * time.Hour // what a clock can go back
		a.confirmed = now.Add(-min(max(e.GetAge().AsDuration(), 0), century))
	}
	return nil
}

func (a *applied) proto(now time.Time) *syncv1.RelayEnvironment {
	e := &syncv1.RelayEnvironment{Environment: a.environment, Rejections: a.rejections.Count, NewestRejection: a.rejections.Newest}
	if a.cursor != nil {
		e.Cursor = a.cursor.Proto()
	}
	if a.claimed != nil {
		e.Claimed = a.claimed.Proto()
	}
	if !a.confirmed.IsZero() {
		e.Age = durationpb.New(max(now.Sub(a.confirmed), 0))
	}
	return e
}
