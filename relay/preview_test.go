package relay

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/preview"
)

// asks a relay what flags would do.
func (r *Relay) asks(t *testing.T, flags ...*flagv1.Flag) *syncv1.PreviewAnswer {
	t.Helper()
	p := &syncv1.Preview{Environment: production, Subjects: preview.Subjects}
	for _, f := range flags {
		i := item(t, f, 1)
		p.Puts = append(p.Puts, &syncv1.Put{Kind: i.Kind, Key: i.Key, Data: i.Data})
		p.FlagKeys = append(p.FlagKeys, f.GetKey())
	}
	return r.told(t, p)
}

func (r *Relay) told(t *testing.T, p *syncv1.Preview) *syncv1.PreviewAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return r.Preview(ctx, p)
}

// changingOf counts who would be served something else, and all.
func changingOf(a *syncv1.PreviewAnswer) (changing, all int) {
	if len(a.GetFlags()) == 0 {
		return -1, -1
	}
	for _, t := range a.GetFlags()[0].GetTransitions() {
		all += len(t.GetSubjects())
		if t.GetDiffers() {
			changing += len(t.GetSubjects())
		}
	}
	return changing, all
}

// TestPreviewUsesAttributes, lists and objects among them, where this relay is, and the time.
func TestPreviewUsesAttributes(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	o := options(upstream, production)
	o.Region = "north"
	r, _ := startReady(t, o, p.revision)
	for i := range 100 {
		subject := canada(t)
		subject.TargetingKey = string(rune('A' + i))
		if i%2 == 0 {
			subject.Attributes.Fields["tags"] = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("beta")}})
		}
		if i%5 == 0 {
			subject.Attributes.Fields["account"] = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"age": structpb.NewNumberValue(float64(i))}})
		}
		if _, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a", Context: subject}); err != nil {
			t.Fatal(err)
		}
	}
	rule := func(attribute string, operator flagv1.Operator, values ...*structpb.Value) *flagv1.Flag {
		f := boolFlag("a")
		f.Rules = []*flagv1.Rule{{Id: "r", Outcome: serve("off"), Clauses: []*flagv1.Clause{{Attribute: attribute, Operator: operator, Values: values}}}}
		return f
	}
	for name, c := range map[string]struct {
		flag *flagv1.Flag
		want int
	}{
		"as it is":      {boolFlag("a"), 0},
		"attribute":     {rule("country", flagv1.Operator_OPERATOR_IN, structpb.NewStringValue("Canada")), 100},
		"list":          {rule("tags", flagv1.Operator_OPERATOR_IN, structpb.NewStringValue("beta")), 50},
		"member":        {rule("account.age", flagv1.Operator_OPERATOR_EXISTS), 20},
		"targeting key": {rule("targetingKey", flagv1.Operator_OPERATOR_IN, structpb.NewStringValue("A")), 1},
		"region":        {rule("$tidegate.region", flagv1.Operator_OPERATOR_IN, structpb.NewStringValue("north")), 100},
		"elsewhere":     {rule("$tidegate.region", flagv1.Operator_OPERATOR_IN, structpb.NewStringValue("south")), 0},
	} {
		if changing, all := changingOf(r.asks(t, c.flag)); changing != c.want || all != 100 {
			t.Errorf("%s: %d of %d would change, want %d", name, changing, all, c.want)
		}
	}
	value := boolFlag("a")
	value.Variants[0].Value = structpb.NewBoolValue(false)
	if changing, _ := changingOf(r.asks(t, value)); changing != 100 {
		t.Errorf("another value of the same variant changes %d", changing)
	}
	if a := r.asks(t, boolFlag("new")); a.GetRelays() != 1 || len(a.GetFlags()[0].GetTransitions()) != 0 {
		t.Errorf("of a flag that nobody was answered: %v", a)
	}
}

// TestPreviewThatCannotBeUsed: the relay tells nothing, rather than something else.
func TestPreviewThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	if _, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a", Context: canada(t)}); err != nil {
		t.Fatal(err)
	}
	good := &syncv1.Preview{Environment: production, Subjects: 10, FlagKeys: []string{"a"}}
	if a := r.told(t, good); a.GetRelays() != 1 {
		t.Fatalf("the control: %v", a)
	}
	for name, change := range map[string]func(*syncv1.Preview){
		"environment": func(p *syncv1.Preview) { p.Environment = "elsewhere" },
		"the default": func(p *syncv1.Preview) { p.Environment = "" },
		"no flag": func(p *syncv1.Preview) {
			p.Puts = []*syncv1.Put{{Kind: syncv1.Kind_KIND_FLAG, Key: "a", Data: []byte("?")}}
		},
		"another kind": func(p *syncv1.Preview) { p.Puts = []*syncv1.Put{{Kind: syncv1.Kind_KIND_KEY, Key: "a"}} },
		"deletes one":  func(p *syncv1.Preview) { p.Deletes = []*syncv1.Delete{{Kind: syncv1.Kind_KIND_ROLLOUT, Key: "a"}} },
		"of a later version": func(p *syncv1.Preview) {
			f := boolFlag("a")
			f.Rules = []*flagv1.Rule{{Id: "r", Outcome: serve("on"), Clauses: []*flagv1.Clause{{Attribute: "a", Operator: 999}}}}
			i := item(t, f, 1)
			p.Puts = []*syncv1.Put{{Kind: i.Kind, Key: i.Key, Data: i.Data}}
		},
	} {
		asked := proto.CloneOf(good)
		change(asked)
		if a := r.told(t, asked); a.GetRelays() != 0 || len(a.GetFlags()) != 0 {
			t.Errorf("%s: %v", name, a)
		}
	}
	// What is served is what it was.
	if a, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a", Context: canada(t)}); err != nil || a.GetVariant() != "on" {
		t.Errorf("%v, %v", a, err)
	}
}

// TestPreviewInNoTime: what is not ready is left out.
func TestPreviewInNoTime(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	if _, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a", Context: canada(t)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := r.Preview(ctx, &syncv1.Preview{Environment: production, Subjects: 10, FlagKeys: []string{"a"}}); a.GetRelays() != 0 {
		t.Errorf("%v", a)
	}
}

// TestPreviewOfAShutRollout: what this relay has shut by itself stays so, whatever the weight.
func TestPreviewOfAShutRollout(t *testing.T) {
	t.Parallel()
	_, _, r, _ := cutOff(t, nil)
	harm(t, dial(t, r.GRPCAddr()), 400)
	eventually(t, "trip", func() bool { return len(r.telemetry.byName[production].edge.shut()) == 1 })
	eventually(t, "control for all", func() bool {
		for i := range 50 {
			if variantOf(t, client(t, r), "checkout", subject(i)) == "on" {
				return false
			}
		}
		return true
	})
	if changing, all := changingOf(r.asks(t, rollingFlag("checkout", 9000))); changing != 0 || all == 0 {
		t.Errorf("%d of %d would change", changing, all)
	}
}

// TestNoSamples where nobody wants them, or could ask.
func TestNoSamples(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	o := options(upstream, production)
	o.PreviewBytes = -1
	r, _ := startReady(t, o, p.revision)
	if _, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a", Context: canada(t)}); err != nil {
		t.Fatal(err)
	}
	if a := r.asks(t, boolFlag("a", "Canada")); a.GetRelays() != 0 {
		t.Errorf("%v", a)
	}
}
