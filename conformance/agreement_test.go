//go:build conformance

package conformance

import (
	"flag"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

var seed = flag.Uint64("seed", 20261126, "of the random flags and contexts of TestAgreement")

// Pairs of a random flag and a random context: each context is evaluated for some flags
// one at a time, and for all of them in bulk.
const (
	randomFlags    = 500
	randomContexts = 400
	flagsAContext  = 25
)

// pair is one evaluation, and what the engine answers.
type pair struct {
	flag    *flagv1.Flag
	context int // in the list
	want    verdict
}

// verdict is what all have to agree on: the variant, or none, and its value.
type verdict struct {
	variant string
	value   any // nil: none
}

// participant answers pairs of one environment; the answer of a pair that it cannot tell
// is an error. It may be called at once from several goroutines.
type participant struct {
	name        string
	environment string
	answer      func(t *testing.T, p pair, context map[string]any) (verdict, error)
}

// TestAgreement evaluates the same random pairs in every way there is to evaluate a flag.
func TestAgreement(t *testing.T) {
	g := newGenerator(*seed)
	g.environment(randomFlags)
	contexts := make([]map[string]any, randomContexts)
	for i := range contexts {
		contexts[i] = g.context()
	}
	var drawn []pair
	for i := range contexts {
		for _, f := range g.Perm(len(g.flags))[:flagsAContext] {
			drawn = append(drawn, pair{flag: g.flags[f], context: i})
		}
	}
	t.Logf("seed %d: %d pairs", *seed, len(drawn))

	b := newBed(t)
	b.write(t, g.flags, g.segments)
	pairs := map[string][]pair{}
	for _, environment := range []string{version2, version3} {
		pairs[environment] = decide(t, g, environment, drawn, contexts)
	}

	participants := remotes(t, b, contexts)
	// Who has version 1 cannot agree on a split; TestAnswers has what it does.
	alike := slices.DeleteFunc(targets(b), func(to target) bool { return to.bucketing == bucketing1 })
	for _, p := range startAll(t, alike, request{BackoffMS: 1000}) {
		participants = append(participants, participant{p.String(), p.environment(), p.verdict})
	}
	for _, p := range participants {
		t.Run(p.name+" "+p.environment, func(t *testing.T) {
			asked := pairs[p.environment]
			if p.name == "java rpc" {
				// It tries again for seconds where the relay says that there is no value.
				asked = slices.DeleteFunc(slices.Clone(asked), func(p pair) bool { return p.want.variant == "" })
			}
			p.compare(t, asked, contexts)
		})
	}
}

// decide answers the pairs by the engine, in process.
func decide(t *testing.T, g *generator, environment string, drawn []pair, contexts []map[string]any) []pair {
	t.Helper()
	var changes eval.Changes
	for _, f := range g.flags {
		compiled, err := eval.Compile(bucketed(f, environment), 1)
		if err != nil {
			t.Fatalf("%v\n%s", err, (protojson.MarshalOptions{}).Format(f))
		}
		changes.Flags = append(changes.Flags, compiled)
	}
	for _, s := range g.segments {
		compiled, err := eval.CompileSegment(s, 1)
		if err != nil {
			t.Fatal(err)
		}
		changes.Segments = append(changes.Segments, compiled)
	}
	var none *eval.Environment
	engine := none.With(changes)
	pairs := make([]pair, len(drawn))
	served := map[string]int{}
	for i, p := range drawn {
		key, _ := contexts[p.context]["targetingKey"].(string)
		r := engine.Evaluate(p.flag.GetKey(), &eval.Context{TargetingKey: key, Attributes: eval.Map(contexts[p.context]), Now: time.Now().Unix()})
		p.want = verdict{}
		if r.Variant != nil {
			p.want = verdict{variant: r.Variant.Name, value: valueOf(p.flag, r.Variant.Name)}
		}
		served[string(r.Reason)+" "+string(r.ErrorCode)]++
		pairs[i] = p
	}
	t.Logf("%s: %v", environment, served)
	return pairs
}

// valueOf is the value of a variant as JSON has it.
func valueOf(f *flagv1.Flag, variant string) any {
	for _, v := range f.GetVariants() {
		if v.GetName() == variant {
			return v.GetValue().AsInterface()
		}
	}
	return nil
}

// compare asks for all pairs and tells of the first few that differ.
func (p participant) compare(t *testing.T, pairs []pair, contexts []map[string]any) {
	t.Helper()
	const (
		shown    = 5
		inFlight = 16
	)
	var mu sync.Mutex
	differ := 0
	slots := make(chan struct{}, inFlight)
	var all sync.WaitGroup
	for _, want := range pairs {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			got, err := p.answer(t, want, contexts[want.context])
			if err == nil && reflect.DeepEqual(got, want.want) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if differ++; differ <= shown {
				t.Errorf("got %+v %v, the engine %+v\ncontext %v\n%s", got, err, want.want, contexts[want.context], (protojson.MarshalOptions{}).Format(want.flag))
			}
		})
	}
	all.Wait()
	if differ > 0 {
		t.Errorf("%d of %d pairs differ", differ, len(pairs))
	}
}

// kind is a flag's type in the words of the programs.
func kind(f *flagv1.Flag) string {
	return map[flagv1.ValueType]string{
		flagv1.ValueType_VALUE_TYPE_BOOLEAN: "boolean", flagv1.ValueType_VALUE_TYPE_STRING: "string",
		flagv1.ValueType_VALUE_TYPE_INTEGER: "integer", flagv1.ValueType_VALUE_TYPE_DOUBLE: "double",
		flagv1.ValueType_VALUE_TYPE_OBJECT: "object",
	}[f.GetType()]
}

// fallback is a default that no variant has.
func fallback(f *flagv1.Flag) any {
	return map[string]any{"boolean": false, "string": "none", "integer": -1.0, "double": -0.25, "object": map[string]any{"none": true}}[kind(f)]
}

// verdict answers a pair by a provider.
func (p *program) verdict(t *testing.T, of pair, context map[string]any) (verdict, error) {
	a, err := p.call(t.Context(), request{Op: "evaluate", Flag: of.flag.GetKey(), Type: kind(of.flag), Fallback: fallback(of.flag), Context: context})
	if err != nil || a.Variant == "" {
		if err == nil && !reflect.DeepEqual(a.Value, fallback(of.flag)) {
			err = fmt.Errorf("no variant, but the value %v (%s %s)", a.Value, a.Reason, a.ErrorCode)
		}
		return verdict{}, err
	}
	return verdict{a.Variant, a.Value}, nil
}
