package controlplane

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// subject is a context with one attribute.
func subject(key, attribute, value string) *evaluationv1.EvaluationContext {
	return &evaluationv1.EvaluationContext{TargetingKey: key, Attributes: &structpb.Struct{Fields: map[string]*structpb.Value{
		attribute: structpb.NewStringValue(value),
	}}}
}

func (f *fixture) explain(r *controlv1.ExplainEvaluationRequest, sees func(string) bool) *controlv1.ExplainEvaluationResponse {
	f.t.Helper()
	r.Environment = production
	resp, err := f.ExplainEvaluation(f.ctx, r, Reader{Reads: sees})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp
}

// targetedFlag serves off to staff, what an expression says to those of a plan, else a split.
func targetedFlag() *flagv1.Flag {
	flag := inSegment(boolFlag("checkout", "parent"), "staff")
	flag.Rules[0].Description = "staff first"
	flag.Rules = append(flag.Rules, &flagv1.Rule{
		Id: "plan", Expression: parseValue(`{"==": [{"var": "plan"}, "pro"]}`),
		Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Expression{Expression: parseValue(`{"if": [{"var": "plan"}, "on", null]}`)}},
	})
	flag.DefaultOutcome = splitFlag("", 30).GetDefaultOutcome()
	flag.GetDefaultOutcome().GetSplit().Salt = proto.String("salty")
	return flag
}

func TestExplainEvaluation(t *testing.T) {
	f, _ := newFixture(t)
	f.createSegment("staff", "ann")
	f.create(boolFlag("parent"))
	revision := f.create(targetedFlag()).GetFlag().GetRevision()

	got := f.explain(&controlv1.ExplainEvaluationRequest{FlagKey: "checkout", Context: subject("ann", "plan", "free")}, nil)
	x := got.GetExplanation()
	if a := got.GetAnswer(); a.GetVariant() != "off" || a.GetValue().GetBoolValue() || a.GetReason() != "TARGETING_MATCH" || a.GetRule() != "in-staff" {
		t.Errorf("to ann: %v", a)
	}
	if x.GetDecided() != controlv1.FlagExplanation_DECIDED_RULE || x.GetRevision() != revision || len(x.GetRules()) != 1 || got.GetEnvironmentRevision() < revision {
		t.Errorf("to ann: %v", x)
	}
	r := x.GetRules()[0]
	if s := r.GetClauses()[0].GetSegments()[0]; s.GetMembership() != controlv1.SegmentExplanation_MEMBERSHIP_INCLUDED || s.GetKey().GetStringValue() != "ann" {
		t.Errorf("why ann is staff: %v", s)
	}
	if r.GetDescription() != "staff first" || r.GetClauses()[0].GetClause().GetOperator() != flagv1.Operator_OPERATOR_IN_SEGMENT {
		t.Errorf("the rule: %v", r)
	}
	if p := x.GetPrerequisites()[0]; !p.GetHeld() || p.GetFlag().GetDecided() != controlv1.FlagExplanation_DECIDED_DEFAULT || p.GetFlag().GetServed() != "on" {
		t.Errorf("the prerequisite: %v", p)
	}

	x = f.explain(&controlv1.ExplainEvaluationRequest{FlagKey: "checkout", Context: subject("bob", "plan", "pro")}, nil).GetExplanation()
	r = x.GetRules()[1]
	if e := r.GetExpression(); !e.GetResult().GetBoolValue() || e.GetAttributes()["plan"].GetStringValue() != "pro" || e.GetExpression() == nil {
		t.Errorf("the condition: %v", e)
	}
	if o := r.GetOutcome(); !r.GetMatched() || o.GetResult().GetStringValue() != "on" {
		t.Errorf("the outcome: %v", o)
	}

	x = f.explain(&controlv1.ExplainEvaluationRequest{FlagKey: "checkout", Context: subject("bob", "plan", "free")}, nil).GetExplanation()
	s := x.GetSplit()
	if x.GetDecided() != controlv1.FlagExplanation_DECIDED_DEFAULT || s.GetSalt() != "salty" || s.GetTotal() != 100 || s.GetVariant() != x.GetServed() ||
		s.GetBucket() != uint64(s.GetHash())*100>>32 || len(s.GetRanges()) != 2 || s.GetValue().GetStringValue() != "bob" {
		t.Errorf("the split: %v", s)
	}
}

// What is proposed is explained, and changes nothing.
func TestExplainProposals(t *testing.T) {
	f, _ := newFixture(t)
	f.create(boolFlag("parent"))
	before := f.get("parent").GetRevision()
	disabled := boolFlag("parent")
	disabled.Enabled = false
	request := &controlv1.ExplainEvaluationRequest{
		Flag: targetedFlag(), Segments: []*flagv1.Segment{{Key: "staff", Rules: []*flagv1.SegmentRule{{Clauses: []*flagv1.Clause{{
			Attribute: "$tidegate.weekday", Operator: flagv1.Operator_OPERATOR_IN, Values: []*structpb.Value{structpb.NewNumberValue(4)},
		}}}}}},
		Context: subject("bob", "a", "b"), Time: timestamppb.New(f.now().AddDate(0, 0, 4)), // a Thursday
	}
	got := f.explain(request, nil)
	if got.GetAnswer().GetRule() != "in-staff" {
		t.Errorf("on a Thursday: %v", got)
	}
	request.Time = nil
	if got := f.explain(request, nil); got.GetAnswer().GetReason() != "SPLIT" {
		t.Errorf("on a Sunday: %v", got)
	}
	if got := f.explain(&controlv1.ExplainEvaluationRequest{Flag: disabled}, nil); got.GetAnswer().GetReason() != "DISABLED" || got.GetExplanation().GetRevision() != 0 {
		t.Errorf("disabled: %v", got)
	}
	if f.get("parent").GetRevision() != before {
		t.Error("the flag was written")
	}
	if got := f.explain(&controlv1.ExplainEvaluationRequest{FlagKey: "none"}, nil); got.GetAnswer().GetErrorCode() != "FLAG_NOT_FOUND" ||
		got.GetExplanation().GetDecided() != controlv1.FlagExplanation_DECIDED_NOT_FOUND {
		t.Errorf("of no flag: %v", got)
	}
}

// Who may not read a flag or a segment learns nothing of how they came to what they say.
func TestExplainHidesWhatMayNotBeRead(t *testing.T) {
	f, _ := newFixture(t)
	f.createSegment("staff", "ann")
	f.create(boolFlag("parent"))
	f.create(targetedFlag())
	got := f.explain(&controlv1.ExplainEvaluationRequest{FlagKey: "checkout", Context: subject("ann", "a", "b")},
		func(key string) bool { return key == "checkout" }).GetExplanation()
	want := &controlv1.FlagExplanation{FlagKey: "parent", Served: "on", Decided: controlv1.FlagExplanation_DECIDED_HIDDEN}
	if p := got.GetPrerequisites()[0].GetFlag(); !proto.Equal(p, want) {
		t.Errorf("the prerequisite: %v", p)
	}
	hidden := &controlv1.SegmentExplanation{SegmentKey: "staff", Belongs: true, Membership: controlv1.SegmentExplanation_MEMBERSHIP_HIDDEN}
	if s := got.GetRules()[0].GetClauses()[0].GetSegments()[0]; !proto.Equal(s, hidden) {
		t.Errorf("the segment: %v", s)
	}
}

// A flag that cannot be used as it is stored is explained as the version that is in force.
func TestExplainWhatIsInForce(t *testing.T) {
	f, s := newFixture(t)
	f.createSegment("staff", "ann")
	f.create(boolFlag("parent"))
	f.create(targetedFlag())
	broken := boolFlag("checkout")
	broken.OffVariant = "no such variant"
	data, err := marshal(broken)
	if err != nil {
		t.Fatal(err)
	}
	putRaw(t, s, flagNamed(production, "checkout").stateKey(), data)
	got := f.explain(&controlv1.ExplainEvaluationRequest{FlagKey: "checkout", Context: subject("ann", "a", "b")}, nil)
	if got.GetAnswer().GetRule() != "in-staff" || got.GetExplanation().GetRules()[0].GetDescription() != "staff first" {
		t.Errorf("got %v", got)
	}
}

func TestExplainRefuses(t *testing.T) {
	f, _ := newFixture(t)
	bad := boolFlag("a")
	bad.OffVariant = "none"
	for _, c := range []struct {
		request *controlv1.ExplainEvaluationRequest
		says    []string
	}{
		{&controlv1.ExplainEvaluationRequest{}, []string{"environment: is required", "flag_key: is required"}},
		{&controlv1.ExplainEvaluationRequest{Environment: production, FlagKey: "a", Flag: boolFlag("a")}, []string{"flag_key: is given beside flag"}},
		{
			&controlv1.ExplainEvaluationRequest{
				Environment: production, Flag: bad, Segments: []*flagv1.Segment{{Key: "?"}}, Region: strings.Repeat("x", 300), Time: &timestamppb.Timestamp{Nanos: -1},
			},
			[]string{"flag.off_variant", "segments[0].key", "region: takes 300 bytes", "time: is not a time"},
		},
		{
			&controlv1.ExplainEvaluationRequest{Environment: production, FlagKey: "a", Segments: make([]*flagv1.Segment, 65)},
			[]string{"segments: there are 65", "segments[0]: is required"},
		},
	} {
		_, err := f.ExplainEvaluation(f.ctx, c.request, Reader{})
		mentions(t, as[*InvalidError](t, err), c.says...)
	}
	_, err := f.ExplainEvaluation(f.ctx, &controlv1.ExplainEvaluationRequest{Environment: "nowhere", FlagKey: "a"}, Reader{})
	wants[*NotFoundError](t, err)
}
