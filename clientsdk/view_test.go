package clientsdk

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

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
	return &rolloutv1.Rollout{
		Key: key, FlagKey: "f", Rule: rule, Control: "old", Treatment: "new",
		Status: &rolloutv1.Status{State: rolloutv1.State_STATE_RUNNING, Step: 1},
	}
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

// TestViewFollowsSteps: a later step of the rollout opens it, whatever an answer says that is of
// the time before, and so does its end; somebody who pauses it, or changes anything else, does
// not.
func TestViewFollowsSteps(t *testing.T) {
	v := newViews(t)
	v.view.tripped([]string{"all-1"}, 1)
	v.publish(v.rollout("canada-1", "canada"))
	v.serves("new", "old")
	v.revision++
	v.snapshot = v.snapshot.Advance(v.revision)
	v.show(v.snapshot)
	v.serves("new", "old")

	paused := v.rollout("all-1", "")
	paused.Status.State = rolloutv1.State_STATE_PAUSED
	v.publish(paused)
	v.serves("new", "old")

	next := v.rollout("all-1", "")
	next.Status.Step = 2
	v.publish(next)
	v.serves("new", "new")
	v.view.tripped([]string{"all-1"}, v.revision-1)
	v.serves("new", "new")
	v.view.tripped([]string{"all-1"}, v.revision)
	v.serves("new", "old")

	next.Status.State = rolloutv1.State_STATE_COMPLETED
	v.publish(next)
	v.serves("new", "new")
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

// TestWatchFromTheStart: of what comes before the watch looks for the first time, all but the
// first state is a change.
func TestWatchFromTheStart(t *testing.T) {
	state := func(values ...string) []*snapshot.Snapshot {
		var states []*snapshot.Snapshot
		s := snapshot.New("production", snapshot.Epoch{Counter: 1})
		for i, value := range values {
			data, err := proto.Marshal(&flagv1.Flag{
				Key: "f", Type: flagv1.ValueType_VALUE_TYPE_STRING, Enabled: true,
				Variants:       []*flagv1.Variant{{Name: "only", Value: structpb.NewStringValue(value)}},
				DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "only"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			revision := int64(i + 1)
			s, _ = s.Next(revision, []snapshot.Item{{Kind: syncv1.Kind_KIND_FLAG, Key: "f", ModRevision: revision, Data: data}}, nil)
			states = append(states, s)
		}
		return states
	}
	for name, tc := range map[string]struct {
		restored      bool // the first one
		before, after int  // the watch begins: so many states more
		want          int  // times that the change is told
	}{
		"nothing":                          {},
		"the first state":                  {before: 1},
		"the first state, later":           {after: 1},
		"a change before the first look":   {before: 2, want: 1},
		"a change after it":                {before: 1, after: 1, want: 1},
		"two changes, one on each side":    {before: 2, after: 1, want: 2},
		"restored":                         {restored: true},
		"restored, and changed before":     {restored: true, before: 1, want: 1},
		"restored, and changed afterwards": {restored: true, after: 1, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newView(nil, zerolog.Nop())
				r := replica.NewSet(replica.Options{HistoryBytes: -1, Observer: v}).Add("production")
				c := &inProcess{local: local{replica: r, view: v, age: r.Age}, notifier: newNotifier(func() Status { return Status{} })}
				defer c.stopNotifying()
				told := 0
				c.OnChange(func(keys []string) {
					if !slices.Equal(keys, []string{"f"}) {
						t.Errorf("told of %q", keys)
					}
					told++
				})
				states := state("a", "b", "c", "d")
				publish := func(n int) {
					for range n {
						if err := r.Publish(states[0], states[0].Full()); err != nil {
							t.Fatal(err)
						}
						states = states[1:]
						synctest.Wait()
					}
				}
				if tc.restored {
					publish(1)
				}
				prev, changes := r.Subscribe()
				publish(tc.before)
				ctx, cancel := context.WithCancel(t.Context())
				var watching sync.WaitGroup
				watching.Go(func() { c.watch(ctx, prev, changes) })
				synctest.Wait()
				publish(tc.after)
				cancel()
				watching.Wait()
				if told != tc.want {
					t.Errorf("told %d times, want %d", told, tc.want)
				}
			})
		})
	}
}
