package controlplane

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// setPolicy replaces the policy of production.
func (f *fixture) setPolicy(p *controlv1.FlagPolicy) *controlv1.UpdateEnvironmentResponse {
	f.t.Helper()
	current, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
		Environment: production, Settings: &controlv1.EnvironmentSettings{FlagPolicy: p}, BaseRevision: current.GetRevision(), Reason: "as agreed",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp
}

func (f *fixture) tryCreate(flag *flagv1.Flag) error {
	_, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: flag, Reason: "first"})
	return err
}

func TestEnvironmentSettings(t *testing.T) {
	f, _ := newFixture(t)
	begin, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil || begin.GetRevision() == 0 || proto.Size(begin.GetSettings()) != 0 {
		t.Fatalf("at first: %v, %v", begin, err)
	}
	history, err := f.ListEnvironmentHistory(f.ctx, &controlv1.ListEnvironmentHistoryRequest{Environment: production})
	if err != nil || len(history.GetEntries()) != 0 {
		t.Fatalf("history of nothing: %v, %v", history, err)
	}
	p := &controlv1.FlagPolicy{RequireOwner: true}
	changed := f.setPolicy(p)
	if e := changed.GetEntry(); e.GetActor() != "alice" || e.GetReason() != "as agreed" || e.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT ||
		e.GetKey() != production || e.GetSequence() != 1 || e.GetRevision() != changed.GetRevision() || len(e.GetChanges()) != 1 {
		t.Errorf("the entry is %v", e)
	}
	now, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil || now.GetRevision() != changed.GetRevision() || !proto.Equal(now.GetSettings().GetFlagPolicy(), p) {
		t.Errorf("it is %v, %v", now, err)
	}
	if again := f.setPolicy(p); again.GetEntry() != nil || again.GetRevision() != changed.GetRevision() {
		t.Errorf("what was so already: %v", again)
	}
	if history, err = f.ListEnvironmentHistory(f.ctx, &controlv1.ListEnvironmentHistoryRequest{Environment: production}); err != nil ||
		len(history.GetEntries()) != 1 || !proto.Equal(history.GetEntries()[0].GetEnvironmentSettings(), now.GetSettings()) {
		t.Errorf("history %v, %v", history, err)
	}

	f.setPolicy(&controlv1.FlagPolicy{RequireOwner: true, RequireKind: true})
	_, err = f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
		Environment: production, Settings: &controlv1.EnvironmentSettings{}, BaseRevision: changed.GetRevision(), Reason: "late",
	})
	mentions(t, as[*ConflictError](t, err), `environment "production" is no longer at revision`, "require_kind: false -> true")
	other, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: staging})
	if err != nil || proto.Size(other.GetSettings()) != 0 {
		t.Errorf("staging has %v, %v", other, err)
	}
}

func TestEnvironmentSettingsErrors(t *testing.T) {
	f, _ := newFixture(t)
	_, err := f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{Environment: production})
	mentions(t, as[*InvalidError](t, err), "settings: is required", "base_revision", "reason")
	for _, c := range []struct {
		p    *controlv1.FlagPolicy
		says string
	}{
		{&controlv1.FlagPolicy{KeyPattern: "("}, "key_pattern: is not a regular expression"},
		{&controlv1.FlagPolicy{KeyPattern: "a)|(b"}, "key_pattern: is not a regular expression"},
		{&controlv1.FlagPolicy{KeyPattern: strings.Repeat("a", 257)}, "key_pattern: must be at most 256 bytes"},
		{&controlv1.FlagPolicy{KeyPrefixes: []string{""}}, "key_prefixes: must be beginnings of keys"},
		{&controlv1.FlagPolicy{KeyPrefixes: []string{"a b"}}, "key_prefixes: must be beginnings of keys"},
		{&controlv1.FlagPolicy{KeyPrefixes: make([]string, 65)}, "key_prefixes: there are 65"},
		{&controlv1.FlagPolicy{Explanation: strings.Repeat("ü", 129)}, "explanation: must be at most 128 characters"},
	} {
		_, err := f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
			Environment: production, Settings: &controlv1.EnvironmentSettings{FlagPolicy: c.p}, BaseRevision: 1, Reason: "x",
		})
		mentions(t, as[*InvalidError](t, err), "settings.flag_policy."+c.says)
	}
	for _, call := range []func() error{
		func() error {
			_, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: "nowhere"})
			return err
		},
		func() error {
			_, err := f.ListEnvironmentHistory(f.ctx, &controlv1.ListEnvironmentHistoryRequest{Environment: "nowhere"})
			return err
		},
		func() error {
			_, err := f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
				Environment: "nowhere", Settings: &controlv1.EnvironmentSettings{}, BaseRevision: 1, Reason: "x",
			})
			return err
		},
	} {
		wants[*NotFoundError](t, call())
	}
}

func TestPolicy(t *testing.T) {
	f, _ := newFixture(t)
	old := f.create(boolFlag("Old"))
	f.setPolicy(&controlv1.FlagPolicy{
		KeyPattern: `[a-z.]+|[A-Z]`, KeyPrefixes: []string{"checkout.", "search."}, RequireOwner: true, RequireKind: true, Explanation: "see the wiki",
	})

	err := f.tryCreate(boolFlag("New"))
	mentions(t, as[*PreconditionError](t, err),
		`flag.key: "New" does not match [a-z.]+|[A-Z], as the policy of this environment asks (see the wiki)`,
		`flag.key: "New" does not begin with checkout. or search.`, "flag.owner: is required", "flag.kind: is required")
	good := boolFlag("checkout.new")
	good.Owner, good.Kind = "payments", flagv1.FlagKind_FLAG_KIND_RELEASE
	if err := f.tryCreate(good); err != nil {
		t.Error(err)
	}

	// What was there may stay as it is, and change otherwise; what is required is not taken away.
	edited := boolFlag("Old")
	edited.Description = "as it always was"
	response, err := f.update(edited, old.GetFlag().GetRevision())
	if err != nil {
		t.Fatal(err)
	}
	f.setEnabled("Old", false)
	bare := proto.CloneOf(good)
	bare.Owner = " "
	_, err = f.update(bare, f.get("checkout.new").GetRevision())
	mentions(t, as[*PreconditionError](t, err), "flag.owner: is required")

	// However a flag comes, it is asked of it.
	_, err = f.Apply(f.ctx, alice, &controlv1.ApplyRequest{
		Environment: production, Reason: "x", Flags: []*controlv1.FlagWrite{{Flag: good}, {Flag: boolFlag("other")}},
	})
	mentions(t, as[*PreconditionError](t, err), `flags[other].key: "other" does not begin`)
	_, err = f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: staging, Flag: boolFlag("other"), Reason: "free there"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{
		FlagKey: "other", FromEnvironment: staging, ToEnvironment: production, Reason: "x",
	})
	mentions(t, as[*PreconditionError](t, err), `flag.key: "other" does not begin`)
	deleted := f.get("Old").GetRevision()
	if _, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{Environment: production, FlagKey: "Old", BaseRevision: deleted, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	_, err = f.RestoreFlag(f.ctx, alice, &controlv1.RestoreFlagRequest{
		Environment: production, FlagKey: "Old", Revision: response.GetFlag().GetRevision(), Reason: "x",
	})
	wants[*PreconditionError](t, err)
}

// Of a policy and flags that are made while it comes to be, none is made that it forbids.
func TestPolicyAndCreateAtOnce(t *testing.T) {
	f, _ := newFixture(t)
	for range 20 {
		f.setPolicy(nil)
		start := make(chan struct{})
		var made, set int64
		var both sync.WaitGroup
		flag := boolFlag("raced")
		both.Go(func() {
			<-start
			resp, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: flag, Reason: "first"})
			var refused *PreconditionError
			if err != nil && !errors.As(err, &refused) {
				t.Error(err)
			}
			made = resp.GetFlag().GetRevision()
		})
		both.Go(func() {
			<-start
			set = f.setPolicy(&controlv1.FlagPolicy{KeyPrefixes: []string{"none."}}).GetRevision()
		})
		close(start)
		both.Wait()
		if made > set {
			t.Fatalf("a flag was made at revision %d, and the policy that forbids it at %d", made, set)
		}
		if made != 0 {
			if _, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{Environment: production, FlagKey: "raced", BaseRevision: made, Reason: "x"}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDeleteOfAFlagInUse(t *testing.T) {
	f, _ := newFixture(t)
	f.create(boolFlag("a"))
	f.create(boolFlag("b"))
	f.at(2 * time.Hour)
	f.evaluated(0, map[string]time.Duration{"a": 2*time.Hour - 30*time.Minute, "b": time.Minute})
	remove := func(key string, force bool) error {
		_, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{
			Environment: production, FlagKey: key, BaseRevision: f.get(key).GetRevision(), Reason: "over", Force: force, RequestId: "delete-" + key,
		})
		return err
	}
	mentions(t, as[*PreconditionError](t, remove("a", false)), "flag_key: was evaluated 7 times in the last hour, last at 2026-11-22T12:00:00Z, and served on")
	if err := remove("b", false); err != nil {
		t.Errorf("one that nobody evaluates: %v", err)
	}
	revision := f.get("a").GetRevision()
	if err := remove("a", true); err != nil {
		t.Errorf("by force: %v", err)
	}
	// A repeated request is answered as it was, whatever relays have told since.
	_, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{
		Environment: production, FlagKey: "a", BaseRevision: revision, Reason: "over", Force: true, RequestId: "delete-a",
	})
	if err != nil {
		t.Errorf("again: %v", err)
	}
}
