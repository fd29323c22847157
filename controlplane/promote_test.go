package controlplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// put writes flags as they are.
func (f *fixture) put(environment string, flags ...*flagv1.Flag) {
	f.t.Helper()
	if err := f.tryPut(environment, flags...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) tryPut(environment string, flags ...*flagv1.Flag) error {
	r := &controlv1.ApplyRequest{Environment: environment, Reason: "work"}
	for _, flag := range flags {
		r.Flags = append(r.Flags, &controlv1.FlagWrite{Flag: flag})
	}
	_, err := f.Apply(f.ctx, alice, r)
	return err
}

func (f *fixture) putSegment(environment, key string, included ...string) {
	f.t.Helper()
	_, err := f.Apply(f.ctx, alice, &controlv1.ApplyRequest{Environment: environment, Reason: "work", Segments: []*controlv1.SegmentWrite{
		{Segment: &flagv1.Segment{Key: key, Included: included}},
	}})
	if err != nil {
		f.t.Fatal(err)
	}
}

// promoteAll promotes from staging to production.
func (f *fixture) promoteAll(r *controlv1.PromoteEnvironmentRequest) (*controlv1.PromoteEnvironmentResponse, error) {
	r.FromEnvironment, r.ToEnvironment = staging, production
	if r.GetReason() == "" && !r.GetValidateOnly() {
		r.Reason = "it is ready"
	}
	return f.PromoteEnvironment(f.ctx, alice, r)
}

func (f *fixture) mustPromote(r *controlv1.PromoteEnvironmentRequest) *controlv1.PromoteEnvironmentResponse {
	f.t.Helper()
	resp, err := f.promoteAll(r)
	if err != nil {
		f.t.Fatalf("PromoteEnvironment(%v): %v", r, err)
	}
	return resp
}

// described is a flag with a description.
func described(key, description string, needs ...string) *flagv1.Flag {
	f := boolFlag(key, needs...)
	f.Description = description
	return f
}

func TestPromoteEnvironment(t *testing.T) {
	f, _ := newFixture(t)
	f.putSegment(staging, "staff", "ann")
	f.put(staging, inSegment(boolFlag("checkout.base"), "staff"), boolFlag("checkout.leaf", "checkout.base"), boolFlag("other"))

	preview := f.mustPromote(&controlv1.PromoteEnvironmentRequest{ValidateOnly: true})
	if preview.GetCreated() != 4 || preview.GetTransactions() != 1 || preview.GetRevision() != 0 || len(preview.GetResults()) != 4 ||
		preview.GetResults()[0].GetKey() != "staff" || len(preview.GetDrifts()) != 0 {
		t.Errorf("preview: %v", preview)
	}
	_, err := f.promoteAll(&controlv1.PromoteEnvironmentRequest{KeyPrefix: "checkout."})
	mentions(t, as[*PreconditionError](t, err), "flags[checkout.base]", `"staff"`)
	resp := f.mustPromote(&controlv1.PromoteEnvironmentRequest{KeyPrefix: "checkout.", IncludeNeeded: true, BaseRevision: preview.GetCurrentRevision(), RequestId: "once"})
	if resp.GetCreated() != 3 || resp.GetUpdated() != 0 {
		t.Errorf("promoted: %v", resp)
	}
	entry := f.fullHistory("checkout.leaf")[0]
	if entry.GetAction() != controlv1.Action_ACTION_PROMOTED || entry.GetSourceEnvironment() != staging || entry.GetSourceRevision() == 0 ||
		entry.GetRequestId() != "once" || f.get("checkout.leaf").GetFlag().GetEnabled() {
		t.Errorf("audited as %v", entry)
	}
	again := f.mustPromote(&controlv1.PromoteEnvironmentRequest{KeyPrefix: "checkout.", IncludeNeeded: true, BaseRevision: preview.GetCurrentRevision(), RequestId: "once"})
	if !proto.Equal(again, resp) {
		t.Errorf("the same request again: %v; first: %v", again, resp)
	}
	if resp := f.mustPromote(&controlv1.PromoteEnvironmentRequest{KeyPrefix: "checkout."}); resp.GetRevision() != 0 || resp.GetTransactions() != 0 {
		t.Errorf("nothing differs: %v", resp)
	}
	switched := f.mustPromote(&controlv1.PromoteEnvironmentRequest{Keys: []string{"checkout.leaf"}, IncludeEnabled: true})
	if switched.GetUpdated() != 1 || !f.get("checkout.leaf").GetFlag().GetEnabled() || f.get("checkout.base").GetFlag().GetEnabled() {
		t.Errorf("with the switch: %v", switched)
	}

	// What the source does not have goes on request, after what needed it.
	f.create(boolFlag("mine"))
	_, err = f.promoteAll(&controlv1.PromoteEnvironmentRequest{Keys: []string{"mine"}})
	mentions(t, as[*NotFoundError](t, err), `"mine" in environment "staging"`)
	_, err = f.promoteAll(&controlv1.PromoteEnvironmentRequest{DeleteMissing: true})
	mentions(t, as[*PreconditionError](t, err), "overwrite_drift", `"flag mine"`)
	all := f.mustPromote(&controlv1.PromoteEnvironmentRequest{DeleteMissing: true, OverwriteDrift: true})
	if all.GetDeleted() != 1 || all.GetCreated() != 1 {
		t.Errorf("all of it: %v", all)
	}
	if e := f.fullHistory("mine")[1]; e.GetAction() != controlv1.Action_ACTION_DELETED || e.GetSourceEnvironment() != staging {
		t.Errorf("deleted as %v", e)
	}
}

func TestPromoteEnvironmentErrors(t *testing.T) {
	f, _ := newFixture(t)
	_, err := f.PromoteEnvironment(f.ctx, alice, &controlv1.PromoteEnvironmentRequest{
		FromEnvironment: staging, ToEnvironment: staging, KeyPrefix: "a", Keys: []string{"/"}, BaseRevision: -1,
	})
	mentions(t, as[*InvalidError](t, err), "to_environment: must be another", "keys[0]:", "keys: are given, and so is key_prefix", "base_revision", "reason")
	for _, r := range []*controlv1.PromoteEnvironmentRequest{
		{FromEnvironment: "nowhere", ToEnvironment: staging, Reason: "r"}, {FromEnvironment: staging, ToEnvironment: "nowhere", Reason: "r"},
	} {
		_, err := f.PromoteEnvironment(f.ctx, alice, r)
		mentions(t, as[*NotFoundError](t, err), `environment "nowhere"`)
	}
}

// TestPromoteEnvironmentRefused: what would not do as a whole is not done in part.
func TestPromoteEnvironmentRefused(t *testing.T) {
	f := rollingFixture(t)
	f.startNew("r", "rolled")
	f.put(staging, described("rolled", "new"), described("other", "new"))
	_, err := f.promoteAll(&controlv1.PromoteEnvironmentRequest{OverwriteDrift: true})
	mentions(t, as[*PreconditionError](t, err), `rollout "r" owns it`)
	f.setSettings(production, &controlv1.EnvironmentSettings{FileSources: []*controlv1.FileSource{{Name: "git", KeyPrefixes: []string{"other"}}}})
	_, err = f.promoteAll(&controlv1.PromoteEnvironmentRequest{Keys: []string{"other"}, ValidateOnly: true})
	mentions(t, as[*PreconditionError](t, err), `"other" is kept in files`)
	if history := f.fullHistory("rolled"); len(history) != 2 {
		t.Errorf("it was changed: %v", history)
	}
	if _, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: "other"}); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("the other one was promoted: %v", err)
	}
}

// TestPromoteMeanwhile: nothing is copied that was not reviewed, and nothing overwritten.
func TestPromoteMeanwhile(t *testing.T) {
	f, _ := newFixture(t)
	f.put(staging, described("a", "1"), described("b", "1"))
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{})
	f.put(staging, described("a", "2"), described("b", "2"))
	base := f.mustPromote(&controlv1.PromoteEnvironmentRequest{ValidateOnly: true}).GetCurrentRevision()
	f.put(staging, described("a", "3"))
	_, err := f.promoteAll(&controlv1.PromoteEnvironmentRequest{BaseRevision: base})
	if c := as[*ConflictError](t, err).Conflict; c.GetEnvironment() != staging || c.GetKey() != "a" {
		t.Errorf("conflict: %v", c)
	}
	f.setEnabled("b", true)
	_, err = f.promoteAll(&controlv1.PromoteEnvironmentRequest{BaseRevision: base, Keys: []string{"b"}})
	if c := as[*ConflictError](t, err).Conflict; c.GetEnvironment() != production || c.GetKey() != "b" {
		t.Errorf("conflict: %v", c)
	}
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{Keys: []string{"b"}})
	if b := f.get("b").GetFlag(); !b.GetEnabled() || b.GetDescription() != "2" {
		t.Errorf("b is %v", b)
	}
}

// TestPromoteInParts: a promotion that was interrupted goes on when it is asked for again.
func TestPromoteInParts(t *testing.T) {
	s := &failing{Store: memstore.New()}
	t.Cleanup(func() { _ = s.Close() })
	f := runOn(t, s)
	const flags = 2*maxChunkLength + 5
	for i := range flags {
		f.put(staging, boolFlag(fmt.Sprintf("f%02d", i)))
	}
	preview := f.mustPromote(&controlv1.PromoteEnvironmentRequest{ValidateOnly: true})
	if preview.GetTransactions() != 3 {
		t.Errorf("preview: %v", preview)
	}
	request := &controlv1.PromoteEnvironmentRequest{BaseRevision: preview.GetCurrentRevision(), RequestId: "once"}
	s.refuseAfter(1)
	_, err := f.promoteAll(proto.CloneOf(request))
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "1 of 3 transactions were written") {
		t.Fatalf("interrupted: %v", err)
	}
	s.refuseAfter(-1)
	resp := f.mustPromote(proto.CloneOf(request))
	if resp.GetTransactions() != 2 || resp.GetCreated() != flags-maxChunkLength {
		t.Errorf("the rest: %v", resp)
	}
	if again := f.mustPromote(proto.CloneOf(request)); !proto.Equal(again, resp) {
		t.Errorf("the same request again: %v; first: %v", again, resp)
	}
	request.IncludeEnabled = true
	if _, err := f.promoteAll(request); !errors.As(err, new(*ExistsError)) {
		t.Errorf("another request of the same id: %v", err)
	}
}

// TestPromoteAnything: whatever two environments hold, the one becomes what the other is but for
// switches, and references hold after each transaction.
func TestPromoteAnything(t *testing.T) {
	f, s := newFixture(t)
	r := rand.New(rand.NewPCG(5, 6))
	rolling := newRolling(f)
	for round := range 40 {
		for _, environment := range []string{staging, production} {
			replaceContent(f, environment, randomContent(r))
		}
		began := rolling.now(s)
		f.mustPromote(&controlv1.PromoteEnvironmentRequest{DeleteMissing: true, OverwriteDrift: true})
		for revision := began + 1; revision <= rolling.now(s); revision++ {
			rolling.checkHolds(s, revision)
		}
		compared, err := f.CompareEnvironments(f.ctx, &controlv1.CompareEnvironmentsRequest{
			Environments: []string{staging, production}, OnlyDiffering: true,
		})
		if err != nil || len(compared.GetComparisons()) != 0 {
			t.Fatalf("round %d: they differ in %v, %v", round, compared.GetComparisons(), err)
		}
	}
}

// replaceContent makes an environment hold what is given and nothing else.
func replaceContent(f *fixture, environment string, c content) {
	f.t.Helper()
	r := &controlv1.ApplyRequest{Environment: environment, Reason: "work"}
	for key, m := range c[flagKind] {
		flag, _ := m.(*flagv1.Flag)
		r.Flags = append(r.Flags, &controlv1.FlagWrite{Flag: flag})
		delete(c[flagKind], key)
	}
	for _, m := range c[segmentKind] {
		segment, _ := m.(*flagv1.Segment)
		r.Segments = append(r.Segments, &controlv1.SegmentWrite{Segment: segment})
	}
	there, _, err := f.present(f.ctx, environment, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	for k, held := range there {
		for key, v := range held {
			named := false
			for _, w := range r.GetFlags() {
				named = named || k == flagKind && w.GetFlag().GetKey() == key
			}
			for _, w := range r.GetSegments() {
				named = named || k == segmentKind && w.GetSegment().GetKey() == key
			}
			if !named {
				r.Deletes = append(r.Deletes, &controlv1.ResourceDelete{Kind: k.control, Key: key, BaseRevision: v.revision, Force: true})
			}
		}
	}
	if _, err := f.Apply(f.ctx, alice, r); err != nil {
		f.t.Fatal(err)
	}
}

// TestPromoteAtOnce: promotions and edits at the same time leave no version half done: in the end
// one more promotion brings it to what the source is.
func TestPromoteAtOnce(t *testing.T) {
	f, s := newFixture(t)
	other := runOn(t, s)
	for i := range 20 {
		f.put(staging, described(fmt.Sprintf("f%d", i), "0"))
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			server := []*fixture{f, other}[w%2]
			for i := range 15 {
				var err error
				if w < 2 {
					err = server.tryPut(staging, described(fmt.Sprintf("f%d", i), fmt.Sprint(w, i)))
				} else {
					_, err = server.promoteAll(&controlv1.PromoteEnvironmentRequest{})
				}
				tolerateMixed(t, err)
			}
		})
	}
	wg.Wait()
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{})
	compared, err := f.CompareEnvironments(f.ctx, &controlv1.CompareEnvironmentsRequest{Environments: []string{staging, production}, OnlyDiffering: true})
	if err != nil || len(compared.GetComparisons()) != 0 {
		t.Errorf("they differ in %v, %v", compared, err)
	}
}
