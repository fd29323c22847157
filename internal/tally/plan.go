package tally

import (
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/eval"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// totalWeight is what the weights of a rollout's split add up to.
const totalWeight = 10_000

// plan is the part of a rollout that does not change: what is counted.
type plan struct {
	key, flagKey, rule string
	control, treatment string // variants
	byRequest          bool   // its unit is the request
	metrics            []metric
	byName             map[string]int // into metrics
	dimensions         []dimension
}

// metric is one that guardrails, or the success metric, watch.
type metric struct {
	name   string
	kinds  kind // that are taken
	sketch bool // a quantile of it is watched
	// observations: what happens is a share of them somewhere.
	observations bool
	labels       *names
	dimension    int // by which it is watched as well; -1: none
}

// dimension is an attribute by whose values something is watched.
type dimension struct {
	attribute string
	path      eval.Path
	values    *names
}

// kind is a set of kinds of observations.
type kind uint8

const (
	kindHappened kind = 1 << iota
	kindNumber
	kindDuration
	kindOutcome
	kindValue = kindNumber | kindDuration
)

// kindOf is what a statistic is computed from; 0: it is not known.
func kindOf(s rolloutv1.Statistic) kind {
	switch s {
	case rolloutv1.Statistic_STATISTIC_RATE:
		return kindHappened
	case rolloutv1.Statistic_STATISTIC_MEAN, rolloutv1.Statistic_STATISTIC_QUANTILE:
		return kindValue
	case rolloutv1.Statistic_STATISTIC_MISPREDICTION, rolloutv1.Statistic_STATISTIC_F1,
		rolloutv1.Statistic_STATISTIC_FALSE_DISCOVERY, rolloutv1.Statistic_STATISTIC_MISS,
		rolloutv1.Statistic_STATISTIC_DRIFT:
		return kindOutcome
	}
	return 0
}

// bounds of what a rollout may have; see rollout.proto.
const maxGuardrails = 32

var errPlan = errors.New("it cannot be counted")

// newPlan compiles what does not change of a rollout. It refuses what it would count wrongly;
// whether the rollout makes sense otherwise is for the control plane.
func newPlan(r *rolloutv1.Rollout) (*plan, error) {
	p := &plan{
		key: r.GetKey(), flagKey: r.GetFlagKey(), rule: r.GetRule(),
		control: r.GetControl(), treatment: r.GetTreatment(),
		byRequest: r.GetUnit() == rolloutv1.Unit_UNIT_REQUEST,
		byName:    map[string]int{},
	}
	if p.control == p.treatment {
		return nil, fmt.Errorf("%w: its control and its treatment are the same variant, %q", errPlan, p.control)
	}
	if n := len(r.GetGuardrails()); n > maxGuardrails {
		return nil, fmt.Errorf("%w: it has %d guardrails; at most %d", errPlan, n, maxGuardrails)
	}
	for _, g := range r.GetGuardrails() {
		if err := p.watch(g.GetMetric(), g.GetStatistic(), g.GetSegmentBy(), g.GetDenominator()); err != nil {
			return nil, fmt.Errorf("%w: guardrail %q: %w", errPlan, g.GetName(), err)
		}
	}
	if s := r.GetSuccess(); s != nil {
		if err := p.watch(s.GetMetric(), s.GetStatistic(), "", s.GetDenominator()); err != nil {
			return nil, fmt.Errorf("%w: success metric: %w", errPlan, err)
		}
	}
	return p, nil
}

func (p *plan) watch(name string, s rolloutv1.Statistic, segmentBy string, of rolloutv1.Denominator) error {
	k := kindOf(s)
	if k == 0 || name == "" {
		return fmt.Errorf("statistic %s of the metric %q is not known here", s, name)
	}
	at, known := p.byName[name]
	if !known {
		at = len(p.metrics)
		p.byName[name] = at
		p.metrics = append(p.metrics, metric{name: name, dimension: -1})
	}
	m := &p.metrics[at]
	m.kinds |= k
	m.observations = m.observations || of == rolloutv1.Denominator_DENOMINATOR_OBSERVATIONS
	m.sketch = m.sketch || s == rolloutv1.Statistic_STATISTIC_QUANTILE
	if k == kindOutcome && m.labels == nil {
		m.labels = newNames(maxLabels)
	}
	if segmentBy == "" {
		return nil
	}
	d, err := p.dimension(segmentBy)
	switch {
	case err != nil:
		return err
	case m.dimension >= 0 && m.dimension != d:
		return fmt.Errorf("the metric %q is watched by %q already; a metric can be watched by one attribute",
			name, p.dimensions[m.dimension].attribute)
	}
	m.dimension = d
	return nil
}

// dimension returns the number of an attribute's dimension.
func (p *plan) dimension(attribute string) (int, error) {
	for i := range p.dimensions {
		if p.dimensions[i].attribute == attribute {
			return i, nil
		}
	}
	path, err := eval.NewPath(attribute, p.flagKey)
	if err != nil {
		return 0, err
	}
	p.dimensions = append(p.dimensions, dimension{attribute: attribute, path: path, values: newNames(maxSegments)})
	return len(p.dimensions) - 1, nil
}

// segment is the number of the segment that a context belongs to; ok is false if it lacks the
// attribute.
func (d *dimension) segment(ctx *eval.Context) (number int, ok bool) {
	if ctx == nil {
		return 0, false
	}
	var room [maxText + 1]byte
	text, ok := d.path.AppendText(room[:0], ctx)
	if !ok || len(text) == 0 {
		return 0, false
	}
	return d.values.numberOf(text), true
}

// weightOf checks that a split is the plan's, treatment first, and returns the weight of the
// treatment.
func (p *plan) weightOf(s eval.Split) (weight uint64, err error) {
	if s.Total != totalWeight {
		return 0, fmt.Errorf("%w: the weights of its split add up to %d, not %d", errPlan, s.Total, totalWeight)
	}
	shares := s.Shares
	if len(shares) > 0 && shares[0].Variant.Name == p.treatment {
		weight, shares = shares[0].Weight, shares[1:]
	}
	if len(shares) > 1 || len(shares) == 1 && shares[0].Variant.Name != p.control {
		return 0, fmt.Errorf("%w: its split is not one of %q, then %q", errPlan, p.treatment, p.control)
	}
	return weight, nil
}
