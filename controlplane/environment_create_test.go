package controlplane

import (
	"bytes"
	"errors"
	"maps"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// fresh is an environment that is made.
const fresh = "fresh"

func (f *fixture) makeEnvironment(r *controlv1.CreateEnvironmentRequest) (*controlv1.CreateEnvironmentResponse, error) {
	if r.GetName() == "" {
		r.Name = fresh
	}
	if r.GetReason() == "" {
		r.Reason = "for the new region"
	}
	return f.CreateEnvironment(f.ctx, alice, r)
}

func (f *fixture) mustMakeEnvironment(r *controlv1.CreateEnvironmentRequest) *controlv1.CreateEnvironmentResponse {
	f.t.Helper()
	resp, err := f.makeEnvironment(r)
	if err != nil {
		f.t.Fatalf("CreateEnvironment(%v): %v", r, err)
	}
	return resp
}

// content is what the store has of an environment's flags and segments, by letter and key; at a
// revision, or now.
func (f *fixture) content(s store.Store, environment string, revision int64) map[string][]byte {
	f.t.Helper()
	if revision == 0 {
		var err error
		if _, revision, err = s.Read(f.ctx, store.Key(epochKey)); err != nil {
			f.t.Fatal(err)
		}
	}
	held := make(map[string][]byte)
	for _, k := range []*kind{segmentKind, flagKind} {
		prefix := statePrefix(environment, k)
		found, err := s.ReadAt(f.ctx, revision, store.Prefix(prefix))
		if err != nil {
			f.t.Fatal(err)
		}
		for _, kv := range found.KVs {
			held[k.letter+"/"+kv.Key[len(prefix):]] = kv.Value
		}
	}
	return held
}

// shown is what a server has of an environment to serve; nil: nothing of it.
func (f *fixture) shown(environment string) map[string][]byte {
	r := f.replicas.Replica(environment)
	if r == nil || r.Snapshot() == nil {
		return nil
	}
	held := make(map[string][]byte)
	for i := range r.Snapshot().Items() {
		for _, k := range []*kind{segmentKind, flagKind} {
			if k.sync == i.Kind {
				held[k.letter+"/"+i.Key] = i.Data
			}
		}
	}
	return held
}

func same(a, b map[string][]byte) bool { return maps.EqualFunc(a, b, bytes.Equal) }

func TestCreateEnvironment(t *testing.T) {
	f, s := newFixture(t)
	other := runOn(t, s)
	resp := f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{
		Settings: &controlv1.EnvironmentSettings{Protected: true}, RequestId: "once",
	})
	if e := resp.GetEntry(); e.GetAction() != controlv1.Action_ACTION_CREATED || e.GetEnvironment() != fresh || e.GetSequence() != 1 ||
		e.GetActor() != "alice" || e.GetRevision() != resp.GetRevision() || e.GetSourceEnvironment() != "" || !resp.GetSettings().GetProtected() {
		t.Errorf("made as %v", resp)
	}
	for _, server := range []*fixture{f, other} {
		server.caughtUp()
		if held := server.shown(fresh); held == nil || len(held) != 0 {
			t.Errorf("a server shows %v", held)
		}
		settings, err := server.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: fresh})
		if err != nil || !settings.GetSettings().GetProtected() {
			t.Errorf("settings %v, %v", settings, err)
		}
	}
	again := f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{
		Settings: &controlv1.EnvironmentSettings{Protected: true}, RequestId: "once",
	})
	if !proto.Equal(again, resp) {
		t.Errorf("the same request again: %v; first: %v", again, resp)
	}
	_, err := f.makeEnvironment(&controlv1.CreateEnvironmentRequest{})
	mentions(t, as[*ExistsError](t, err), `environment "fresh", at revision`)
	// It is an environment like any other.
	if _, err := other.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: fresh, Flag: boolFlag("a"), Reason: "r"}); err != nil {
		t.Error(err)
	}
}

func TestCreateEnvironmentErrors(t *testing.T) {
	f, _ := newFixture(t)
	for _, c := range []struct {
		request *controlv1.CreateEnvironmentRequest
		want    []string
	}{
		{&controlv1.CreateEnvironmentRequest{Name: "New", Reason: "r"}, []string{"name: must be 1 to 63 characters"}},
		{&controlv1.CreateEnvironmentRequest{}, []string{"name: is required", "reason: is required"}},
		{&controlv1.CreateEnvironmentRequest{Name: "a", FromEnvironment: "a", Reason: "r"}, []string{"from_environment: must be another environment"}},
		{&controlv1.CreateEnvironmentRequest{Name: "a", Disable: true, Reason: "r"}, []string{"disable: is set without from_environment"}},
		{&controlv1.CreateEnvironmentRequest{Name: "a", Reason: "r", Settings: &controlv1.EnvironmentSettings{
			FlagPolicy: &controlv1.FlagPolicy{KeyPattern: "("}, Promotion: &controlv1.Promotion{Required: true},
		}}, []string{"settings.flag_policy.key_pattern", "settings.promotion.required: is set without from"}},
	} {
		_, err := f.CreateEnvironment(f.ctx, alice, c.request)
		mentions(t, as[*InvalidError](t, err), c.want...)
	}
	_, err := f.makeEnvironment(&controlv1.CreateEnvironmentRequest{FromEnvironment: "nowhere"})
	mentions(t, as[*NotFoundError](t, err), `environment "nowhere"`)
	_, err = f.makeEnvironment(&controlv1.CreateEnvironmentRequest{Settings: &controlv1.EnvironmentSettings{Promotion: &controlv1.Promotion{From: "nowhere"}}})
	mentions(t, as[*NotFoundError](t, err), `environment "nowhere"`)
	if f.shown(fresh) != nil {
		t.Error("it was made all the same")
	}
}

// TestCloneEnvironment: a clone has what its source had at one revision, by default with the
// settings that are not of where things come from; each entry says from where it is.
func TestCloneEnvironment(t *testing.T) {
	f, s := newFixture(t)
	f.createSegment("staff", "ann")
	made := f.create(inSegment(boolFlag("base"), "staff"))
	f.create(boolFlag("leaf", "base"))
	off := boolFlag("off")
	off.Enabled = false
	f.create(off)
	f.create(boolFlag("filling")) // as what hides an environment that is being made
	settings := &controlv1.EnvironmentSettings{
		Protected: true, FlagPolicy: &controlv1.FlagPolicy{KeyPrefixes: []string{"none-has-it"}},
		FileSources: []*controlv1.FileSource{{Name: "git"}}, Promotion: &controlv1.Promotion{From: staging},
	}
	f.setSettings(production, settings)
	resp := f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{FromEnvironment: production})
	want := f.content(s, production, resp.GetSourceRevision())
	if resp.GetCopied() != 5 || len(want) != 5 || !same(f.content(s, fresh, 0), want) {
		t.Errorf("copied %d: %q", resp.GetCopied(), f.content(s, fresh, 0))
	}
	if got := resp.GetSettings(); !got.GetProtected() || got.GetFlagPolicy() == nil || len(got.GetFileSources()) != 0 || got.GetPromotion() != nil {
		t.Errorf("settings %v", got)
	}
	f.caughtUp()
	if !same(f.shown(fresh), want) {
		t.Error("it is not shown as it is")
	}
	history, err := f.ListFlagHistory(f.ctx, &controlv1.ListFlagHistoryRequest{Environment: fresh, FlagKey: "base"})
	if err != nil || len(history.GetEntries()) != 1 {
		t.Fatalf("history %v, %v", history, err)
	}
	if e := history.GetEntries()[0]; e.GetAction() != controlv1.Action_ACTION_CREATED || e.GetSourceEnvironment() != production ||
		e.GetSourceRevision() != made.GetFlag().GetRevision() || e.GetRequestId() == "" || e.GetReason() != "for the new region" {
		t.Errorf("the entry is %v", e)
	}
	if e := resp.GetEntry(); e.GetSourceEnvironment() != production || e.GetSourceRevision() != resp.GetSourceRevision() {
		t.Errorf("the entry of the settings is %v", e)
	}
	// References are guarded as everywhere.
	if _, err := f.DeleteSegment(f.ctx, alice, &controlv1.DeleteSegmentRequest{
		Environment: fresh, SegmentKey: "staff", BaseRevision: f.segmentRevision(fresh, "staff"), Reason: "r",
	}); !errors.As(err, new(*PreconditionError)) {
		t.Errorf("a segment that is needed was deleted: %v", err)
	}

	disabled := f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{
		Name: "dark", FromEnvironment: production, Disable: true, Settings: &controlv1.EnvironmentSettings{},
	})
	if proto.Size(disabled.GetSettings()) != 0 {
		t.Errorf("settings %v", disabled.GetSettings())
	}
	flag, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: "dark", FlagKey: "base"})
	if err != nil || flag.GetFlag().GetFlag().GetEnabled() {
		t.Errorf("%v, %v", flag, err)
	}
}

func (f *fixture) segmentRevision(environment, key string) int64 {
	f.t.Helper()
	resp, err := f.GetSegment(f.ctx, &controlv1.GetSegmentRequest{Environment: environment, SegmentKey: key})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.GetSegment().GetRevision()
}

// setSettings replaces the settings of an environment.
func (f *fixture) setSettings(environment string, settings *controlv1.EnvironmentSettings) {
	f.t.Helper()
	if err := f.trySettings(environment, settings); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) trySettings(environment string, settings *controlv1.EnvironmentSettings) error {
	f.t.Helper()
	current, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: environment})
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
		Environment: environment, Settings: settings, BaseRevision: current.GetRevision(), Reason: "as agreed",
	})
	return err
}
