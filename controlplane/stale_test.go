package controlplane

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// at sets the authority's clock to so long after the fixture's beginning.
func (f *fixture) at(d time.Duration) {
	began := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)
	f.now = func() time.Time { return began.Add(d) }
}

// evaluated stores what relays told of flags: when each was evaluated last.
func (f *fixture) evaluated(since time.Duration, last map[string]time.Duration) {
	f.t.Helper()
	minutes := func(d time.Duration) uint64 {
		return uint64(time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC).Add(d).Unix() / 60)
	}
	m := &telemetryv1.UsageShard{Since: minutes(since)}
	for key, d := range last {
		m.Flags = append(m.Flags, &telemetryv1.FlagUsageRecord{
			FlagKey: key, Span: minutes(d) / 10, Recent: []uint64{7},
			Variants: []*telemetryv1.VariantUsageRecord{{Variant: "on", Last: minutes(d)}},
		})
	}
	data, err := proto.Marshal(m)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put("/tidegate/v1/u/production/0", data)}}); err != nil {
		f.t.Fatal(err)
	}
}

// stale lists what is stale: key and reasons.
func (f *fixture) stale(r *controlv1.ListStaleFlagsRequest) []string {
	f.t.Helper()
	r.Environment = production
	resp, err := f.ListStaleFlags(f.ctx, r)
	if err != nil {
		f.t.Fatal(err)
	}
	if standard(r) {
		f.factsSay(resp)
	}
	var lines []string
	for _, s := range resp.GetFlags() {
		for _, reason := range s.GetReasons() {
			lines = append(lines, s.GetFlagKey()+" "+reason.GetText())
		}
	}
	return lines
}

func (f *fixture) staleWants(r *controlv1.ListStaleFlagsRequest, want ...string) {
	f.t.Helper()
	if got := f.stale(r); !slices.Equal(got, want) {
		f.t.Errorf("stale:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// splitFlag serves on to a share of a hundred.
func splitFlag(key string, on uint32) *flagv1.Flag {
	flag := boolFlag(key)
	flag.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{Variants: []*flagv1.WeightedVariant{
		{Variant: "on", Weight: on}, {Variant: "off", Weight: 100 - on},
	}}}}
	return flag
}

func TestStaleByUse(t *testing.T) {
	f, _ := newFixture(t)
	f.create(splitFlag("never", 50))
	f.create(splitFlag("long-ago", 50))
	f.create(splitFlag("today", 50))
	f.at(20 * day)
	f.staleWants(&controlv1.ListStaleFlagsRequest{}) // nobody told anything: nothing is known

	f.evaluated(2*day, map[string]time.Duration{"long-ago": 3 * day, "today": 20*day - time.Hour})
	f.create(splitFlag("young", 50))
	f.staleWants(&controlv1.ListStaleFlagsRequest{},
		"long-ago was evaluated last 17 days ago",
		"never was not evaluated since counting began 18 days ago")
	f.staleWants(&controlv1.ListStaleFlagsRequest{UnusedFor: durationpb.New(18 * day), KeyPrefix: "ne"},
		"never was not evaluated since counting began 18 days ago")
	f.staleWants(&controlv1.ListStaleFlagsRequest{UnusedFor: durationpb.New(19 * day)})
	f.staleWants(&controlv1.ListStaleFlagsRequest{UnusedFor: durationpb.New(time.Hour), KeyPrefix: "to"}, "today was evaluated last 60 minutes ago")
	f.at(40 * day)
	f.staleWants(&controlv1.ListStaleFlagsRequest{KeyPrefix: "young"}, "young was never evaluated since it was made 20 days ago")

	resp, err := f.ListStaleFlags(f.ctx, &controlv1.ListStaleFlagsRequest{Environment: production, KeyPrefix: "long"})
	if err != nil {
		t.Fatal(err)
	}
	u := resp.GetFlags()[0].GetUsage()
	if want := f.now().Add(-37 * day); !u.GetLastEvaluatedAt().AsTime().Equal(want) || u.GetVariants()[0].GetVariant() != "on" {
		t.Errorf("usage %v, want %v", u, want)
	}
	if want := f.now().Add(-38 * day); !resp.GetCountedSince().AsTime().Equal(want) {
		t.Errorf("counted since %v, want %v", resp.GetCountedSince().AsTime(), want)
	}
}

func TestStaleByConstancy(t *testing.T) {
	f, _ := newFixture(t)
	revision := f.create(splitFlag("rollout", 50)).GetFlag().GetRevision()
	f.create(boolFlag("constant"))
	operational := boolFlag("operational")
	operational.Kind = flagv1.FlagKind_FLAG_KIND_OPERATIONAL
	f.create(operational)
	f.create(boolFlag("dependent", "constant"))
	targeted := inSegment(boolFlag("targeted"), "s")
	f.createSegment("s", "x")
	f.create(targeted)
	f.create(boolFlag("disabled"))

	f.at(10 * day)
	response, err := f.update(splitFlag("rollout", 100), revision)
	if err != nil {
		t.Fatal(err)
	}
	f.setEnabled("disabled", false)
	f.at(20 * day)
	described := splitFlag("rollout", 100)
	described.Description = "at 100%, and described later"
	if _, err := f.update(described, response.GetFlag().GetRevision()); err != nil {
		t.Fatal(err)
	}
	f.at(45 * day)
	f.staleWants(&controlv1.ListStaleFlagsRequest{},
		"constant has served everyone on for 45 days",
		"disabled is disabled, and so has served everyone off for 35 days",
		"rollout has served everyone on for 35 days")
	f.staleWants(&controlv1.ListStaleFlagsRequest{ConstantFor: durationpb.New(40 * day)}, "constant has served everyone on for 45 days")
}

func TestStaleByAge(t *testing.T) {
	f, _ := newFixture(t)
	flag := splitFlag("experiment", 50)
	flag.ExpectedLifetime = durationpb.New(7 * day)
	revision := f.create(flag).GetFlag().GetRevision()
	f.at(7*day - time.Second)
	f.staleWants(&controlv1.ListStaleFlagsRequest{})
	f.at(9 * day)
	f.staleWants(&controlv1.ListStaleFlagsRequest{}, "experiment is 9 days old, and was expected to be there for 7 days")

	// A flag that is made anew is young.
	if _, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{
		Environment: production, FlagKey: "experiment", BaseRevision: revision, Reason: "over",
	}); err != nil {
		t.Fatal(err)
	}
	f.create(flag)
	f.staleWants(&controlv1.ListStaleFlagsRequest{})
}

func TestConstantOutcome(t *testing.T) {
	t.Parallel()
	rule := func(o *flagv1.Outcome) *flagv1.Rule { return &flagv1.Rule{Id: "r", Outcome: o} }
	variant := func(name string) *flagv1.Outcome {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: name}}
	}
	for _, c := range []struct {
		name string
		edit func(*flagv1.Flag)
		want string
	}{
		{"a variant", func(*flagv1.Flag) {}, "has served everyone on"},
		{"no default", func(f *flagv1.Flag) { f.DefaultOutcome = nil }, "has served everyone the caller's default"},
		{"disabled", func(f *flagv1.Flag) { f.Enabled = false }, "is disabled, and so has served everyone off"},
		{"at 0%", func(f *flagv1.Flag) { f.DefaultOutcome = splitFlag("", 0).GetDefaultOutcome() }, "has served everyone off"},
		{"at 100%", func(f *flagv1.Flag) { f.DefaultOutcome = splitFlag("", 100).GetDefaultOutcome() }, "has served everyone on"},
		{"at 1%", func(f *flagv1.Flag) { f.DefaultOutcome = splitFlag("", 1).GetDefaultOutcome() }, ""},
		{"a rule that says the same", func(f *flagv1.Flag) { f.Rules = append(f.Rules, rule(variant("on"))) }, "has served everyone on"},
		{"a rule that says something else", func(f *flagv1.Flag) { f.Rules = append(f.Rules, rule(variant("off"))) }, ""},
		{"an expression", func(f *flagv1.Flag) {
			f.Rules = append(f.Rules, rule(&flagv1.Outcome{Kind: &flagv1.Outcome_Expression{}}))
		}, ""},
		{"a prerequisite", func(f *flagv1.Flag) { f.Prerequisites = boolFlag("", "other").GetPrerequisites() }, ""},
	} {
		f := boolFlag("a")
		c.edit(f)
		got := ""
		if same, ok := constantOutcome(f); ok {
			got = same.words()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestStaleErrors(t *testing.T) {
	f, s := newFixture(t)
	_, err := f.ListStaleFlags(f.ctx, &controlv1.ListStaleFlagsRequest{
		Environment: "No", KeyPrefix: "/", UnusedFor: durationpb.New(0), ConstantFor: durationpb.New(-1),
	})
	mentions(t, as[*InvalidError](t, err), "environment", "key_prefix", "unused_for", "constant_for")
	_, err = f.ListStaleFlags(f.ctx, &controlv1.ListStaleFlagsRequest{Environment: "nowhere"})
	wants[*NotFoundError](t, err)
	if _, err := s.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put("/tidegate/v1/u/production/0", []byte{0xff})}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ListStaleFlags(f.ctx, &controlv1.ListStaleFlagsRequest{Environment: production}); err == nil {
		t.Error("what cannot be read is passed over")
	}
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	if _, err := f.ListStaleFlags(ctx, &controlv1.ListStaleFlagsRequest{Environment: production}); err == nil {
		t.Error("no error of a call that was cancelled")
	}
}

func TestPurposeIsChecked(t *testing.T) {
	f, _ := newFixture(t)
	flag := boolFlag("a")
	flag.Kind, flag.ExpectedLifetime = 99, durationpb.New(0)
	_, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: flag, Reason: "x"})
	mentions(t, as[*InvalidError](t, err), "flag.kind: 99 is not a kind", "flag.expected_lifetime: must be more than 0")
	flag.Kind, flag.ExpectedLifetime = flagv1.FlagKind_FLAG_KIND_RELEASE, durationpb.New(200*365*day)
	_, err = f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: production, Flag: flag, Reason: "x"})
	mentions(t, as[*InvalidError](t, err), "flag.expected_lifetime")
}
