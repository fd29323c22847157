package preview

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

var (
	start = time.Date(2026, 11, 27, 10, 5, 0, 0, time.UTC)
	epoch = snapshot.Epoch{Counter: 1, Random: 42}
)

// splitFlag serves "on" to a share, in percent, and "vip" to who has the plan gold.
func splitFlag(t testing.TB, key string, percent uint32) *eval.Flag {
	t.Helper()
	value := func(name string) *flagv1.Variant {
		return &flagv1.Variant{Name: name, Value: structpb.NewStringValue(name)}
	}
	f, err := eval.Compile(&flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_STRING, Enabled: true,
		Variants: []*flagv1.Variant{value("on"), value("off"), value("vip")},
		Rules: []*flagv1.Rule{{
			Id: "gold", Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "vip"}},
			Clauses: []*flagv1.Clause{{
				Attribute: "plan", Operator: flagv1.Operator_OPERATOR_IN, Values: []*structpb.Value{structpb.NewStringValue("gold")},
			}},
		}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
			Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: percent}, {Variant: "off", Weight: 100 - percent}},
		}}},
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func environmentOf(flags ...*eval.Flag) *eval.Environment {
	var none *eval.Environment
	return none.With(eval.Changes{Flags: flags})
}

// relay is one that samples.
type relay struct {
	*Sampler
	t    testing.TB
	flag *eval.Flag
	env  *eval.Environment
}

func newRelay(t testing.TB, memory int64) *relay {
	t.Helper()
	r := &relay{Sampler: New("production", NewMemory(memory), start), t: t, flag: splitFlag(t, "checkout", 10)}
	r.env = environmentOf(r.flag)
	r.Follow(epoch, start)
	return r
}

const enough = 32 << 20

// answers has the relay answer a subject.
func (r *relay) answers(subject int) {
	r.Saw(r.flag, subjectContext(subject))
}

// subjectContext is one of a few thousand; every tenth is gold.
func subjectContext(subject int) *eval.Context { return contexts()[subject] }

var contexts = sync.OnceValue(func() []*eval.Context {
	all := make([]*eval.Context, 5000)
	for i := range all {
		plan := "free"
		if i%10 == 0 {
			plan = "gold"
		}
		all[i] = &eval.Context{TargetingKey: fmt.Sprintf("user-%d", i), Attributes: eval.Map{"plan": plan, "secret": "hush-hush"}}
	}
	return all
})

// compares tells what would become of the sample with another share.
func (r *relay) compares(percent uint32, k int) *syncv1.PreviewFlag {
	r.t.Helper()
	c := &Comparison{Before: r.env, After: environmentOf(splitFlag(r.t, "checkout", percent)), Here: func(*eval.Context) {}}
	f := r.Compare(context.Background(), c, "checkout", k)
	if f == nil {
		r.t.Fatal("it was not known")
	}
	return f
}

func answerWith(f *syncv1.PreviewFlag) *syncv1.PreviewAnswer {
	return &syncv1.PreviewAnswer{Relays: 1, Flags: []*syncv1.PreviewFlag{f}}
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }
