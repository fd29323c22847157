package eval_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// drawFlag draws a flag out of few, which may refer to few others and few segments.
func drawFlag(t *rapid.T) *flagv1.Flag {
	f := boolFlag(drawKey(t, "flag"))
	f.Enabled = rapid.IntRange(0, 5).Draw(t, "enabled") > 0
	f.DefaultOutcome = rapid.SampledFrom([]*flagv1.Outcome{serve("on"), serve("off"), split("on", 1, "off", 1)}).Draw(t, "default")
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, 2, rapid.ID[string]).Draw(t, "prerequisites") {
		if key != f.Key {
			f.Prerequisites = append(f.Prerequisites, requires(key, "on"))
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "rules") {
		f.Rules = append(f.Rules, &flagv1.Rule{
			Id: "rule-" + strconv.Itoa(i), Clauses: []*flagv1.Clause{clause("", opInSegment, drawKey(t, "segment"))}, Outcome: serve("on"),
		})
	}
	return f
}

var keys = []string{"a", "b", "c", "d", "e"}

func drawKey(t *rapid.T, label string) string { return rapid.SampledFrom(keys).Draw(t, label) }

// model is what an environment should hold.
type model struct {
	flags    map[string]*eval.Flag
	sources  map[*eval.Flag]*flagv1.Flag // what they were compiled from
	segments map[string]*eval.Segment
}

// An environment made by any series of changes is the same as one made at once, and
// every earlier one is what it was.
func TestWithEqualsMakingAfresh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var env *eval.Environment
		m := model{map[string]*eval.Flag{}, map[*eval.Flag]*flagv1.Flag{}, map[string]*eval.Segment{}}
		type moment struct {
			env   *eval.Environment
			model model
		}
		var history []moment
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			m = model{clone(m.flags), m.sources, clone(m.segments)}
			env = env.With(drawChanges(t, m))
			if rapid.Bool().Draw(t, "ask for the order") {
				env.Flags()
			}
			history = append(history, moment{env, m})
		}
		for _, past := range history {
			checkEnvironment(t, past.env, past.model)
		}
	})
}

func clone[V any](m map[string]V) map[string]V {
	c := make(map[string]V, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// drawChanges draws changes and applies them to the model.
func drawChanges(t *rapid.T, m model) eval.Changes {
	var c eval.Changes
	for range rapid.IntRange(0, 2).Draw(t, "deleted flags") {
		key := drawKey(t, "deleted flag")
		c.DeletedFlags = append(c.DeletedFlags, key)
		delete(m.flags, key)
	}
	for range rapid.IntRange(0, 3).Draw(t, "flags") {
		source := drawFlag(t)
		f, err := eval.Compile(source, 1)
		if err != nil {
			t.Fatal(err)
		}
		c.Flags = append(c.Flags, f)
		m.flags[f.Key()], m.sources[f] = f, source
	}
	for range rapid.IntRange(0, 1).Draw(t, "deleted segments") {
		key := drawKey(t, "deleted segment")
		c.DeletedSegments = append(c.DeletedSegments, key)
		delete(m.segments, key)
	}
	for range rapid.IntRange(0, 2).Draw(t, "segments") {
		s, err := eval.CompileSegment(segment(drawKey(t, "segment"), drawKey(t, "member")), 1)
		if err != nil {
			t.Fatal(err)
		}
		c.Segments = append(c.Segments, s)
		m.segments[s.Key()] = s
	}
	return c
}

func checkEnvironment(t *rapid.T, env *eval.Environment, m model) {
	var all eval.Changes
	dependants, segmentDependants := map[string][]string{}, map[string][]string{}
	for _, key := range keys {
		if env.Flag(key) != m.flags[key] || env.Segment(key) != m.segments[key] {
			t.Fatalf("%s is another flag or segment", key)
		}
		if s := m.segments[key]; s != nil {
			all.Segments = append(all.Segments, s)
		}
		f := m.flags[key]
		if f == nil {
			continue
		}
		all.Flags = append(all.Flags, f)
		for _, p := range m.sources[f].GetPrerequisites() {
			dependants[p.GetFlagKey()] = append(dependants[p.GetFlagKey()], key)
		}
		for _, r := range m.sources[f].GetRules() {
			s := r.GetClauses()[0].GetValues()[0].GetStringValue()
			if !slices.Contains(segmentDependants[s], key) {
				segmentDependants[s] = append(segmentDependants[s], key)
			}
		}
	}
	if !slices.Equal(env.Flags(), all.Flags) || env.FlagCount() != len(all.Flags) {
		t.Fatalf("flags are %v, want %v", env.Flags(), all.Flags)
	}
	if !slices.Equal(env.Segments(), all.Segments) || env.SegmentCount() != len(all.Segments) {
		t.Fatalf("segments are %v, want %v", env.Segments(), all.Segments)
	}
	var none *eval.Environment
	fresh := none.With(all)
	for _, key := range keys {
		if got, want := env.Dependants(key), dependants[key]; !slices.Equal(got, want) {
			t.Fatalf("dependants of flag %s are %v, want %v", key, got, want)
		}
		if got, want := env.SegmentDependants(key), segmentDependants[key]; !slices.Equal(got, want) {
			t.Fatalf("dependants of segment %s are %v, want %v", key, got, want)
		}
		for _, user := range keys {
			ctx := &eval.Context{TargetingKey: user}
			if got, want := env.Evaluate(key, ctx), fresh.Evaluate(key, ctx); got != want {
				t.Fatalf("%s for %s: %+v, want %+v", key, user, got, want)
			}
		}
	}
	if got, want := fmt.Sprint(env.Check(nil, nil)), fmt.Sprint(fresh.Check(nil, nil)); got != want {
		t.Fatalf("check says %s, want %s", got, want)
	}
}

func TestWithDeletesBeforeItAdds(t *testing.T) {
	c := changes(t, boolFlag("a"), boolFlag("a"), segment("s", "k"))
	c.DeletedFlags, c.DeletedSegments = []string{"a", "unknown"}, []string{"s", "unknown"}
	c.Flags = append(c.Flags, nil)
	c.Segments = append(c.Segments, nil)
	env := environment(t, boolFlag("a")).With(c)
	if env.Flag("a") != c.Flags[1] || env.FlagCount() != 1 || env.SegmentCount() != 1 {
		t.Errorf("%d flags, %d segments", env.FlagCount(), env.SegmentCount())
	}
}

// The order of a large environment is kept up through changes small and large.
func TestFlagsStayInOrder(t *testing.T) {
	var definitions []any
	for i := range 3000 {
		definitions = append(definitions, boolFlag("flag-"+strconv.Itoa(i)))
	}
	env := environment(t, definitions...)
	for step, count := range []int{1, 10, 200, 200, 300, 1} {
		var c eval.Changes
		for i := range count {
			c.DeletedFlags = append(c.DeletedFlags, "flag-"+strconv.Itoa(step*400+i))
			c.Flags = append(c.Flags, changes(t, boolFlag(fmt.Sprintf("more-%d-%d", step, i))).Flags...)
		}
		env = env.With(c)
		if step%2 == 0 {
			continue // asked for after every other change
		}
		flags := env.Flags()
		if len(flags) != 3000 || !slices.IsSortedFunc(flags, func(a, b *eval.Flag) int { return strings.Compare(a.Key(), b.Key()) }) {
			t.Fatalf("step %d: %d flags, or out of order", step, len(flags))
		}
		for _, f := range flags {
			if env.Flag(f.Key()) != f {
				t.Fatalf("step %d: %s is not of this environment", step, f.Key())
			}
		}
		if &env.Flags()[0] != &flags[0] {
			t.Error("the slice was made twice")
		}
	}
}
