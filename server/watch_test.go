package server

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// page is what a browser shows: it takes in what a watch sends.
type page struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[controlv1.WatchResponse]

	resets     int
	ready      bool
	cursor     *syncv1.Cursor
	flags      map[string]*controlv1.FlagSummary
	activities map[string]*controlv1.FlagActivity
	segments   map[string]*controlv1.SegmentSummary
	rollouts   map[string]*controlv1.RolloutSummary
	standings  map[string]*controlv1.RolloutStanding
	entries    []*controlv1.AuditEntry
	series     []*controlv1.SeriesPoint
	beat       *controlv1.Heartbeat
}

func watchFlags(environment string) *controlv1.WatchRequest {
	return &controlv1.WatchRequest{Environment: environment, Parts: []controlv1.Part{controlv1.Part_PART_FLAGS}}
}

func watchAll(environment string) *controlv1.WatchRequest {
	return &controlv1.WatchRequest{Environment: environment, Parts: []controlv1.Part{
		controlv1.Part_PART_FLAGS, controlv1.Part_PART_SEGMENTS, controlv1.Part_PART_ROLLOUTS, controlv1.Part_PART_ENTRIES,
	}}
}

func (r *running) watch(ctx context.Context, request *controlv1.WatchRequest) *page {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	r.t.Cleanup(cancel)
	stream, err := controlv1.NewWatchServiceClient(r.conn).Watch(ctx, request)
	if err != nil {
		r.t.Fatal(err)
	}
	return &page{t: r.t, stream: stream}
}

// next takes in one message.
func (p *page) next() error {
	m, err := p.stream.Recv()
	if err != nil {
		return err
	}
	if m.GetReset_() {
		p.resets++
		*p = page{t: p.t, stream: p.stream, resets: p.resets, series: p.series}
	}
	if p.flags == nil {
		p.flags, p.activities = map[string]*controlv1.FlagSummary{}, map[string]*controlv1.FlagActivity{}
		p.segments, p.rollouts = map[string]*controlv1.SegmentSummary{}, map[string]*controlv1.RolloutSummary{}
		p.standings = map[string]*controlv1.RolloutStanding{}
	}
	for _, f := range m.GetFlags() {
		p.flags[f.GetKey()] = f
	}
	for _, a := range m.GetActivities() {
		p.activities[a.GetFlagKey()] = a
	}
	for _, s := range m.GetSegments() {
		p.segments[s.GetKey()] = s
	}
	for _, r := range m.GetRollouts() {
		p.rollouts[r.GetKey()] = r
	}
	for _, s := range m.GetStandings() {
		p.standings[s.GetRolloutKey()] = s
	}
	for _, key := range m.GetDeletedFlags() {
		delete(p.flags, key)
	}
	for _, key := range m.GetDeletedSegments() {
		delete(p.segments, key)
	}
	for _, key := range m.GetDeletedRollouts() {
		delete(p.rollouts, key)
	}
	p.entries = append(p.entries, m.GetEntries()...)
	p.series = append(p.series, m.GetSeries()...)
	p.ready = p.ready || m.GetReady()
	if m.GetCursor() != nil {
		p.cursor = m.GetCursor()
	}
	if m.GetHeartbeat() != nil {
		p.beat = m.GetHeartbeat()
	}
	return nil
}

// until takes in messages until something is so.
func (p *page) until(what string, so func() bool) {
	p.t.Helper()
	for !so() {
		if err := p.next(); err != nil {
			p.t.Fatalf("%v before %s", err, what)
		}
	}
}

// ends takes in messages until the stream ends.
func (p *page) ends() codes.Code {
	for {
		if err := p.next(); err != nil {
			return status.Code(err)
		}
	}
}

func keysOf[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// TestWatch: the state, whole; then each change, with who made it; the stream tells that it lives.
func TestWatch(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir()})
	s.create("a")
	s.createOff("b")
	if _, err := s.segments.CreateSegment(as(t), &controlv1.CreateSegmentRequest{Environment: "production", Segment: staff(), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	s.create("last") // once that is shown, everything is
	p := s.watch(t.Context(), watchAll("production"))
	p.until("ready", func() bool { return p.ready })
	p.until("all that was written", func() bool { return p.flags["last"] != nil })
	if got := keysOf(p.flags); p.resets != 1 || !slices.Equal(got, []string{"a", "b", "last"}) || p.segments["staff"].GetIncluded() != 1 || p.cursor == nil {
		t.Errorf("%d resets, flags %v, segments %v", p.resets, got, p.segments)
	}
	if f := p.flags["b"]; f.GetDefaultVariant() != "off" || !slices.Equal(f.GetVariants(), []string{"on", "off"}) || !f.GetEnabled() || f.GetType() != flagv1.ValueType_VALUE_TYPE_BOOLEAN {
		t.Errorf("b: %v", f)
	}
	p.until("who made the flags", func() bool { return len(p.activities) == 3 })
	if a := p.activities["a"]; a.GetUpdatedBy() != "ada" || a.GetUpdatedAction() != controlv1.Action_ACTION_CREATED || !a.GetCreatedAt().AsTime().Equal(a.GetUpdatedAt().AsTime()) {
		t.Errorf("who made a: %v", a)
	}
	p.until("the entries", func() bool { return len(p.entries) == 4 })
	if e := p.entries[0]; e.GetKey() != "a" || e.GetResource() != nil || e.GetActor() != "ada" {
		t.Errorf("the first entry: %v", e)
	}

	off, err := s.flags.SetEnabled(as(t), &controlv1.SetEnabledRequest{Environment: "production", FlagKey: "a", Reason: "off"})
	if err != nil {
		t.Fatal(err)
	}
	p.until("a is off", func() bool { return !p.flags["a"].GetEnabled() })
	if got := p.flags["a"].GetRevision(); got != off.GetFlag().GetRevision() {
		t.Errorf("a is off at %d, want %d", got, off.GetFlag().GetRevision())
	}
	p.until("who did it", func() bool { return p.activities["a"].GetUpdatedRevision() == off.GetFlag().GetRevision() })
	p.until("its entry", func() bool { return p.entries[len(p.entries)-1].GetRevision() == off.GetFlag().GetRevision() })

	rollouts := controlv1.NewRolloutServiceClient(s.conn)
	if _, err := rollouts.StartRollout(as(t), &controlv1.StartRolloutRequest{Environment: "production", Rollout: canary("r", "b"), Reason: "go"}); err != nil {
		t.Fatal(err)
	}
	p.until("the rollout", func() bool { return p.rollouts["r"] != nil && slices.Equal(p.flags["b"].GetRollouts(), []string{"r"}) })
	if r := p.rollouts["r"]; len(r.GetStages()) != 5 || r.GetStatus().GetWeight() != 100 || r.GetStatus().GetSteps() != nil {
		t.Errorf("the rollout: %v", r)
	}
	if sp := p.flags["b"].GetDefaultSplit(); len(sp) != 2 || sp[0].GetWeight() != 100 {
		t.Errorf("b is split %v", sp)
	}
	p.until("how the evidence stands", func() bool { return p.standings["r"].GetAssessment().GetHeadline() != "" })
	if _, err := rollouts.AbortRollout(as(t), &controlv1.AbortRolloutRequest{Environment: "production", Key: "r", Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	p.until("nobody owns b", func() bool { return len(p.flags["b"].GetRollouts()) == 0 && p.flags["b"].GetDefaultVariant() == "off" })
	if _, err := rollouts.DeleteRollout(as(t), &controlv1.DeleteRolloutRequest{Environment: "production", Key: "r", Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.flags.DeleteFlag(as(t), &controlv1.DeleteFlagRequest{Environment: "production", FlagKey: "a", BaseRevision: off.GetFlag().GetRevision(), Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	p.until("what was deleted is gone", func() bool { return len(p.rollouts) == 0 && p.flags["a"] == nil })
	p.until("a heartbeat", func() bool { return p.beat != nil })
	if p.beat.GetRevision() < off.GetFlag().GetRevision() || p.beat.GetServer() == "" || time.Since(p.beat.GetServerTime().AsTime()) > time.Minute {
		t.Errorf("heartbeat: %v", p.beat)
	}
}

// TestWatchResumes: from a cursor that the server knows, only what changed is sent.
func TestWatchResumes(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	s.create("a")
	s.create("b")
	p := s.watch(t.Context(), watchFlags("production"))
	p.until("both", func() bool { return p.ready && len(p.flags) == 2 })
	s.create("c")
	if _, err := s.flags.DeleteFlag(as(t), &controlv1.DeleteFlagRequest{
		Environment: "production", FlagKey: "a", BaseRevision: p.flags["a"].GetRevision(), Reason: "test",
	}); err != nil {
		t.Fatal(err)
	}
	other := s.watch(t.Context(), watchFlags("production")) // which tells when the server shows it
	other.until("a is gone", func() bool { return other.ready && len(other.flags) == 2 && other.flags["a"] == nil })

	request := watchFlags("production")
	request.From = p.cursor
	again := s.watch(t.Context(), request)
	again.flags, again.activities = maps.Clone(p.flags), map[string]*controlv1.FlagActivity{}
	delete(again.flags, "b") // it is not sent again
	again.until("ready", func() bool { return again.ready })
	if got := keysOf(again.flags); again.resets != 0 || !slices.Equal(got, []string{"c"}) {
		t.Errorf("%d resets, flags %v", again.resets, got)
	}
	request.From = &syncv1.Cursor{Epoch: &syncv1.Epoch{Counter: 77}, Revision: 1, Digest: make([]byte, 16)}
	unknown := s.watch(t.Context(), request)
	unknown.until("ready", func() bool { return unknown.ready })
	if got := keysOf(unknown.flags); unknown.resets != 1 || !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("from an unknown cursor: %d resets, flags %v", unknown.resets, got)
	}
}

// TestWatchByKeys: whose grants are limited to some keys sees those, and has to call again when
// they change.
func TestWatchByKeys(t *testing.T) {
	t.Parallel()
	a := newAsking(t)
	for _, key := range []string{"pay.a", "pay.b", "shop.a"} {
		if _, err := a.flags.CreateFlag(a.admin, &controlv1.CreateFlagRequest{Environment: "production", Flag: boolean(key), Reason: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	grant := &accessv1.Grant{Role: accessv1.Role_ROLE_VIEWER, Environments: []string{"production"}, KeyPrefixes: []string{"pay."}}
	limited, made := a.service("pay", grant)
	all := a.watch(a.admin, watchFlags("production"))
	all.until("all flags", func() bool { return all.ready && len(all.flags) == 3 && len(all.activities) == 3 })

	p := a.watch(limited, watchAll("production"))
	p.until("its flags", func() bool { return p.ready && len(p.activities) == 2 && len(p.entries) == 2 })
	if got := keysOf(p.flags); !slices.Equal(got, []string{"pay.a", "pay.b"}) {
		t.Errorf("it sees %v", got)
	}
	for _, e := range p.entries {
		if e.GetKey() == "shop.a" {
			t.Errorf("it sees %v", e)
		}
	}
	for name, request := range map[string]*controlv1.WatchRequest{
		"relays":              {Environment: "production", Parts: []controlv1.Part{controlv1.Part_PART_RELAYS}},
		"another environment": watchFlags("staging"),
		"another's rollout":   {Environment: "production", Parts: []controlv1.Part{controlv1.Part_PART_FLAGS}, RolloutKey: "shop.r"},
	} {
		if code := a.watch(limited, request).ends(); code != codes.PermissionDenied {
			t.Errorf("%s: %v", name, code)
		}
	}

	grant.KeyPrefixes = []string{"shop."}
	identity := made.GetIdentity().GetIdentity()
	identity.Grants = []*accessv1.Grant{grant}
	_, err := a.identities.UpdateIdentity(a.admin, &controlv1.UpdateIdentityRequest{
		Identity: identity, BaseRevision: made.GetIdentity().GetRevision(), Reason: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	if code := p.ends(); code != codes.Unavailable {
		t.Errorf("with other grants: %v", code)
	}
	p = a.watch(limited, watchFlags("production"))
	p.until("ready", func() bool { return p.ready })
	if got := keysOf(p.flags); !slices.Equal(got, []string{"shop.a"}) {
		t.Errorf("after that it sees %v", got)
	}
	if _, err := a.identities.DeleteIdentity(a.admin, &controlv1.DeleteIdentityRequest{
		Id: identity.GetId(), Reason: "test",
	}); err != nil {
		t.Fatal(err)
	}
	if code := p.ends(); code != codes.PermissionDenied {
		t.Errorf("without rights: %v", code)
	}
}

// TestWatchRefuses: what makes no sense.
func TestWatchRefuses(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for name, c := range map[string]struct {
		request *controlv1.WatchRequest
		want    codes.Code
	}{
		"nothing":          {&controlv1.WatchRequest{}, codes.InvalidArgument},
		"no part":          {&controlv1.WatchRequest{Environment: "production"}, codes.InvalidArgument},
		"an unknown part":  {&controlv1.WatchRequest{Environment: "production", Parts: []controlv1.Part{99}}, codes.InvalidArgument},
		"no environment":   {watchFlags("nowhere"), codes.NotFound},
		"no such rollout":  {&controlv1.WatchRequest{Environment: "production", Parts: []controlv1.Part{controlv1.Part_PART_FLAGS}, RolloutKey: "r"}, codes.NotFound},
		"no such rollout?": {&controlv1.WatchRequest{Environment: "production", Parts: []controlv1.Part{controlv1.Part_PART_FLAGS}, RolloutKey: "?"}, codes.InvalidArgument},
	} {
		if got := s.watch(t.Context(), c.request).ends(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
