package controlplane

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// setSources replaces what production keeps in files.
func (f *fixture) setSources(sources ...*controlv1.FileSource) error {
	f.t.Helper()
	current, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
		Environment: production, Settings: &controlv1.EnvironmentSettings{FileSources: sources}, BaseRevision: current.GetRevision(), Reason: "as agreed",
	})
	return err
}

// fromFiles applies flags, and deletes others, as those of a source.
func (f *fixture) fromFiles(source string, deletes []*controlv1.ResourceDelete, flags ...*flagv1.Flag) (*controlv1.ApplyResponse, error) {
	r := &controlv1.ApplyRequest{Environment: production, Source: source, Reason: "as in the files", Deletes: deletes}
	for _, flag := range flags {
		r.Flags = append(r.Flags, &controlv1.FlagWrite{Flag: flag})
	}
	return f.Apply(f.ctx, alice, r)
}

func TestWhatFilesKeep(t *testing.T) {
	f, _ := newFixture(t)
	const kept = `the flag "checkout.a" is kept in files (of source "checkout", at git.example.com/flags): change it there; only the kill switch works here`
	if err := f.setSources(&controlv1.FileSource{Name: "checkout", KeyPrefixes: []string{"checkout."}, Location: "git.example.com/flags"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.fromFiles("checkout", nil, boolFlag("checkout.a"), boolFlag("checkout.b")); err != nil {
		t.Fatal(err)
	}
	f.create(boolFlag("other"))
	revision := f.get("checkout.a").GetRevision()

	// Nobody else writes it.
	edited := boolFlag("checkout.a")
	edited.Description = "by hand"
	_, err := f.update(edited, revision)
	mentions(t, as[*PreconditionError](t, err), kept)
	mentions(t, as[*PreconditionError](t, f.tryCreate(boolFlag("checkout.c"))), `"checkout.c" is kept in files`)
	_, err = f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{Environment: production, FlagKey: "checkout.a", BaseRevision: revision, Reason: "x"})
	mentions(t, as[*PreconditionError](t, err), kept)
	_, err = f.fromFiles("", nil, edited)
	mentions(t, as[*PreconditionError](t, err), kept)
	_, err = f.fromFiles("search", nil, edited)
	mentions(t, as[*PreconditionError](t, err), kept)
	_, err = f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{
		Environment: production, Segment: &flagv1.Segment{Key: "checkout.staff", Included: []string{"ann"}}, Reason: "x",
	})
	mentions(t, as[*PreconditionError](t, err), `the segment "checkout.staff" is kept in files`)

	// The files write nothing else.
	_, err = f.fromFiles("checkout", nil, boolFlag("search.a"))
	mentions(t, as[*PreconditionError](t, err), `the flag "search.a" is not kept in the files of source "checkout"`)

	// What is as it shall be is nobody's business; the kill switch always works.
	if _, err := f.fromFiles("", nil, boolFlag("checkout.a")); err != nil {
		t.Errorf("nothing differs: %v", err)
	}
	f.setEnabled("checkout.a", false)
	if f.get("checkout.a").GetFlag().GetEnabled() {
		t.Error("the kill switch did nothing")
	}
}

// TestFilesKeepTheSwitch: a flag that files keep is switched off anywhere, and switched on where only
// files do it, unless its safe state may be that.
func TestFilesKeepTheSwitch(t *testing.T) {
	enable := func(f *fixture, key string, enabled bool) error {
		_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: key, Enabled: enabled, Reason: "x"})
		return err
	}
	for _, kind := range flagv1.FlagKind_value {
		t.Run(flagv1.FlagKind(kind).String(), func(t *testing.T) {
			f, _ := newFixture(t)
			if err := f.setSources(&controlv1.FileSource{Name: "checkout", KeyPrefixes: []string{"checkout."}, Location: "git.example.com/flags", AppliedBy: alice.Actor}); err != nil {
				t.Fatal(err)
			}
			kept := boolFlag("checkout.a")
			kept.Kind = flagv1.FlagKind(kind)
			if _, err := f.fromFiles("checkout", nil, kept); err != nil {
				t.Fatal(err)
			}
			if err := enable(f, "checkout.a", true); err != nil {
				t.Errorf("it is on already: %v", err)
			}
			for range 2 {
				if err := enable(f, "checkout.a", false); err != nil {
					t.Errorf("the kill switch: %v", err)
				}
			}
			err := enable(f, "checkout.a", true)
			if kept.GetKind() == flagv1.FlagKind_FLAG_KIND_OPERATIONAL {
				if err != nil {
					t.Error(err)
				}
				return
			}
			mentions(t, as[*PreconditionError](t, err), `flag: the flag "checkout.a" is kept in files (of source "checkout", at git.example.com/flags): `+
				`enable it there, and apply them with 'tidegate apply --source checkout --enable'; here any flag can be disabled, and one of kind operational enabled`)
			if f.get("checkout.a").GetFlag().GetEnabled() {
				t.Error("it was enabled all the same")
			}
			if _, err := f.fromFiles("checkout", nil, kept); err != nil || !f.get("checkout.a").GetFlag().GetEnabled() {
				t.Errorf("the files did not enable it: %v", err)
			}
		})
	}
}

// What files no longer name is deleted with what they change, or nothing is.
func TestFilesDelete(t *testing.T) {
	f, _ := newFixture(t)
	if err := f.setSources(&controlv1.FileSource{Name: "all"}); err != nil {
		t.Fatal(err)
	}
	needed, needing := boolFlag("needed"), boolFlag("needing", "needed")
	if _, err := f.fromFiles("all", nil, needed, needing); err != nil {
		t.Fatal(err)
	}
	gone := []*controlv1.ResourceDelete{{
		Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "needed", BaseRevision: f.get("needed").GetRevision(),
	}}
	_, err := f.fromFiles("all", gone)
	wants[*PreconditionError](t, err) // another flag needs it
	resp, err := f.fromFiles("all", gone, boolFlag("needing"))
	if err != nil {
		t.Fatal(err)
	}
	results := resp.GetResults()
	if len(results) != 2 || results[0].GetAction() != controlv1.Action_ACTION_UPDATED || results[1].GetAction() != controlv1.Action_ACTION_DELETED || results[1].GetKey() != "needed" {
		t.Errorf("results %v", results)
	}
	_, err = f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: "needed"})
	wants[*NotFoundError](t, err)

	// One that is in use stays, unless it is forced.
	f.at(time.Hour)
	f.evaluated(0, map[string]time.Duration{"needing": 50 * time.Minute})
	use := &controlv1.ResourceDelete{Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "needing", BaseRevision: f.get("needing").GetRevision()}
	_, err = f.fromFiles("all", []*controlv1.ResourceDelete{use})
	mentions(t, as[*PreconditionError](t, err), "deletes[0].key: was evaluated 7 times in the last hour")
	forced := proto.CloneOf(use)
	forced.Force = true
	if _, err := f.fromFiles("all", []*controlv1.ResourceDelete{forced}); err != nil {
		t.Error(err)
	}
}

func TestFileSourceErrors(t *testing.T) {
	f, _ := newFixture(t)
	source := func(name string, prefixes ...string) *controlv1.FileSource {
		return &controlv1.FileSource{Name: name, KeyPrefixes: prefixes}
	}
	for _, c := range []struct {
		sources []*controlv1.FileSource
		says    string
	}{
		{[]*controlv1.FileSource{source("")}, "file_sources[0].name: is required"},
		{[]*controlv1.FileSource{source("a b")}, "file_sources[0].name: must be 1 to 128"},
		{[]*controlv1.FileSource{source("a", "a."), source("a", "b.")}, `file_sources[1].name: "a" is the name of two sources`},
		{[]*controlv1.FileSource{source("a", "a."), source("b", "b.", "a.b")}, `file_sources[1].key_prefixes: overlap with those of "a"`},
		{[]*controlv1.FileSource{source("a"), source("b", "b.")}, `file_sources[1].key_prefixes: overlap with those of "a"`},
		{[]*controlv1.FileSource{source("a", "/")}, "file_sources[0].key_prefixes: must be beginnings of keys"},
		{[]*controlv1.FileSource{{Name: "a", Location: "x\ny"}}, "file_sources[0].location: must be without line breaks"},
		{make([]*controlv1.FileSource, 65), "file_sources: there are 65"},
	} {
		mentions(t, as[*InvalidError](t, f.setSources(c.sources...)), "settings."+c.says)
	}

	_, err := f.Apply(f.ctx, alice, &controlv1.ApplyRequest{
		Environment: production, Reason: "x", Source: "no name", Flags: []*controlv1.FlagWrite{{Flag: boolFlag("a")}},
		Deletes: []*controlv1.ResourceDelete{
			{Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "a", BaseRevision: 1},
			{Kind: controlv1.ResourceKind_RESOURCE_KIND_KEY, Key: "b", BaseRevision: 1},
			{Kind: controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, Key: "/"},
		},
	})
	mentions(t, as[*InvalidError](t, err), "source: must be", "deletes[0]: is named twice", "deletes[1].kind: must be a flag or a segment",
		"deletes[2].key: must be", "deletes[2].base_revision: must be")
	_, err = f.Apply(f.ctx, alice, &controlv1.ApplyRequest{Environment: production, Reason: "x"})
	mentions(t, as[*InvalidError](t, err), "flags: is empty")
}
