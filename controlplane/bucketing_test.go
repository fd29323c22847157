package controlplane

import (
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

// split is an outcome as authors write it: without a bucketing version.
func split() *flagv1.Outcome {
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
		Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}, {Variant: "off", Weight: 99}},
	}}}
}

func unpinned(key string) *flagv1.Flag {
	f := boolFlag(key)
	f.DefaultOutcome = split()
	f.Rules = []*flagv1.Rule{{Id: "some", Outcome: split()}}
	return f
}

func checkPinned(t *testing.T, how string, f *flagv1.Flag) {
	t.Helper()
	if f.GetBucketingVersion() != flagv1.BucketingVersion_BUCKETING_VERSION_2 {
		t.Errorf("%s: the flag has version %v", how, f.GetBucketingVersion())
	}
	for _, o := range []*flagv1.Outcome{f.GetDefaultOutcome(), f.GetRules()[0].GetOutcome()} {
		if o.GetSplit().GetBucketingVersion() != flagv1.BucketingVersion_BUCKETING_VERSION_2 {
			t.Errorf("%s: the split has version %v", how, o.GetSplit().GetBucketingVersion())
		}
	}
}

// Every write stores a bucketing version; written again without one, nothing differs.
func TestBucketingVersionIsPinned(t *testing.T) {
	f, s := newFixture(t)
	sent := unpinned("a")
	created := f.create(sent)
	checkPinned(t, "create", created.GetFlag().GetFlag())
	checkPinned(t, "create, audited", created.GetEntry().GetFlag())
	checkPinned(t, "create, stored", f.get("a").GetFlag())
	if !proto.Equal(sent, unpinned("a")) {
		t.Error("the request was changed")
	}
	again, err := f.update(unpinned("a"), created.GetFlag().GetRevision())
	if err != nil || again.GetEntry() != nil || !proto.Equal(again.GetFlag(), created.GetFlag()) {
		t.Errorf("written again: %v, %v", again, err)
	}
	applied, err := f.apply(&controlv1.ApplyRequest{Flags: flagWrites(unpinned("a"), unpinned("b"))})
	if err != nil || describeResults(applied) != "flag a unspecified 0; flag b created 8" {
		t.Errorf("applied: %v, %v", applied, err)
	}
	checkPinned(t, "apply", f.get("b").GetFlag())

	changed := unpinned("a")
	changed.Owner = "ann"
	updated, err := f.update(changed, created.GetFlag().GetRevision())
	if err != nil || len(updated.GetEntry().GetChanges()) != 1 {
		t.Errorf("updated: %v, %v", updated, err)
	}
	checkPinned(t, "update", f.get("a").GetFlag())

	// What an earlier program stored without one gets it when it is changed or copied, and
	// is not another flag for that.
	data, err := marshal(unpinned("old"))
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, resource{environment: production, kind: flagKind, key: "old"}.stateKey(), data)
	f.caughtUp()
	same, err := f.apply(&controlv1.ApplyRequest{Flags: flagWrites(bucketing.Pin(unpinned("old")))})
	if err != nil || describeResults(same) != "flag old unspecified 0" {
		t.Errorf("pinned alone: %v, %v", same, err)
	}
	off, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: "old", Reason: "off"})
	if err != nil || len(off.GetEntry().GetChanges()) != 1 {
		t.Errorf("switched off: %v, %v", off, err)
	}
	checkPinned(t, "set enabled", f.get("old").GetFlag())
	putRaw(t, s, resource{environment: production, kind: flagKind, key: "old"}.stateKey(), data)
	f.caughtUp()
	promoted, err := f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{
		FlagKey: "old", FromEnvironment: production, ToEnvironment: staging, Reason: "on",
	})
	if err != nil {
		t.Fatal(err)
	}
	checkPinned(t, "promote", promoted.GetFlag().GetFlag())
}

// A split that names no version has its flag's, whatever it had before; one that names
// its own keeps it.
func TestBucketingVersionOfTheFlag(t *testing.T) {
	const two, three = flagv1.BucketingVersion_BUCKETING_VERSION_2, flagv1.BucketingVersion_BUCKETING_VERSION_3
	f, _ := newFixture(t)
	revision := f.create(unpinned("a")).GetFlag().GetRevision()
	for _, test := range []struct{ flag, byDefault, wantDefault, wantRule flagv1.BucketingVersion }{
		{three, 0, three, three},
		{three, two, two, three},
		{two, three, three, two},
		{0, 0, two, two},
	} {
		sent := unpinned("a")
		sent.BucketingVersion, sent.GetDefaultOutcome().GetSplit().BucketingVersion = test.flag, test.byDefault
		updated, err := f.update(sent, revision)
		if err != nil {
			t.Fatal(err)
		}
		stored := updated.GetFlag().GetFlag()
		if d, r := stored.GetDefaultOutcome().GetSplit().GetBucketingVersion(), stored.GetRules()[0].GetOutcome().GetSplit().GetBucketingVersion(); d != test.wantDefault || r != test.wantRule {
			t.Errorf("%+v: default %v, rule %v", test, d, r)
		}
		revision = updated.GetFlag().GetRevision()
	}
}
