package series

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Point is what a series keeps of an assessment, made of a rollout with that status.
func Point(at time.Time, status *rolloutv1.Status, a *rolloutv1.Assessment) *controlv1.SeriesPoint {
	p := &controlv1.SeriesPoint{
		Time: timestamppb.New(at), Step: status.GetStep(), Stage: status.GetStage(), Weight: status.GetWeight(), State: status.GetState(),
		SampleRatioLogE: float32(a.GetSampleRatio().GetLogE()), Traffic: float32(a.GetTraffic()),
	}
	for _, g := range a.GetGuardrails() {
		p.Guardrails = append(p.Guardrails, guardrailPoint(g))
	}
	if s := a.GetSuccess(); s != nil {
		p.Success = &controlv1.SuccessPoint{
			Verdict: s.GetVerdict(), Estimate: short(s.Estimate), Lower: short(s.Lower), Upper: short(s.Upper), Units: s.GetUnits(),
		}
	}
	return p
}

func guardrailPoint(g *rolloutv1.GuardrailAssessment) *controlv1.GuardrailPoint {
	p := &controlv1.GuardrailPoint{
		Standing: g.GetStanding(), Estimate: short(g.Estimate), Lower: short(g.Lower), Upper: short(g.Upper),
		Limit: float32(g.GetLimit()), PromotionLimit: float32(g.GetPromotionLimit()),
		LogE: short(g.LogE), GateLogE: short(g.GateLogE), Counts: g.GetCounts(),
	}
	if p.Counts == nil { // else they are shares of them
		p.TreatmentValue, p.ControlValue = short(g.TreatmentValue), short(g.ControlValue)
	}
	return p
}

// short rounds a figure that is there.
func short(x *float64) *float32 {
	if x == nil {
		return nil
	}
	return proto.Float32(float32(*x))
}

// scalesOf is what does not change from point to point.
func scalesOf(a *rolloutv1.Assessment) (scales []*controlv1.GuardrailScale) {
	for _, g := range a.GetGuardrails() {
		scales = append(scales, &controlv1.GuardrailScale{
			Name: g.GetName(), Comparison: g.GetComparison(), LogThreshold: g.GetLogThreshold(), GateLogThreshold: g.GetGateLogThreshold(),
		})
	}
	return scales
}

// counted tells whether anything was counted that an assessment is made of.
func counted(a *rolloutv1.Assessment) bool {
	return a.GetTraffic() > 0 || a.GetSampleRatio().GetSubjects() > 0 || a.GetSuccess().GetUnits() > 0 ||
		slices.ContainsFunc(a.GetGuardrails(), func(g *rolloutv1.GuardrailAssessment) bool {
			return g.GetStanding() != rolloutv1.Standing_STANDING_NO_DATA
		})
}

// sameFigures tells whether two points differ by their times alone, or by the traffic, which is
// an average that falls as time goes by.
func sameFigures(a, b *controlv1.SeriesPoint) bool {
	if a == nil || b == nil {
		return a == b
	}
	timeless := proto.CloneOf(a)
	timeless.Time, timeless.Traffic = b.GetTime(), b.GetTraffic()
	return proto.Equal(timeless, b)
}
