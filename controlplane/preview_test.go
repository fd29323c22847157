package controlplane

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

func (f *fixture) proposed(r *controlv1.PreviewChangeRequest) (*Proposal, error) {
	f.caughtUp()
	if r.Environment == "" {
		r.Environment = production
	}
	return f.Proposed(f.ctx, r, Reader{})
}

// TestProposed: who is asked about what, by what a change is of.
func TestProposed(t *testing.T) {
	f, _ := newFixture(t)
	f.createSegment("staff", "u")
	f.create(boolFlag("base"))
	f.create(inSegment(boolFlag("mid", "base"), "staff"))
	f.create(boolFlag("top", "mid"))
	f.create(boolFlag("apart"))
	off := boolFlag("base")
	off.Enabled = false
	for name, c := range map[string]struct {
		request *controlv1.PreviewChangeRequest
		flags   string // named | dependants
		puts    string
	}{
		"flag":              {&controlv1.PreviewChangeRequest{Flags: flagWrites(off)}, "base | mid top", "base"},
		"as it is":          {&controlv1.PreviewChangeRequest{Flags: flagWrites(boolFlag("base"))}, " | ", ""},
		"one of two is":     {&controlv1.PreviewChangeRequest{Flags: flagWrites(boolFlag("apart"), off)}, "base | mid top", "base"},
		"new":               {&controlv1.PreviewChangeRequest{Flags: flagWrites(boolFlag("new"))}, "new | ", "new"},
		"segment":           {&controlv1.PreviewChangeRequest{Segments: []*controlv1.SegmentWrite{{Segment: &flagv1.Segment{Key: "staff"}}}}, " | mid top", "staff"},
		"no longer needs":   {&controlv1.PreviewChangeRequest{Flags: flagWrites(off, boolFlag("mid"))}, "base mid | top", "base mid"},
		"needs, from now":   {&controlv1.PreviewChangeRequest{Flags: flagWrites(off, boolFlag("apart", "base"))}, "base apart | mid top", "base apart"},
		"unknown reference": {&controlv1.PreviewChangeRequest{Flags: flagWrites(boolFlag("apart", "nowhere"))}, "apart | ", "apart"},
		"deletes": {&controlv1.PreviewChangeRequest{Deletes: []*controlv1.ResourceDelete{
			{Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: "base"}, {Kind: controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, Key: "staff"},
		}}, "base | mid top", ""},
		"whatever its base": {&controlv1.PreviewChangeRequest{Flags: []*controlv1.FlagWrite{{Flag: off, BaseRevision: proto.Int64(99)}}}, "base | mid top", "base"},
	} {
		p, err := f.proposed(c.request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		keys := p.Question.GetFlagKeys()
		got := strings.Join(keys[:p.Named], " ") + " | " + strings.Join(keys[p.Named:], " ")
		var puts []string
		for _, put := range p.Question.GetPuts() {
			puts = append(puts, put.GetKey())
		}
		if got != c.flags || strings.Join(puts, " ") != c.puts || len(p.Question.GetDeletes()) != len(c.request.GetDeletes()) || p.LeftOut != 0 {
			t.Errorf("%s: %s, puts %s, %v; want %s, puts %s", name, got, puts, p, c.flags, c.puts)
		}
	}
	if n := len(f.fullHistory("base")); n != 1 {
		t.Errorf("it was written %d times", n)
	}
}

// TestProposedAsItWouldBeStored: the version of what splits is pinned, so that older relays
// evaluate what they would be sent.
func TestProposedAsItWouldBeStored(t *testing.T) {
	f, _ := newFixture(t)
	flag := boolFlag("a")
	p, err := f.proposed(&controlv1.PreviewChangeRequest{Flags: flagWrites(flag)})
	if err != nil {
		t.Fatal(err)
	}
	put := p.Question.GetPuts()[0]
	f.create(flag)
	f.caughtUp()
	stored, _ := f.replicas.Replica(production).Snapshot().Item(syncv1.Kind_KIND_FLAG, "a")
	var asked, is flagv1.Flag
	if err := proto.Unmarshal(put.GetData(), &asked); err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(stored.Data, &is); err != nil || !proto.Equal(&asked, &is) {
		t.Errorf("asked about %v, stored %v, %v", &asked, &is, err)
	}
}

// TestProposedIsChecked: what is wrong is said, as Apply says it.
func TestProposedIsChecked(t *testing.T) {
	f, _ := newFixture(t)
	f.create(boolFlag("a"))
	broken := boolFlag("a")
	broken.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "blue"}}
	var large []*flagv1.Flag
	for i := range 5 {
		large = append(large, boolFlag(fmt.Sprintf("large-%d", i)))
		large[i].Description = strings.Repeat("x", maxPreviewBytes/5)
	}
	del := func(kind controlv1.ResourceKind, key string) *controlv1.ResourceDelete {
		return &controlv1.ResourceDelete{Kind: kind, Key: key}
	}
	const flagKind = controlv1.ResourceKind_RESOURCE_KIND_FLAG
	for name, c := range map[string]struct {
		request *controlv1.PreviewChangeRequest
		says    string
	}{
		"nothing":       {&controlv1.PreviewChangeRequest{}, "name what would change"},
		"environment":   {&controlv1.PreviewChangeRequest{Environment: "Prod!", Flags: flagWrites(broken)}, "environment: must be"},
		"broken":        {&controlv1.PreviewChangeRequest{Flags: flagWrites(broken)}, "flags[a].default_outcome"},
		"twice":         {&controlv1.PreviewChangeRequest{Flags: flagWrites(boolFlag("a"), boolFlag("a"))}, "given twice"},
		"and deleted":   {&controlv1.PreviewChangeRequest{Flags: flagWrites(boolFlag("a")), Deletes: []*controlv1.ResourceDelete{del(flagKind, "a")}}, "named twice"},
		"deleted twice": {&controlv1.PreviewChangeRequest{Deletes: []*controlv1.ResourceDelete{del(flagKind, "a"), del(flagKind, "a")}}, "named twice"},
		"of a kind":     {&controlv1.PreviewChangeRequest{Deletes: []*controlv1.ResourceDelete{del(controlv1.ResourceKind_RESOURCE_KIND_KEY, "a")}}, "must be flags and segments"},
		"no key":        {&controlv1.PreviewChangeRequest{Deletes: []*controlv1.ResourceDelete{del(flagKind, "")}}, "deletes: is required"},
		"large":         {&controlv1.PreviewChangeRequest{Flags: flagWrites(large...)}, "ask about a part of it"},
	} {
		_, err := f.proposed(c.request)
		wants[*InvalidError](t, err)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	_, err := f.proposed(&controlv1.PreviewChangeRequest{Environment: "nowhere", Flags: flagWrites(boolFlag("a"))})
	wants[*NotFoundError](t, err)
}

// TestProposedOfMany: what is asked about is bounded, and how much is not is said.
func TestProposedOfMany(t *testing.T) {
	f, _ := newFixture(t)
	f.create(boolFlag("base"))
	var flags []*flagv1.Flag
	for i := range 80 {
		flags = append(flags, boolFlag(fmt.Sprintf("flag-%02d", i), "base"))
	}
	for _, some := range [][]*flagv1.Flag{flags[:30], flags[30:60], flags[60:]} {
		if _, err := f.apply(&controlv1.ApplyRequest{Flags: flagWrites(some...)}); err != nil {
			t.Fatal(err)
		}
	}
	off := boolFlag("base")
	off.Enabled = false
	p, err := f.proposed(&controlv1.PreviewChangeRequest{Flags: flagWrites(off)})
	if err != nil || len(p.Question.GetFlagKeys()) != maxPreviewFlags || p.LeftOut != 81-maxPreviewFlags || p.Named != 1 {
		t.Errorf("%v, %v", p, err)
	}
}
