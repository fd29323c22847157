package controlplane

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// content is what an environment holds, by kind and key.
type content map[*kind]map[string]proto.Message

// evaluable compiles all of it, and checks every reference.
func (c content) check(t *testing.T) error {
	t.Helper()
	var all eval.Changes
	for k, held := range c {
		for key, m := range held {
			made, err := compile(key, m)
			if err != nil {
				t.Fatalf("%s %s: %v", k.name, key, err)
			}
			if made.flag != nil {
				all.Flags = append(all.Flags, made.flag)
			} else {
				all.Segments = append(all.Segments, made.segment)
			}
		}
	}
	return (*eval.Environment)(nil).With(all).Check(nil, nil)
}

// randomContent is valid: flags need earlier ones of an order that is drawn, by variants that
// these have, and segments that there are.
func randomContent(r *rand.Rand) content {
	c := content{flagKind: {}, segmentKind: {}}
	var segments, flags []string
	for i := range 6 {
		if key := fmt.Sprintf("s%d", i); r.IntN(3) > 0 {
			segments, c[segmentKind][key] = append(segments, key), &flagv1.Segment{Key: key, Included: []string{fmt.Sprint(r.IntN(3))}}
		}
	}
	for _, i := range r.Perm(12) {
		if r.IntN(4) == 0 {
			continue
		}
		f := boolFlag(fmt.Sprintf("f%d", i))
		f.Description = fmt.Sprint(r.IntN(3))
		if r.IntN(2) == 0 { // another name for a variant
			f.Variants[0].Name, f.DefaultOutcome.Kind = "yes", &flagv1.Outcome_Variant{Variant: "yes"}
		}
		for _, other := range flags {
			if needed := c[flagKind][other].(*flagv1.Flag); r.IntN(5) == 0 {
				f.Prerequisites = append(f.Prerequisites, &flagv1.Prerequisite{FlagKey: other, Variants: []string{needed.GetVariants()[r.IntN(2)].GetName()}})
			}
		}
		if len(segments) > 0 && r.IntN(3) == 0 {
			inSegment(f, segments[r.IntN(len(segments))])
		}
		flags, c[flagKind][f.GetKey()] = append(flags, f.GetKey()), f
	}
	return c
}

// TestInOrder: whatever an environment is to become of what it was, its references hold after
// each group of changes.
func TestInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	largest := 0
	for round := range 500 {
		now, then := randomContent(r), randomContent(r)
		if err := now.check(t); err != nil {
			t.Fatalf("the test's content does not hold: %v", err)
		}
		var changes []*restoring
		for _, k := range []*kind{flagKind, segmentKind} {
			keys := maps.Clone(now[k])
			maps.Copy(keys, then[k])
			for key := range keys {
				if before, after := now[k][key], then[k][key]; before == nil || after == nil || !proto.Equal(before, after) {
					changes = append(changes, &restoring{
						before: version{message: before}, after: after,
						change: &change{resource: resource{environment: production, kind: k, key: key}},
					})
				}
			}
		}
		r.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
		wanted, made := len(changes), 0
		for _, group := range inOrder(changes) {
			largest = max(largest, len(group))
			for _, c := range group {
				made++
				if now[c.kind][c.key] = c.after; c.after == nil {
					delete(now[c.kind], c.key)
				}
			}
			if err := now.check(t); err != nil {
				t.Fatalf("round %d, after %v: %v", round, names(group), err)
			}
		}
		if made != wanted {
			t.Fatalf("round %d: %d changes of %d", round, made, wanted)
		}
	}
	if largest < 2 {
		t.Error("nothing had to be changed at once: the test shows nothing of that")
	}
}

func TestChunks(t *testing.T) {
	one := func(i, size int) *restoring {
		f := boolFlag(fmt.Sprintf("f%d", i))
		f.Description = string(make([]byte, size))
		return &restoring{after: f, change: &change{resource: resource{kind: flagKind, key: f.GetKey()}}}
	}
	var small [][]*restoring
	for i := range 2*maxChunkLength + 1 {
		small = append(small, []*restoring{one(i, 0)})
	}
	lengths := func(all [][]*restoring) (n []int) {
		for _, c := range all {
			n = append(n, len(c))
		}
		return n
	}
	if got, _ := chunks(small); !slices.Equal(lengths(got), []int{maxChunkLength, maxChunkLength, 1}) {
		t.Errorf("by number: %v", lengths(got))
	}
	large := [][]*restoring{{one(1, 1)}, {one(2, maxChunkBytes/storedTimes)}, {one(3, 1)}}
	if got, _ := chunks(large); !slices.Equal(lengths(got), []int{1, 1, 1}) {
		t.Errorf("by size: %v", lengths(got))
	}
	if _, tooLarge := chunks([][]*restoring{slices.Concat(small...)}); len(tooLarge) != len(small) {
		t.Errorf("more than a transaction takes at once was not refused, but: %v", names(tooLarge))
	}
}
