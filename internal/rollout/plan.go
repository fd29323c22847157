package rollout

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// Plan is a stored rollout in the form that it is judged by. It is shared: nothing of it may be
// modified.
type Plan struct {
	// Rollout is complete: nothing is left to a default.
	Rollout    *rolloutv1.Rollout
	Stages     []Stage
	Guardrails []Guardrail
	// Bake is how long the last stage is watched.
	Bake time.Duration
	// EdgeAfter is how long the state of a relay must not have been confirmed before it judges
	// by itself; 0: it never does.
	EdgeAfter time.Duration
}

// Stage is one stage.
type Stage struct {
	// Weight in force, of [TotalWeight]: what the holdback keeps is taken off.
	Weight   uint32
	MinDwell time.Duration
	Manual   bool
}

// Guardrail is one guardrail with its part of the budget.
type Guardrail struct {
	*rolloutv1.Guardrail
	// Alpha is the greatest probability that this guardrail shuts the rollout although it is
	// not violated: its weighted part of the budget (Bonferroni). 0 for one that only holds.
	Alpha float64
}

// Compile makes the plan of a rollout. A rollout that [Check] finds fault with is an error.
func Compile(r *rolloutv1.Rollout) (*Plan, error) {
	if errs := Check(withoutStatus(r)); len(errs) > 0 {
		return nil, fmt.Errorf("rollout %q: %w", r.GetKey(), errs)
	}
	r = Complete(r)
	p := &Plan{Rollout: r, Bake: r.GetBake().AsDuration()}
	if !r.GetEdgeBreaker().GetDisabled() {
		p.EdgeAfter = r.GetEdgeBreaker().GetAfter().AsDuration()
	}
	for i, s := range r.GetStages() {
		p.Stages = append(p.Stages, Stage{Weight: StageWeight(r, i), MinDwell: s.GetMinDwell().AsDuration(), Manual: s.GetManual()})
	}
	sum := 0.0
	for _, g := range r.GetGuardrails() {
		if shuts(g) {
			sum += g.GetWeight()
		}
	}
	for _, g := range r.GetGuardrails() {
		compiled := Guardrail{Guardrail: g}
		if shuts(g) {
			compiled.Alpha = r.GetFalseRollbackBudget() * (g.GetWeight() / sum)
		}
		p.Guardrails = append(p.Guardrails, compiled)
	}
	return p, nil
}

// PromotionRatio is the ratio that must be disproved before a stage is left; 0: the guardrail
// has none.
func (g Guardrail) PromotionRatio(stage int) float64 {
	ratios := g.GetPromotionRatios()
	if len(ratios) == 0 {
		return 0
	}
	return ratios[min(stage, len(ratios)-1)]
}

func shuts(g *rolloutv1.Guardrail) bool {
	return g.GetAction() == rolloutv1.Action_ACTION_ROLLBACK
}

func withoutStatus(r *rolloutv1.Rollout) *rolloutv1.Rollout {
	if r.GetStatus() == nil {
		return r
	}
	r = proto.CloneOf(r)
	r.Status = nil
	return r
}
