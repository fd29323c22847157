package controlplane

import (
	"errors"
	"strings"
	"sync"
	"testing"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// behind has production come behind staging.
func (f *fixture) behind(required bool) {
	f.t.Helper()
	f.setSettings(production, &controlv1.EnvironmentSettings{Promotion: &controlv1.Promotion{From: staging, Required: required}})
}

func TestOrderSettings(t *testing.T) {
	f, _ := newFixture(t)
	from := func(name string) *controlv1.EnvironmentSettings {
		return &controlv1.EnvironmentSettings{Promotion: &controlv1.Promotion{From: name}}
	}
	mentions(t, as[*InvalidError](t, f.trySettings(production, from(production))), "settings.promotion.from: must be another environment")
	mentions(t, as[*InvalidError](t, f.trySettings(production, from("No"))), "settings.promotion.from")
	mentions(t, as[*NotFoundError](t, f.trySettings(production, from("nowhere"))), `environment "nowhere" (there are: production, staging)`)
	f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{Name: "dev"})
	f.setSettings(production, from(staging))
	f.setSettings(staging, from("dev"))
	mentions(t, as[*PreconditionError](t, f.trySettings("dev", from(production))),
		"settings.promotion.from: the order would run in a circle: dev, which is promoted from production, which is promoted from staging, which is promoted from dev")
	f.setSettings(staging, &controlv1.EnvironmentSettings{})
	f.setSettings("dev", from(production)) // now it does not
}

// TestOrderSettingsAtOnce: of two settings that would make a circle together, one is refused.
func TestOrderSettingsAtOnce(t *testing.T) {
	f, s := newFixture(t)
	servers := []*fixture{f, runOn(t, s)}
	names := []string{production, staging}
	for range 20 {
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i, server := range servers {
			wg.Go(func() {
				errs[i] = server.trySettings(names[i], &controlv1.EnvironmentSettings{Promotion: &controlv1.Promotion{From: names[1-i]}})
			})
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("got %v and %v", errs[0], errs[1])
		}
		f.setSettings(production, &controlv1.EnvironmentSettings{})
		f.setSettings(staging, &controlv1.EnvironmentSettings{})
	}
}

func TestOrderOfPromotions(t *testing.T) {
	f, _ := newFixture(t)
	f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{Name: "dev"})
	f.put("dev", boolFlag("a"))
	f.put(staging, boolFlag("b"))
	f.behind(false)
	const refused = `from_environment: environment "production" is promoted from "staging", as its settings say, not from "dev"`
	_, err := f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{FlagKey: "a", FromEnvironment: "dev", ToEnvironment: production, Reason: "r"})
	mentions(t, as[*PreconditionError](t, err), refused)
	_, err = f.PromoteEnvironment(f.ctx, alice, &controlv1.PromoteEnvironmentRequest{FromEnvironment: "dev", ToEnvironment: production, Reason: "r"})
	mentions(t, as[*PreconditionError](t, err), refused)
	_, err = f.PromoteEnvironment(f.ctx, alice, &controlv1.PromoteEnvironmentRequest{FromEnvironment: "dev", ToEnvironment: production, ValidateOnly: true})
	mentions(t, as[*PreconditionError](t, err), refused)
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{})
	// Where it is not required, flags are made here, too.
	f.create(boolFlag("c"))
}

// TestOrderRequired tries every way to write what the environment before does not have.
func TestOrderRequired(t *testing.T) {
	f := rollingFixture(t)
	f.putSegment(staging, "staff", "ann")
	f.put(staging, described("a", "1"), described("gone", "1"), offFlag("rolled"))
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{})
	f.create(boolFlag("before")) // there before the order was
	f.put(production, described("a", "older"))
	older := f.get("a").GetRevision()
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{OverwriteDrift: true})
	f.behind(true)

	revision := f.get("a").GetRevision()
	edited := described("a", "by hand")
	apply := func(r *controlv1.ApplyRequest) error {
		r.Environment, r.Reason = production, "r"
		_, err := f.Apply(f.ctx, alice, r)
		return err
	}
	for name, try := range map[string]func() error{
		"create": func() error { return f.tryCreate(boolFlag("new")) },
		"update": func() error { _, err := f.update(edited, revision); return err },
		"delete": func() error { return f.delete("a", revision) },
		"apply":  func() error { return f.tryPut(production, edited) },
		"apply a delete": func() error {
			return apply(&controlv1.ApplyRequest{Deletes: []*controlv1.ResourceDelete{
				{Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "a", BaseRevision: revision},
			}})
		},
		"apply a segment": func() error {
			return apply(&controlv1.ApplyRequest{Segments: []*controlv1.SegmentWrite{{Segment: &flagv1.Segment{Key: "staff", Included: []string{"eve"}}}}})
		},
		"create a segment": func() error {
			_, err := f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{Environment: production, Segment: &flagv1.Segment{Key: "new"}, Reason: "r"})
			return err
		},
		"update a segment": func() error {
			_, err := f.UpdateSegment(f.ctx, alice, &controlv1.UpdateSegmentRequest{
				Environment: production, Segment: &flagv1.Segment{Key: "staff"}, BaseRevision: f.segmentRevision(production, "staff"), Reason: "r",
			})
			return err
		},
		"delete a segment": func() error {
			_, err := f.DeleteSegment(f.ctx, alice, &controlv1.DeleteSegmentRequest{
				Environment: production, SegmentKey: "staff", BaseRevision: f.segmentRevision(production, "staff"), Reason: "r",
			})
			return err
		},
		"change what was there before": func() error { return f.tryPut(production, described("before", "x")) },
	} {
		err := try()
		if !errors.As(err, new(*PreconditionError)) || !strings.Contains(err.Error(), `environment "staging", which comes before this one`) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := f.update(edited, revision)
	mentions(t, err, `the flag "a" would not be as in environment "staging", which comes before this one (description): change it there, and promote it`)

	// Files are no way around either, but they may say the same.
	f.setSettings(production, &controlv1.EnvironmentSettings{
		FileSources: []*controlv1.FileSource{{Name: "git"}}, Promotion: &controlv1.Promotion{From: staging, Required: true},
	})
	_, err = f.fromFiles("git", nil, edited)
	mentions(t, as[*PreconditionError](t, err), "which comes before this one")
	f.put(staging, described("a", "2"))
	if _, err := f.fromFiles("git", nil, described("a", "2")); err != nil {
		t.Errorf("files that say the same: %v", err)
	}
	f.behind(true)

	// What is as it is there, whoever writes it.
	f.put(staging, described("a", "3"))
	f.put(production, described("a", "3"))
	// The switch, by itself and with the rest.
	f.setEnabled("a", false)
	f.put(staging, described("a", "4"))
	enabled := described("a", "3")
	if _, err := f.update(enabled, f.get("a").GetRevision()); err != nil {
		t.Errorf("the switch alone: %v", err)
	}
	// A rollout changes what is served here.
	f.setEnabled("rolled", true)
	if _, err := f.tryStart(canary("r", "rolled"), ""); err != nil {
		t.Errorf("a rollout: %v", err)
	}
	if _, err := f.promote("r", nil); err != nil {
		t.Errorf("its next stage: %v", err)
	}
	if _, err := f.abort("r"); err != nil {
		t.Errorf("its end: %v", err)
	}
	// An emergency goes back to what was there.
	if _, err := f.RestoreFlag(f.ctx, alice, &controlv1.RestoreFlagRequest{
		Environment: production, FlagKey: "a", Revision: older, BaseRevision: f.get("a").GetRevision(), Reason: "r",
	}); err != nil {
		t.Errorf("restore: %v", err)
	}
	if _, err := NewRestorer(f.Rollouts).RestoreEnvironment(f.ctx, alice, &controlv1.RestoreEnvironmentRequest{
		Environment: production, Revision: older, Reason: "r",
	}); err != nil {
		t.Errorf("restore all: %v", err)
	}
	// What is gone there may go here.
	goneThere, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: staging, FlagKey: "gone"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{
		Environment: staging, FlagKey: "gone", BaseRevision: goneThere.GetFlag().GetRevision(), Reason: "r",
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.delete("gone", f.get("gone").GetRevision()); err != nil {
		t.Errorf("delete: %v", err)
	}
}

// TestOrderAtOnce: what is written is what the environment before held when it was written, whoever
// changes that at the same time.
func TestOrderAtOnce(t *testing.T) {
	f, s := newFixture(t)
	f.put(staging, described("a", "0"))
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{})
	f.behind(true)
	texts := []string{"1", "2", "3"}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 60 {
				flag := described("a", texts[i%len(texts)])
				if w%2 == 0 {
					tolerateMixed(t, f.tryPut(staging, flag))
				} else {
					tolerateMixed(t, f.tryPut(production, flag))
				}
			}
		})
	}
	wg.Wait()
	written := 0
	for _, e := range f.fullHistory("a") {
		if e.GetReason() != "work" {
			continue
		}
		written++
		there := f.content(s, staging, e.GetRevision())["f/a"]
		m, err := flagKind.decode(there)
		if err != nil || m.(*flagv1.Flag).GetDescription() != e.GetFlag().GetDescription() {
			t.Fatalf("at revision %d production has %q, staging %v, %v", e.GetRevision(), e.GetFlag().GetDescription(), m, err)
		}
	}
	if written == 0 {
		t.Error("nothing was written: the test shows nothing")
	}
}
