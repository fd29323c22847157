package clientsdk

import (
	"testing"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// views shows states of a flag with two rollouts: of its rule for Canada, and of its default.
type views struct {
	t        *testing.T
	view     *view
	snapshot *snapshot.Snapshot
	revision int64
}

func newViews(t *testing.T) *views {
	v := &views{t: t, view: newView(nil, zerolog.Nop()), snapshot: snapshot.New("production", snapshot.Epoch{Counter: 1})}
	split := func() *flagv1.Outcome {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
			Variants: []*flagv1.WeightedVariant{{Variant: "new", Weight: 10_000}, {Variant: "old", Weight: 0}},
		}}}
	}
	country, _ := structpb.NewList([]any{"CA"})
	v.publish(&flagv1.Flag{
		Key: "f", Type: flagv1.ValueType_VALUE_TYPE_STRING, Enabled: true,
		Variants: []*flagv1.Variant{{Name: "new", Value: structpb.NewStringValue("n")}, {Name: "old", Value: structpb.NewStringValue("o")}},
		Rules: []*flagv1.Rule{{Id: "canada", Outcome: split(), Clauses: []*flagv1.Clause{
			{Attribute: "country", Operator: flagv1.Operator_OPERATOR_IN, Values: country.GetValues()},
		}}},
		DefaultOutcome: split(),
	}, v.rollout("canada-1", "canada"), v.rollout("all-1", ""))
	return v
}

func (v *views) rollout(key, rule string) *rolloutv1.Rollout {
	return &rolloutv1.Rollout{Key: key, FlagKey: "f", Rule: rule, Control: "old", Treatment: "new"}
}

// publish shows messages at the next revision.
func (v *views) publish(messages ...proto.Message) {
	v.t.Helper()
	v.revision++
	var items []snapshot.Item
	for _, m := range messages {
		item := snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, ModRevision: v.revision}
		switch m := m.(type) {
		case *flagv1.Flag:
			item.Key = m.GetKey()
		case *rolloutv1.Rollout:
			item.Kind, item.Key = syncv1.Kind_KIND_ROLLOUT, m.GetKey()
		}
		var err error
		if item.Data, err = proto.Marshal(m); err != nil {
			v.t.Fatal(err)
		}
		items = append(items, item)
	}
	v.snapshot, _ = v.snapshot.Next(v.revision, items, nil)
	v.show(v.snapshot)
}

func (v *views) show(s *snapshot.Snapshot) { v.view.Showing(replica.View{Snapshot: s}) }

// serves checks what Canada and others are served.
func (v *views) serves(canada, others string) {
	v.t.Helper()
	s := v.view.snapshot()
	for country, want := range map[string]string{"CA": canada, "FR": others} {
		r := s.Eval().Evaluate("f", &eval.Context{TargetingKey: "u", Attributes: eval.Map{"country": country}})
		if r.Variant == nil || r.Variant.Name != want {
			v.t.Errorf("%s: %+v, not %s", country, r.Variant, want)
		}
	}
	if some, revision := v.view.rollouts(); !some || revision != v.revision {
		v.t.Errorf("rollouts: %v at %d", some, revision)
	}
}

func (v *views) flipped() bool {
	select {
	case <-v.view.flipped:
		return true
	default:
		return false
	}
}

func TestViewShutsEachRolloutByItself(t *testing.T) {
	v := newViews(t)
	v.serves("new", "new")
	v.view.tripped(nil, 1)
	if v.flipped() {
		t.Error("nothing happened")
	}
	v.view.tripped([]string{"canada-1"}, 1)
	v.serves("old", "new")
	if !v.flipped() {
		t.Error("it is not told")
	}
	v.view.tripped([]string{"canada-1"}, 1)
	if v.flipped() {
		t.Error("it was told before")
	}
	v.view.tripped([]string{"all-1", "canada-1"}, 1)
	v.serves("old", "old")
	v.view.tripped([]string{"all-1"}, 1)
	v.serves("new", "old")
	v.view.tripped(nil, 1)
	v.serves("new", "new")
	if v.view.snapshot() != v.snapshot {
		t.Error("what is shown is not what is published, although nothing is shut")
	}
}

// TestViewFollowsRevisions: a newer revision of the rollout opens it, whatever an answer says
// that is of the time before; revisions of anything else do not.
func TestViewFollowsRevisions(t *testing.T) {
	v := newViews(t)
	v.view.tripped([]string{"all-1"}, 1)
	v.publish(v.rollout("canada-1", "canada"))
	v.serves("new", "old")
	v.revision++
	v.snapshot = v.snapshot.Advance(v.revision)
	v.show(v.snapshot)
	v.serves("new", "old")

	v.publish(v.rollout("all-1", ""))
	v.serves("new", "new")
	v.view.tripped([]string{"all-1"}, v.revision-1)
	v.serves("new", "new")
	v.view.tripped([]string{"all-1"}, v.revision)
	v.serves("new", "old")
}

// TestViewPurged: nothing is shown, and nothing can be shut.
func TestViewPurged(t *testing.T) {
	v := newViews(t)
	v.view.tripped([]string{"all-1"}, 1)
	v.show(nil)
	v.view.tripped([]string{"all-1", "canada-1"}, 1)
	if v.view.snapshot() != nil {
		t.Error("something is shown")
	}
	if some, _ := v.view.rollouts(); some {
		t.Error("there are rollouts")
	}
	v.show(v.snapshot)
	v.serves("new", "new")
}

// TestViewShutsNothing: a rollout that is not of this flag, or is not here.
func TestViewShutsNothing(t *testing.T) {
	v := newViews(t)
	lost, ruleless := v.rollout("lost-1", ""), v.rollout("ruleless-1", "none")
	lost.FlagKey = "none"
	v.publish(lost, ruleless)
	v.view.tripped([]string{"lost-1", "ruleless-1", "unknown"}, v.revision)
	v.serves("new", "new")
}
