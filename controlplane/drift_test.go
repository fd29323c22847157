package controlplane

import (
	"testing"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestDrift: what an environment has of its own is told before it would be lost, and only that.
func TestDrift(t *testing.T) {
	f := rollingFixture(t)
	drifts := func() map[string]*controlv1.Drift {
		t.Helper()
		all := make(map[string]*controlv1.Drift)
		for _, d := range f.mustPromote(&controlv1.PromoteEnvironmentRequest{ValidateOnly: true}).GetDrifts() {
			all[d.GetKey()] = d
		}
		return all
	}
	f.put(staging, described("a", "1"), described("b", "1"), described("seeded", "1"), described("mine", "1"))
	f.create(described("seeded", "1")) // the same, by itself
	f.create(described("mine", "own"))
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{Keys: []string{"a", "b"}})
	promoted := f.get("b").GetRevision()
	f.setEnabled("a", true)
	f.setEnabled("b", true)
	f.put(staging, described("a", "2"), described("b", "2"), described("seeded", "2"))

	// The switch is no drift; to be made by itself is, unless the source was like that, too.
	if all := drifts(); len(all) != 1 || all["mine"].GetPromotedRevision() != 0 || all["mine"].GetLatest().GetAction() != controlv1.Action_ACTION_CREATED {
		t.Errorf("at first: %v", all)
	}
	f.put(production, described("b", "hotfix"))
	all := drifts()
	if len(all) != 2 || all["b"].GetPromotedRevision() != promoted || len(all["b"].GetChanges()) != 1 ||
		all["b"].GetChanges()[0].GetAfter() != `"hotfix"` || all["b"].GetLatest().GetReason() != "work" || all["b"].GetLatest().GetFlag() != nil {
		t.Errorf("after a hotfix: %v", all)
	}
	one, err := f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{FlagKey: "b", FromEnvironment: staging, ToEnvironment: production, ValidateOnly: true})
	if err != nil || one.GetDrift().GetPromotedRevision() != promoted {
		t.Errorf("promotion of the flag: %v, %v", one, err)
	}
	_, err = f.promoteAll(&controlv1.PromoteEnvironmentRequest{})
	mentions(t, as[*PreconditionError](t, err), "overwrite_drift", `"flag b", "flag mine"`)
	if f.get("a").GetFlag().GetDescription() != "1" {
		t.Error("a was promoted all the same")
	}
	// Back to what was promoted: nothing would be lost.
	f.put(production, described("b", "1"))
	if all := drifts(); all["b"] != nil {
		t.Errorf("after the hotfix was taken back: %v", all["b"])
	}
	// To what it was there before that is the environment's own decision; what is there now came from
	// there, whatever way it took.
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{Keys: []string{"b"}})
	f.put(staging, described("b", "3"))
	f.put(production, described("b", "1"))
	if all := drifts(); all["b"] == nil {
		t.Error("what was undone by hand would be done again")
	}
	f.put(production, described("b", "3"))
	f.put(staging, described("b", "4"))
	if all := drifts(); all["b"] != nil {
		t.Errorf("after it was brought from there by a change request: %v", all["b"])
	}
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{OverwriteDrift: true})
	if all := drifts(); len(all) != 0 {
		t.Errorf("in the end: %v", all)
	}

	// With the switch, an emergency would be undone.
	f.put(staging, described("a", "3"))
	f.setEnabled("a", false)
	_, err = f.promoteAll(&controlv1.PromoteEnvironmentRequest{Keys: []string{"a"}, IncludeEnabled: true})
	mentions(t, as[*PreconditionError](t, err), "overwrite_drift")
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{Keys: []string{"a"}})

	// What a rollout has done is of the environment itself.
	f.put(staging, offFlag("rolled"))
	f.mustPromote(&controlv1.PromoteEnvironmentRequest{})
	f.setEnabled("rolled", true)
	if _, err := f.tryStart(canary("r", "rolled"), ""); err != nil {
		t.Fatal(err)
	}
	for weights(f.get("rolled").GetFlag()) != "on" {
		if _, err := f.promote("r", nil); err != nil {
			t.Fatal(err)
		}
	}
	if all := drifts(); all["rolled"].GetLatest().GetRolloutKey() != "r" {
		t.Errorf("after a rollout: %v", all)
	}

	// What was cloned has come from there, too.
	f.mustMakeEnvironment(&controlv1.CreateEnvironmentRequest{FromEnvironment: staging})
	f.put(staging, described("a", "4"))
	resp, err := f.PromoteEnvironment(f.ctx, alice, &controlv1.PromoteEnvironmentRequest{FromEnvironment: staging, ToEnvironment: fresh, ValidateOnly: true})
	if err != nil || len(resp.GetDrifts()) != 0 || resp.GetUpdated() != 1 {
		t.Errorf("to a clone: %v, %v", resp, err)
	}
}
