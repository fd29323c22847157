package judge

import (
	"errors"
	"fmt"
	"time"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

var (
	// ErrRollout says of a rollout that it cannot be judged by.
	ErrRollout = errors.New("judge: bad rollout")
	// ErrEvidence says of evidence that it was stored or sent wrongly, or is of another
	// rollout.
	ErrEvidence = errors.New("judge: bad evidence")
)

// fullWeight is the weight of all subjects.
const fullWeight = 10_000

// What is true of every rollout. The probabilities are of a whole rollout.
const (
	defaultBudget = 0.01
	// sampleRatioShare is what of the budget may be spent on rollbacks because the treatment
	// loses subjects: far less than a guardrail's, because a lack has other reasons as well.
	sampleRatioShare = 0.01
	// edgeShare is what of a guardrail's budget the relays share that are cut off.
	edgeShare = 0.1
	// gateAlpha is the probability that one gate lets harm of its size through, per step.
	gateAlpha = 0.05
	// tail is what of a breaker's stake is kept for the time beyond the horizon.
	tail = 0.1
	// onsetWindows is how soon after a step's begin the harm is expected that the step brings
	// to light: relays apply it within seconds, and subjects come by; onsetTail is the stake
	// for what takes longer.
	onsetWindows = 30
	onsetTail    = 0.3
)

// Plan is what a rollout says, compiled: stages, thresholds, tests, tunings. It does not
// depend on the rollout's status. It is immutable and safe for concurrent use.
type Plan struct {
	key      string
	strategy rolloutv1.Strategy
	unit     rolloutv1.Unit
	stages   []stage
	bake     time.Duration
	guards   []*guard
	success  *success // nil: none
	// sampleRatio is the budget of rollbacks for a lack of subjects, of all steps.
	sampleRatio float64
}

type stage struct {
	weight   uint32
	minDwell time.Duration
	manual   bool
}

// Compile prepares a rollout for being judged by. Fields that are not set have the defaults
// that rollout.proto names. It returns an ErrRollout that names the field; what concerns the
// flag, and text for people, it does not look at.
func Compile(r *rolloutv1.Rollout) (*Plan, error) {
	p := &Plan{key: r.GetKey(), strategy: r.GetStrategy(), unit: r.GetUnit(), bake: r.GetBake().AsDuration()}
	if err := p.compileStages(r); err != nil {
		return nil, err
	}
	budget := r.GetFalseRollbackBudget()
	if budget == 0 {
		budget = defaultBudget
	}
	if !(budget > 0 && budget <= 0.2) {
		return nil, badRollout("false_rollback_budget", budget, "above 0, at most 0.2")
	}
	p.sampleRatio = budget * sampleRatioShare
	if err := p.compileGuards(r, budget*(1-sampleRatioShare)); err != nil {
		return nil, err
	}
	if r.GetSuccess() != nil {
		s, err := compileSuccess(r.GetSuccess())
		if err != nil {
			return nil, err
		}
		p.success = s
	}
	return p, nil
}

func badRollout(field string, got any, want string) error {
	return fmt.Errorf("%w: %s is %v: it must be %s", ErrRollout, field, got, want)
}

func (p *Plan) compileStages(r *rolloutv1.Rollout) error {
	if n := len(r.GetStages()); n == 0 || n > 32 {
		return badRollout("the number of stages", n, "between 1 and 32")
	}
	if r.GetHoldback() > 2000 {
		return badRollout("holdback", r.GetHoldback(), "at most 2000")
	}
	for i, s := range r.GetStages() {
		field := fmt.Sprintf("stages[%d]", i)
		if s.GetWeight() > fullWeight {
			return badRollout(field+".weight", s.GetWeight(), "at most 10000")
		}
		if i > 0 && s.GetWeight() <= r.GetStages()[i-1].GetWeight() {
			return badRollout(field+".weight", s.GetWeight(), "above that of the stage before")
		}
		dwell := s.GetMinDwell().AsDuration()
		if dwell < time.Second {
			return badRollout(field+".min_dwell", dwell, "at least 1s")
		}
		p.stages = append(p.stages, stage{
			weight:   min(s.GetWeight(), fullWeight-r.GetHoldback()),
			minDwell: dwell,
			manual:   s.GetManual(),
		})
	}
	last := p.stages[len(p.stages)-1]
	if p.bake == 0 {
		p.bake = last.minDwell
	}
	if p.bake < 0 {
		return badRollout("bake", p.bake, "not negative")
	}
	if n := len(p.stages); n > 1 && p.stages[n-2].weight >= last.weight {
		return badRollout("holdback", r.GetHoldback(), fmt.Sprintf("below %d: the last stage must be above the one before", fullWeight-r.GetStages()[n-2].GetWeight()))
	}
	return nil
}

// horizon is how many windows the rollout should take: three times what its dwells ask for.
func (p *Plan) horizon() int64 {
	sum := p.bake
	for _, s := range p.stages {
		sum += s.minDwell
	}
	return min(max(3*int64(sum/time.Second), 600), 1<<30)
}

// dwell is how long the stage must be watched before it is left.
func (p *Plan) dwell(stage int) time.Duration {
	if stage == len(p.stages)-1 {
		return max(p.bake, p.stages[stage].minDwell)
	}
	return p.stages[stage].minDwell
}

func (p *Plan) compileGuards(r *rolloutv1.Rollout, budget float64) error {
	if len(r.GetGuardrails()) > 32 {
		return badRollout("the number of guardrails", len(r.GetGuardrails()), "at most 32")
	}
	names := map[string]bool{}
	var weights []float64
	var shared []*guard
	for i, g := range r.GetGuardrails() {
		if names[g.GetName()] || g.GetName() == "" {
			return badRollout(fmt.Sprintf("guardrails[%d].name", i), fmt.Sprintf("'%s'", g.GetName()), "set, and unique")
		}
		names[g.GetName()] = true
		c, err := compileGuard(g, p.horizon(), p.stages)
		if err != nil {
			return fmt.Errorf("guardrail '%s': %w", g.GetName(), err)
		}
		p.guards = append(p.guards, c)
		if c.shuts() {
			weight := g.GetWeight()
			if weight == 0 {
				weight = 1
			}
			weights = append(weights, weight)
			shared = append(shared, c)
		}
	}
	if len(shared) == 0 {
		return nil
	}
	alphas, err := guardrail.Allocate(budget, weights)
	if err != nil {
		return fmt.Errorf("%w: the weights of the guardrails: %w", ErrRollout, err)
	}
	edge := !r.GetEdgeBreaker().GetDisabled()
	for i, g := range shared {
		alpha := alphas[i]
		if edge {
			g.edgeLogThreshold = guardrail.LogThreshold(alpha * edgeShare)
			alpha *= 1 - edgeShare
		}
		g.logThreshold = guardrail.LogThreshold(alpha)
		g.alpha = alpha
	}
	return nil
}
