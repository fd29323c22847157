package controlplane

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func (f *fixture) apply(r *controlv1.ApplyRequest) (*controlv1.ApplyResponse, error) {
	r.Environment, r.Reason = production, "set"
	return f.Apply(f.ctx, alice, r)
}

func flagWrites(flags ...*flagv1.Flag) []*controlv1.FlagWrite {
	writes := make([]*controlv1.FlagWrite, 0, len(flags))
	for _, f := range flags {
		writes = append(writes, &controlv1.FlagWrite{Flag: f})
	}
	return writes
}

func describeResults(resp *controlv1.ApplyResponse) string {
	var b strings.Builder
	for _, r := range resp.GetResults() {
		fmt.Fprintf(&b, "%s %s %s %d; ", strings.ToLower(r.GetKind().String()[14:]), r.GetKey(), actionWord(r.GetAction()), len(r.GetChanges()))
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func TestApply(t *testing.T) {
	f, _ := newFixture(t)
	untouched := f.create(boolFlag("same")).GetFlag().GetRevision()
	f.create(boolFlag("other"))
	changed := boolFlag("other")
	changed.Enabled = false
	// Each needs one that comes later, and a segment of the same request.
	r := &controlv1.ApplyRequest{
		Flags: append(flagWrites(boolFlag("b", "c"), inSegment(boolFlag("c", "d"), "staff"), boolFlag("d"), boolFlag("same")),
			flagWrites(changed)...),
		Segments:     []*controlv1.SegmentWrite{{Segment: &flagv1.Segment{Key: "staff", Included: []string{"u"}}}},
		ValidateOnly: true,
	}
	const want = "segment staff created 1; flag b created 8; flag c created 9; flag d created 7; flag same unspecified 0; flag other updated 1"
	preview, err := f.apply(proto.CloneOf(r))
	if err != nil || preview.GetRevision() != 0 || preview.GetResults()[4].GetRevision() != untouched {
		t.Fatalf("preview: %v, %v", preview, err)
	}
	if got := describeResults(preview); got != want {
		t.Errorf("preview: %s\n   want: %s", got, want)
	}
	_, err = f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: "b"})
	wants[*NotFoundError](t, err)

	r.ValidateOnly, r.RequestId = false, "apply-1"
	done, err := f.apply(proto.CloneOf(r))
	if err != nil {
		t.Fatal(err)
	}
	if got := describeResults(done); got != want {
		t.Errorf("done: %s\nwant: %s", got, want)
	}
	for i, result := range done.GetResults() {
		if expected := done.GetRevision(); i != 4 && result.GetRevision() != expected {
			t.Errorf("%s is at %d, want the transaction's revision, %d", result.GetKey(), result.GetRevision(), expected)
		}
	}
	if f.get("same").GetRevision() != untouched || len(f.fullHistory("same")) != 1 {
		t.Error("what did not differ was touched")
	}
	retried, err := f.apply(proto.CloneOf(r))
	if err != nil || !proto.Equal(retried, done) {
		t.Errorf("retried: %v, %v\nwant %v", retried, err, done)
	}
	r.RequestId = ""
	again, err := f.apply(proto.CloneOf(r))
	if err != nil || again.GetRevision() != 0 {
		t.Errorf("applied again: %v, %v", again, err)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	f, _ := newFixture(t)
	base := f.create(boolFlag("a")).GetFlag().GetRevision()
	f.setEnabled("a", false)
	for name, test := range map[string]struct {
		r     *controlv1.ApplyRequest
		field string
	}{
		"unknown prerequisite": {&controlv1.ApplyRequest{Flags: flagWrites(boolFlag("n1"), boolFlag("n2", "x"))}, "flags[n2].prerequisites[0].flag_key"},
		"cycle":                {&controlv1.ApplyRequest{Flags: flagWrites(boolFlag("n1", "n2"), boolFlag("n2", "n1"))}, "flags[n1].prerequisites[0]"},
		"stale base": {&controlv1.ApplyRequest{Flags: append(flagWrites(boolFlag("n1")),
			&controlv1.FlagWrite{Flag: boolFlag("a"), BaseRevision: &base})}, `"a"`},
		"must not be there": {&controlv1.ApplyRequest{Flags: append(flagWrites(boolFlag("n1")),
			&controlv1.FlagWrite{Flag: boolFlag("a"), BaseRevision: proto.Int64(0)})}, "exists already"},
		"must be there": {&controlv1.ApplyRequest{Flags: append(flagWrites(boolFlag("n1")),
			&controlv1.FlagWrite{Flag: boolFlag("n2"), BaseRevision: &base})}, `"n2"`},
		"given twice": {&controlv1.ApplyRequest{Flags: flagWrites(boolFlag("n1"), boolFlag("n1"))}, "flags[n1]: is given twice"},
		"does not compile": {&controlv1.ApplyRequest{Flags: flagWrites(boolFlag("n1"), func() *flagv1.Flag {
			bad := boolFlag("bad")
			bad.Rules = []*flagv1.Rule{{Id: "!"}}
			return bad
		}())}, "flags[bad].rules[0].id"},
		"no flag":   {&controlv1.ApplyRequest{Flags: []*controlv1.FlagWrite{{Flag: boolFlag("n1")}, {}}}, "flags[1]: is required"},
		"bad key":   {&controlv1.ApplyRequest{Flags: flagWrites(boolFlag("n1"), boolFlag("not/a/key"))}, "flags[1].key"},
		"empty":     {&controlv1.ApplyRequest{}, "flags"},
		"too many":  {&controlv1.ApplyRequest{Flags: manyFlags(maxDiffering+1, 0)}, "30"},
		"too large": {&controlv1.ApplyRequest{Flags: manyFlags(6, 200<<10)}, "bytes"},
	} {
		_, err := f.apply(test.r)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		mentions(t, err, test.field)
		for _, w := range test.r.GetFlags() {
			if w.GetFlag().GetKey() == "a" || !keyPattern.MatchString(w.GetFlag().GetKey()) {
				continue
			}
			_, err := f.GetFlag(f.ctx, &controlv1.GetFlagRequest{Environment: production, FlagKey: w.GetFlag().GetKey()})
			if as[*NotFoundError](t, err) == nil {
				t.Errorf("%s: %s was written", name, w.GetFlag().GetKey())
			}
		}
	}
	// A preview writes nothing, and so takes any number.
	preview, err := f.apply(&controlv1.ApplyRequest{Flags: append(manyFlags(3*maxDiffering, 20<<10), flagWrites(boolFlag("n", "many-080"))...), ValidateOnly: true})
	if err != nil || len(preview.GetResults()) != 3*maxDiffering+1 {
		t.Errorf("preview: %d results, %v", len(preview.GetResults()), err)
	}
	// As many as differ, not as many as are named.
	if _, err := f.apply(&controlv1.ApplyRequest{Flags: manyFlags(maxDiffering, 0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.apply(&controlv1.ApplyRequest{Flags: manyFlags(2*maxDiffering, 0)}); err != nil {
		t.Errorf("%d flags of which %d differ: %v", 2*maxDiffering, maxDiffering, err)
	}
}

// TestLargestResourcesFit: what the protos allow, the store takes.
func TestLargestResourcesFit(t *testing.T) {
	f, _ := newFixture(t)
	segment := &flagv1.Segment{Key: "large"}
	for i := range (512<<10 - 100) / 15 { // bytes of one encoded key
		segment.Included = append(segment.Included, fmt.Sprintf("user-%08d", i))
	}
	created, err := f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{Environment: production, Segment: segment, Reason: "r"})
	if err != nil {
		t.Fatal(err)
	}
	replaced := &flagv1.Segment{Key: "large"}
	for i := range segment.GetIncluded() {
		replaced.Included = append(replaced.Included, fmt.Sprintf("u5er-%08d", i))
	}
	if _, err := f.UpdateSegment(f.ctx, alice, &controlv1.UpdateSegmentRequest{
		Environment: production, Segment: replaced, BaseRevision: created.GetSegment().GetRevision(), Reason: "r",
	}); err != nil {
		t.Error(err)
	}
}

// manyFlags returns flags with descriptions of the given size.
func manyFlags(n, size int) []*controlv1.FlagWrite {
	flags := make([]*flagv1.Flag, 0, n)
	for i := range n {
		f := boolFlag(fmt.Sprintf("many-%03d", i))
		f.Description = strings.Repeat("d", size)
		flags = append(flags, f)
	}
	return flagWrites(flags...)
}
