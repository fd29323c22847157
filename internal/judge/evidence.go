package judge

import (
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// Evidence writes the state; Load reads it back bit for bit.
func (s *State) Evidence() *rolloutv1.Evidence {
	e := &rolloutv1.Evidence{
		Step: s.step, Stage: uint32(s.stage), Since: stamp(s.since), Counted: stamp(s.counted),
		TreatmentExposures: uint64(s.exposures[treatment]), ControlExposures: uint64(s.exposures[control]),
		SampleRatio: &rolloutv1.SampleRatioEvidence{
			Weight:    s.ratio.weight,
			Treatment: uint64(s.ratio.subjects[treatment]), Control: uint64(s.ratio.subjects[control]),
			TreatmentCounters: uint64(s.ratio.counters[treatment]), ControlCounters: uint64(s.ratio.counters[control]),
		},
		Refused: s.refused, Refusal: s.refusal,
	}
	if s.plan.success != nil {
		e.Success = s.success.proto()
	}
	for i := range s.guards {
		e.Guardrails = append(e.Guardrails, s.guards[i].proto(s.plan.guards[i]))
	}
	return e
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func (g *guardState) proto(plan *guard) *rolloutv1.GuardrailEvidence {
	e := &rolloutv1.GuardrailEvidence{Name: plan.name, Control: &rolloutv1.ControlLevel{
		RecentEvents: g.level.recent.events, RecentExposures: g.level.recent.exposures,
		BeforeEvents: g.level.before.events, BeforeExposures: g.level.before.exposures,
	}}
	for i := range g.segments {
		e.Segments = append(e.Segments, g.segments[i].proto(plan))
	}
	for _, st := range g.steps {
		e.Steps = append(e.Steps, &rolloutv1.StepCounts{Step: st.step, Counts: countsProto(st.counts)})
	}
	switch plan.kind {
	case kindCounts:
		e.Told = g.told
		e.TreatmentNotHappened, e.ControlNotHappened = uint64(g.notHappened[treatment]), uint64(g.notHappened[control])
	case kindMean:
		e.Difference = g.contrast.proto()
		e.Scale = &rolloutv1.MeanScale{Control: sampleProto(g.scale.control), Shifts: g.scale.shifts}
	case kindScore:
		e.Difference = g.contrast.proto()
	case kindQuantile:
		e.Quantile = &rolloutv1.QuantileEvidence{
			Frozen: g.quantile.frozen, ControlBin: int32(g.quantile.bins[control]), TreatmentBin: int32(g.quantile.bins[treatment]),
			Treatment: g.quantile.values[treatment].proto(), Control: g.quantile.values[control].proto(),
		}
	case kindDrift:
		for i := range g.labels {
			l := &g.labels[i]
			e.Labels = append(e.Labels, &rolloutv1.LabelCounts{Label: l.label, Treatment: uint64(l.counts[treatment]), Control: uint64(l.counts[control])})
		}
	}
	return e
}

func (s *segmentState) proto(plan *guard) *rolloutv1.SegmentEvidence {
	e := &rolloutv1.SegmentEvidence{Segment: s.name, Counts: countsProto(s.counts)}
	switch plan.kind {
	case kindCounts, kindQuantile:
		e.Steady, e.Onset = breakerProto(&s.steady), breakerProto(&s.onset)
		if s.name != "" {
			return e
		}
		e.Gate = gateProto(&s.gate)
		if plan.excess > 0 {
			e.ExcessGate = gateProto(&s.excess)
		}
	case kindMean:
		m := &s.mean
		e.Mean = &rolloutv1.MeanBreakerState{
			Windows: m.Windows, LogR: append([]float64(nil), m.LogR[:]...), LogPeak: m.LogPeak, W: m.W, V: m.V,
			TreatmentUnits: m.UnitsT, ControlUnits: m.UnitsC,
			TreatmentPending: sampleProto(m.PendingT), ControlPending: sampleProto(m.PendingC),
		}
	}
	return e
}

func breakerProto(s *guardrail.RateBreakerState) *rolloutv1.BreakerState {
	return &rolloutv1.BreakerState{Windows: s.Windows, LogR: append([]float64(nil), s.LogR[:]...), LogPeak: s.LogPeak}
}

func gateProto(s *guardrail.RateGateState) *rolloutv1.GateState {
	return &rolloutv1.GateState{Windows: s.Windows, LogR: append([]float64(nil), s.LogR[:]...)}
}

func countsProto(c guardrail.Counts) *rolloutv1.Counts {
	return &rolloutv1.Counts{
		TreatmentEvents: uint64(c.EventsT), ControlEvents: uint64(c.EventsC),
		TreatmentExposures: uint64(c.ExposuresT), ControlExposures: uint64(c.ExposuresC),
	}
}

func sampleProto(s guardrail.Sample) *rolloutv1.Sample {
	return &rolloutv1.Sample{Count: s.N, Sum: s.Sum, SumSquares: s.SumSq}
}

func (c *contrast) proto() *rolloutv1.DifferenceState {
	d := &c.difference
	return &rolloutv1.DifferenceState{
		U: d.U, W: d.W, V: d.V, TreatmentUnits: d.UnitsT, ControlUnits: d.UnitsC,
		WaitingTreatment: sampleProto(d.PendingT), WaitingControl: sampleProto(d.PendingC),
		TreatmentPending: sampleProto(c.pending[treatment]), ControlPending: sampleProto(c.pending[control]),
		TreatmentTotal: sampleProto(c.total[treatment]), ControlTotal: sampleProto(c.total[control]),
		Eta: c.eta,
	}
}

// Load reads evidence. Nil is that of a rollout of which nothing was counted. It returns an
// ErrEvidence for evidence of another rollout, and for numbers that no counting leads to: a
// NaN would blind a breaker for ever.
func (p *Plan) Load(e *rolloutv1.Evidence) (*State, error) {
	s := p.NewState()
	if e == nil {
		return s, nil
	}
	if len(e.GetGuardrails()) != len(p.guards) {
		return nil, fmt.Errorf("%w: it is of %d guardrails, the rollout has %d", ErrEvidence, len(e.GetGuardrails()), len(p.guards))
	}
	if int(e.GetStage()) >= len(p.stages) {
		return nil, fmt.Errorf("%w: it is of stage %d, the rollout has %d", ErrEvidence, e.GetStage(), len(p.stages))
	}
	var l loader
	s.step, s.stage = e.GetStep(), int(e.GetStage())
	s.since, s.counted = moment(e.GetSince()), moment(e.GetCounted())
	s.exposures = [2]int64{treatment: l.count(e.GetTreatmentExposures()), control: l.count(e.GetControlExposures())}
	s.ratio = l.ratio(e.GetSampleRatio())
	s.refused, s.refusal = e.GetRefused(), e.GetRefusal()
	s.success = l.contrast(e.GetSuccess())
	if p.success != nil {
		l.fail(p.success.build(&s.success))
	}
	for i, g := range p.guards {
		x := e.GetGuardrails()[i]
		if x.GetName() != g.name {
			return nil, fmt.Errorf("%w: its guardrail %d is '%s', that of the rollout '%s'", ErrEvidence, i, x.GetName(), g.name)
		}
		l.guard(&s.guards[i], x)
		l.fail(s.guards[i].build(g))
		if l.err != nil {
			return nil, fmt.Errorf("%w: guardrail '%s': %w", ErrEvidence, g.name, l.err)
		}
	}
	if l.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, l.err)
	}
	return s, nil
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// loader reads numbers, and remembers the first that cannot be.
type loader struct{ err error }

func (l *loader) fail(err error) {
	if l.err == nil && err != nil {
		l.err = err
	}
}

func (l *loader) count(n uint64) int64 {
	if n > guardrail.MaxCount {
		l.fail(fmt.Errorf("a count of %d: at most 2^53", n))
		return 0
	}
	return int64(n)
}

func (l *loader) ratio(e *rolloutv1.SampleRatioEvidence) ratio {
	r := ratio{
		weight:   e.GetWeight(),
		subjects: [2]int64{treatment: l.count(e.GetTreatment()), control: l.count(e.GetControl())},
		counters: [2]int64{treatment: l.count(e.GetTreatmentCounters()), control: l.count(e.GetControlCounters())},
	}
	if r.weight > fullWeight {
		l.fail(fmt.Errorf("a sample ratio at weight %d: at most %d", r.weight, fullWeight))
	}
	return r
}

// amount reads a sum that is not negative.
func (l *loader) amount(x float64) float64 {
	if !(x >= 0) || math.IsInf(x, 1) {
		l.fail(fmt.Errorf("a sum of %v: it must be finite, and not negative", x))
	}
	return x
}

func (l *loader) logs(into []float64, from []float64) {
	if from == nil {
		return // nothing was observed
	}
	if len(from) != len(into) {
		l.fail(fmt.Errorf("%d alternatives: there are %d", len(from), len(into)))
		return
	}
	copy(into, from)
}

func (l *loader) guard(g *guardState, e *rolloutv1.GuardrailEvidence) {
	if n := len(e.GetSegments()); n < 1 || n > maxSegments+1 {
		l.fail(fmt.Errorf("%d segments: between 1 and %d", n, maxSegments+1))
		return
	}
	if len(e.GetSteps()) > keptSteps || len(e.GetLabels()) > maxLabels+1 || len(e.GetScale().GetShifts()) > guardrail.MaxShifts {
		l.fail(fmt.Errorf("%d steps, %d labels, %d shifts: too many", len(e.GetSteps()), len(e.GetLabels()), len(e.GetScale().GetShifts())))
		return
	}
	g.segments = make([]segmentState, len(e.GetSegments()))
	for i, x := range e.GetSegments() {
		l.segment(&g.segments[i], x)
	}
	for _, x := range e.GetSteps() {
		g.steps = append(g.steps, stepCounts{step: x.GetStep(), counts: l.counts(x.GetCounts())})
	}
	g.told = e.GetTold()
	g.notHappened = [2]int64{treatment: l.count(e.GetTreatmentNotHappened()), control: l.count(e.GetControlNotHappened())}
	c := e.GetControl()
	g.level = level{
		recent: faded{l.amount(c.GetRecentEvents()), l.amount(c.GetRecentExposures())},
		before: faded{l.amount(c.GetBeforeEvents()), l.amount(c.GetBeforeExposures())},
	}
	g.contrast = l.contrast(e.GetDifference())
	g.scale.control = l.sample(e.GetScale().GetControl())
	for _, shift := range e.GetScale().GetShifts() {
		if !(shift > 0 && shift <= 1e60) {
			l.fail(fmt.Errorf("a shift of %v: it must be positive and finite", shift))
		}
		g.scale.shifts = append(g.scale.shifts, shift)
	}
	if g.scale.shifts != nil && g.contrast.eta == 0 {
		l.fail(errors.New("shifts without an eta"))
	}
	l.quantile(&g.quantile, e.GetQuantile())
	for i, x := range e.GetLabels() {
		if i > 0 && x.GetLabel() <= e.GetLabels()[i-1].GetLabel() {
			l.fail(fmt.Errorf("label '%s' is out of order", x.GetLabel()))
		}
		g.labels = append(g.labels, labelCount{label: x.GetLabel(), counts: [2]int64{treatment: l.count(x.GetTreatment()), control: l.count(x.GetControl())}})
	}
}

func (l *loader) segment(s *segmentState, e *rolloutv1.SegmentEvidence) {
	s.name = e.GetSegment()
	s.counts = l.counts(e.GetCounts())
	l.breaker(&s.steady, e.GetSteady())
	l.breaker(&s.onset, e.GetOnset())
	l.gate(&s.gate, e.GetGate())
	l.gate(&s.excess, e.GetExcessGate())
	if m := e.GetMean(); m != nil {
		s.mean = guardrail.MeanBreakerState{
			Windows: m.GetWindows(), LogPeak: m.GetLogPeak(), W: m.GetW(), V: m.GetV(),
			UnitsT: m.GetTreatmentUnits(), UnitsC: m.GetControlUnits(),
			PendingT: l.sample(m.GetTreatmentPending()), PendingC: l.sample(m.GetControlPending()),
		}
		l.logs(s.mean.LogR[:], m.GetLogR())
		l.fail(s.mean.Validate())
	}
}

func (l *loader) breaker(s *guardrail.RateBreakerState, e *rolloutv1.BreakerState) {
	s.Windows, s.LogPeak = e.GetWindows(), e.GetLogPeak()
	l.logs(s.LogR[:], e.GetLogR())
	l.fail(s.Validate())
}

func (l *loader) gate(s *guardrail.RateGateState, e *rolloutv1.GateState) {
	s.Windows = e.GetWindows()
	l.logs(s.LogR[:], e.GetLogR())
	l.fail(s.Validate())
}

func (l *loader) counts(e *rolloutv1.Counts) guardrail.Counts {
	return guardrail.Counts{
		EventsT: l.count(e.GetTreatmentEvents()), EventsC: l.count(e.GetControlEvents()),
		ExposuresT: l.count(e.GetTreatmentExposures()), ExposuresC: l.count(e.GetControlExposures()),
	}
}

func (l *loader) sample(e *rolloutv1.Sample) guardrail.Sample {
	s := guardrail.Sample{N: e.GetCount(), Sum: e.GetSum(), SumSq: e.GetSumSquares()}
	l.fail(s.Validate())
	return s
}

func (l *loader) contrast(e *rolloutv1.DifferenceState) contrast {
	c := contrast{
		difference: guardrail.DifferenceState{
			U: e.GetU(), W: e.GetW(), V: e.GetV(), UnitsT: e.GetTreatmentUnits(), UnitsC: e.GetControlUnits(),
			PendingT: l.sample(e.GetWaitingTreatment()), PendingC: l.sample(e.GetWaitingControl()),
		},
		pending: [2]guardrail.Sample{treatment: l.sample(e.GetTreatmentPending()), control: l.sample(e.GetControlPending())},
		total:   [2]guardrail.Sample{treatment: l.sample(e.GetTreatmentTotal()), control: l.sample(e.GetControlTotal())},
		eta:     l.amount(e.GetEta()),
	}
	if c.eta > 1e60 {
		l.fail(fmt.Errorf("an eta of %v: at most 1e60", c.eta))
	}
	l.fail(c.difference.Validate())
	return c
}

func (l *loader) quantile(q *quantileState, e *rolloutv1.QuantileEvidence) {
	for _, bin := range [...]int32{e.GetTreatmentBin(), e.GetControlBin()} {
		if bin < -lastBin || bin > lastBin {
			l.fail(fmt.Errorf("an edge at bin %d: at most %d", bin, lastBin))
		}
	}
	q.frozen = e.GetFrozen()
	q.bins = [2]int{treatment: int(e.GetTreatmentBin()), control: int(e.GetControlBin())}
	for arm, p := range [...]*telemetryv1.Sketch{treatment: e.GetTreatment(), control: e.GetControl()} {
		if problem := checkSketch(p, guardrail.MaxCount); problem != "" {
			l.fail(errors.New(problem))
			return
		}
		var stored sketch
		stored.addProto(p)
		q.values[arm].absorb(&stored)
	}
}
