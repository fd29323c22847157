package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func rolloutItem(t testing.TB, key string, revision int64) snapshot.Item {
	return snapshot.Item{
		Kind: syncv1.Kind_KIND_ROLLOUT, Key: key, ModRevision: revision,
		Data: encode(t, &rolloutv1.Rollout{Key: key, FlagKey: fmt.Sprint("flag-", revision)}),
	}
}

// The list of rollouts is that of the items, however the snapshot came about.
func TestRollouts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := snapshot.New("production", epoch)
	for revision := int64(1); revision <= 300; revision++ {
		var puts []snapshot.Item
		var deletes []snapshot.ID
		for range 1 + random.IntN(3) {
			key := fmt.Sprint("k", random.IntN(12))
			switch random.IntN(4) {
			case 0:
				deletes = append(deletes, snapshot.ID{Kind: syncv1.Kind_KIND_ROLLOUT, Key: key})
			case 1:
				puts = append(puts, flagItem(t, key, revision, fmt.Sprint(revision)))
			default:
				puts = append(puts, rolloutItem(t, key, revision))
			}
		}
		before, held := s, slices.Clone(s.Rollouts())
		next, d := s.Next(revision, puts, deletes)
		applied, err := s.Apply(d)
		if err != nil {
			t.Fatal(err)
		}
		var want []snapshot.Item
		for _, i := range items(next) {
			if i.Kind == syncv1.Kind_KIND_ROLLOUT {
				want = append(want, i)
			}
		}
		slices.SortFunc(want, func(a, b snapshot.Item) int { return slices.Compare([]string{a.Key}, []string{b.Key}) })
		for how, got := range map[string]*snapshot.Snapshot{"next": next, "applied": applied} {
			if !slices.EqualFunc(got.Rollouts(), want, same) {
				t.Fatalf("revision %d, %s: %v, want %v", revision, how, got.Rollouts(), want)
			}
		}
		if !slices.EqualFunc(before.Rollouts(), held, same) {
			t.Fatal("a change modified the snapshot before it")
		}
		s = next
	}
}

func same(a, b snapshot.Item) bool {
	return a.ID() == b.ID() && a.ModRevision == b.ModRevision && slices.Equal(a.Data, b.Data)
}

func TestRolloutItem(t *testing.T) {
	r, err := rolloutItem(t, "checkout", 7).Rollout()
	if err != nil || r.GetFlagKey() != "flag-7" {
		t.Errorf("%v, %v", r, err)
	}
	other := rolloutItem(t, "checkout", 7)
	other.Key = "another"
	for name, item := range map[string]snapshot.Item{
		"another's":  other,
		"not usable": {Kind: syncv1.Kind_KIND_ROLLOUT, Key: "checkout", ModRevision: 1, Data: []byte{0xff}},
	} {
		if _, err := item.Rollout(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := other.ID().String(); got != `rollout "another"` {
		t.Error(got)
	}
}

// outcomeText is such as 'split new 0 old 10'.
func outcomeText(o *flagv1.Outcome) string {
	if o.GetSplit() == nil {
		return "variant " + o.GetVariant()
	}
	text := "split"
	for _, v := range o.GetSplit().GetVariants() {
		text += fmt.Sprintf(" %s %d", v.GetVariant(), v.GetWeight())
	}
	return text
}

func split(weights ...any) *flagv1.Outcome {
	s := &flagv1.Split{}
	for i := 0; i < len(weights); i += 2 {
		s.Variants = append(s.Variants, &flagv1.WeightedVariant{Variant: weights[i].(string), Weight: uint32(weights[i+1].(int))})
	}
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: s}}
}

// TestControlled: each split that is named gives the control to everybody, of the version of the
// flag that is in force, and nothing else changes.
func TestControlled(t *testing.T) {
	flag := &flagv1.Flag{
		Key: "f", Type: flagv1.ValueType_VALUE_TYPE_STRING, Enabled: true,
		Variants: []*flagv1.Variant{
			{Name: "new", Value: structpb.NewStringValue("n")}, {Name: "old", Value: structpb.NewStringValue("o")},
		},
		DefaultOutcome: split("new", 3, "old", 7),
		Rules: []*flagv1.Rule{
			{Id: "plain", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "new"}}},
			{Id: "without", Outcome: split("new", 10)},
		},
	}
	base, _ := snapshot.New("production", epoch).Next(1, []snapshot.Item{
		{Kind: flagKind, Key: "f", ModRevision: 1, Data: encode(t, flag)}, flagItem(t, "other", 1, ""),
	}, nil)
	rejecting, _ := base.Next(2, []snapshot.Item{brokenItem("f", 2)}, nil)
	for name, tc := range map[string]struct {
		splits []snapshot.Split
		want   string // empty: nothing is changed
	}{
		"the default outcome":      {[]snapshot.Split{{Flag: "f", Control: "old"}}, "split new 0 old 10, variant new, split new 10"},
		"a rule without the split": {[]snapshot.Split{{Flag: "f", Rule: "plain", Control: "old"}}, "split new 3 old 7, variant old, split new 10"},
		"the control has no share": {[]snapshot.Split{{Flag: "f", Rule: "without", Control: "old"}}, "split new 3 old 7, variant new, variant old"},
		"two of one flag": {
			[]snapshot.Split{{Flag: "f", Control: "old"}, {Flag: "f", Rule: "plain", Control: "old"}},
			"split new 0 old 10, variant old, split new 10",
		},
		"one that is there, and one that is not": {
			[]snapshot.Split{{Flag: "none", Control: "old"}, {Flag: "f", Control: "old"}}, "split new 0 old 10, variant new, split new 10",
		},
		"no such rule": {splits: []snapshot.Split{{Flag: "f", Rule: "none", Control: "old"}}},
		"no such flag": {splits: []snapshot.Split{{Flag: "none", Control: "old"}}},
		"none":         {},
	} {
		for state, s := range map[string]*snapshot.Snapshot{"used": base, "its newest version is broken": rejecting} {
			got := s.Controlled(tc.splits)
			if tc.want == "" {
				if got != s {
					t.Errorf("%s, %s: another state, although nothing is changed", name, state)
				}
				continue
			}
			item, _ := got.Item(flagKind, "f")
			f, err := item.Flag()
			if err != nil {
				t.Fatal(err)
			}
			text := outcomeText(f.GetDefaultOutcome())
			for _, r := range f.GetRules() {
				text += ", " + outcomeText(r.GetOutcome())
			}
			if text != tc.want || got.Cursor().Revision != s.Cursor().Revision || len(got.Rejections()) != 0 {
				t.Errorf("%s, %s: %q at %d, %d rejections; want %q", name, state, text, got.Cursor().Revision, len(got.Rejections()), tc.want)
			}
			if answer := got.Eval().Evaluate("f", &eval.Context{TargetingKey: "u"}); answer.Variant == nil {
				t.Errorf("%s, %s: it is not served: %+v", name, state, answer)
			}
		}
	}
}
