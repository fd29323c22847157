package tally_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
)

// start is when everything in these tests begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// site is an environment, and who counts in it.
type site struct {
	tb       testing.TB
	snapshot *snapshot.Snapshot
	revision int64
	tally    *tally.Tally
	now      time.Time
	rollouts map[string]*rolloutv1.Rollout
}

func newSite(tb testing.TB, o tally.Options) *site {
	tb.Helper()
	o.Environment = "production"
	t, err := tally.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	s := &site{
		tb: tb, tally: t, now: start, rollouts: map[string]*rolloutv1.Rollout{},
		snapshot: snapshot.New("production", snapshot.Epoch{Counter: 1}),
	}
	t.Turn(start)
	return s
}

// apply publishes items, and deletes.
func (s *site) apply(messages ...proto.Message) error {
	s.revision++
	var puts []snapshot.Item
	for _, m := range messages {
		data, err := proto.Marshal(m)
		if err != nil {
			s.tb.Fatal(err)
		}
		item := snapshot.Item{ModRevision: s.revision, Data: data}
		switch m := m.(type) {
		case *flagv1.Flag:
			item.Kind, item.Key = syncv1.Kind_KIND_FLAG, m.GetKey()
		case *rolloutv1.Rollout:
			item.Kind, item.Key = syncv1.Kind_KIND_ROLLOUT, m.GetKey()
		}
		puts = append(puts, item)
	}
	s.snapshot, _ = s.snapshot.Next(s.revision, puts, nil)
	return s.tally.Apply(s.snapshot, s.now)
}

func (s *site) delete(kind syncv1.Kind, key string) error {
	s.revision++
	s.snapshot, _ = s.snapshot.Next(s.revision, nil, []snapshot.ID{{Kind: kind, Key: key}})
	return s.tally.Apply(s.snapshot, s.now)
}

func (s *site) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

// begin starts a rollout of a flag of its own, at a weight.
func (s *site) begin(r *rolloutv1.Rollout, weight uint32) {
	s.tb.Helper()
	r.FlagKey, r.Control, r.Treatment = "flag-"+r.GetKey(), "off", "on"
	r.Status = &rolloutv1.Status{State: rolloutv1.State_STATE_RUNNING, StartedAt: timestamppb.New(s.now)}
	s.rollouts[r.GetKey()] = r
	s.widen(r.GetKey(), weight)
}

// beginAll starts many rollouts at once.
func (s *site) beginAll(rollouts []*rolloutv1.Rollout, weight uint32) {
	s.tb.Helper()
	var all []proto.Message
	for _, r := range rollouts {
		r.FlagKey, r.Control, r.Treatment = "flag-"+r.GetKey(), "off", "on"
		r.Status = &rolloutv1.Status{
			State: rolloutv1.State_STATE_RUNNING, StartedAt: timestamppb.New(s.now), Step: 1, Weight: weight,
			Steps: []*rolloutv1.Step{{Step: 1, Weight: weight, BeganAt: timestamppb.New(s.now)}},
		}
		s.rollouts[r.GetKey()] = r
		all = append(all, r, splitFlag(r.GetFlagKey(), weight))
	}
	s.must(s.apply(all...))
}

// widen makes a new step of a rollout, and writes its flag.
func (s *site) widen(key string, weight uint32) {
	s.tb.Helper()
	r := s.rollouts[key]
	status := r.GetStatus()
	status.Step++
	status.Weight = weight
	status.Steps = append(status.Steps, &rolloutv1.Step{Step: status.GetStep(), Weight: weight, BeganAt: timestamppb.New(s.now)})
	s.must(s.apply(r, splitFlag(r.GetFlagKey(), weight)))
}

// finish ends a rollout.
func (s *site) finish(key string, state rolloutv1.State) {
	s.tb.Helper()
	s.rollouts[key].Status.State = state
	s.must(s.apply(s.rollouts[key]))
}

func splitFlag(key string, weight uint32) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, OffVariant: "off",
		Variants: []*flagv1.Variant{
			{Name: "off", Value: structpb.NewBoolValue(false)}, {Name: "on", Value: structpb.NewBoolValue(true)},
		},
		Rules: []*flagv1.Rule{{
			Id: "guests", Clauses: []*flagv1.Clause{{
				Attribute: "guest", Operator: flagv1.Operator_OPERATOR_IN, Values: []*structpb.Value{structpb.NewBoolValue(true)},
			}},
			Outcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
		}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{Variants: []*flagv1.WeightedVariant{
			{Variant: "on", Weight: weight}, {Variant: "off", Weight: 10_000 - weight},
		}}}},
	}
}

// guardrails watch a metric of each statistic, of the statistic's name.
func guardrails() []*rolloutv1.Guardrail {
	var list []*rolloutv1.Guardrail
	for _, s := range []rolloutv1.Statistic{
		rolloutv1.Statistic_STATISTIC_RATE, rolloutv1.Statistic_STATISTIC_MEAN,
		rolloutv1.Statistic_STATISTIC_QUANTILE, rolloutv1.Statistic_STATISTIC_F1,
	} {
		name := map[rolloutv1.Statistic]string{
			rolloutv1.Statistic_STATISTIC_RATE: "errors", rolloutv1.Statistic_STATISTIC_MEAN: "cost",
			rolloutv1.Statistic_STATISTIC_QUANTILE: "latency", rolloutv1.Statistic_STATISTIC_F1: "fraud",
		}[s]
		list = append(list, &rolloutv1.Guardrail{Name: name, Metric: name, Statistic: s})
	}
	return list
}

func (s *site) expose(flag, user string) *eval.Variant {
	ctx := &eval.Context{TargetingKey: user}
	r := s.snapshot.Eval().Evaluate(flag, ctx)
	s.tally.Exposed(&r, ctx)
	return r.Variant
}

// observe tells what was observed of a user.
func (s *site) observe(user string, observations ...*telemetryv1.Observation) []*telemetryv1.Refusal {
	_, refusals := s.tally.Observe(&tally.Event{Context: &eval.Context{TargetingKey: user}, Observations: observations}, s.now)
	return refusals
}

// cut lets a second pass and cuts.
func (s *site) cut() []*telemetryv1.Batch {
	s.now = s.now.Add(time.Second)
	return s.tally.Cut(s.now)
}

func failed(metric string) *telemetryv1.Observation {
	return &telemetryv1.Observation{Metric: metric, Value: &telemetryv1.Observation_Happened{Happened: true}}
}

func number(metric string, v float64) *telemetryv1.Observation {
	return &telemetryv1.Observation{Metric: metric, Value: &telemetryv1.Observation_Number{Number: v}}
}

func took(metric string, d time.Duration) *telemetryv1.Observation {
	return &telemetryv1.Observation{Metric: metric, Value: &telemetryv1.Observation_Duration{Duration: durationpb.New(d)}}
}

func outcome(metric string, o *telemetryv1.Outcome) *telemetryv1.Observation {
	return &telemetryv1.Observation{Metric: metric, Value: &telemetryv1.Observation_Outcome{Outcome: o}}
}

// place names a cell.
type place struct {
	rollout string
	step    uint64
	arm     telemetryv1.Arm
}

const (
	inControl   = telemetryv1.Arm_ARM_CONTROL
	inTreatment = telemetryv1.Arm_ARM_TREATMENT
)

// ledger adds up batches as a collector does, and checks their accounts.
type ledger struct {
	tb                     testing.TB
	cells                  map[place]*telemetryv1.Cell
	metrics                map[place]map[string]*telemetryv1.MetricCell // by metric/segment
	evaluations            map[string]uint64                            // by flag/variant
	emitted, counted, lost uint64
	completeTo             time.Time
}

func newLedger(tb testing.TB) *ledger {
	return &ledger{
		tb: tb, cells: map[place]*telemetryv1.Cell{}, evaluations: map[string]uint64{},
		metrics: map[place]map[string]*telemetryv1.MetricCell{},
	}
}

func (l *ledger) add(batches ...*telemetryv1.Batch) *ledger {
	l.tb.Helper()
	for _, b := range batches {
		if err := batchcheck.Batch(b); err != nil {
			l.tb.Fatalf("the collector would refuse a batch: %v", err)
		}
		var counted uint64
		for _, w := range b.GetWindows() {
			seen := map[place]bool{}
			for _, c := range w.GetCells() {
				at := place{c.GetRollout(), c.GetStep(), c.GetArm()}
				if seen[at] {
					l.tb.Fatalf("%v is twice in a window", at)
				}
				seen[at] = true
				counted += batchcheck.Contributions(c)
				l.addCell(at, c)
			}
			if w.GetBeganAt().GetNanos() != 0 || w.GetLength().AsDuration()%time.Second != 0 || w.GetLength().AsDuration() < time.Second {
				l.tb.Fatalf("a window from %s, of %s", w.GetBeganAt().AsTime(), w.GetLength().AsDuration())
			}
		}
		for _, e := range b.GetEvaluations() {
			l.evaluations[e.GetFlagKey()+"/"+e.GetVariant()] += e.GetCount()
		}
		t := b.GetTally()
		if t.GetCounted() != counted {
			l.tb.Fatalf("a batch says that it stands for %d; its cells do for %d", t.GetCounted(), counted)
		}
		if t.GetEmitted()-l.counted-t.GetLost() != counted {
			l.tb.Fatalf("emitted %d - counted before %d - lost %d is not what was counted: %d", t.GetEmitted(), l.counted, t.GetLost(), counted)
		}
		l.counted += counted
		l.emitted, l.lost = t.GetEmitted(), t.GetLost()
		if to := b.GetCompleteTo(); to != nil {
			l.completeTo = to.AsTime()
		}
	}
	return l
}

func (l *ledger) addCell(at place, c *telemetryv1.Cell) {
	sum := l.cells[at]
	if sum == nil {
		sum = &telemetryv1.Cell{}
		l.cells[at], l.metrics[at] = sum, map[string]*telemetryv1.MetricCell{}
	}
	if c.GetSubjects() > c.GetExposures() || c.GetNewSubjects() > c.GetSubjects() {
		l.tb.Fatalf("%v: %d exposures of %d subjects, %d new", at, c.GetExposures(), c.GetSubjects(), c.GetNewSubjects())
	}
	sum.Exposures += c.GetExposures()
	sum.Subjects += c.GetSubjects()
	sum.NewSubjects += c.GetNewSubjects()
	for _, m := range c.GetMetrics() {
		key := m.GetMetric()
		if m.GetSegment() != "" {
			key += "/" + m.GetSegment()
		}
		total := l.metrics[at][key]
		if total == nil {
			total = &telemetryv1.MetricCell{Confusion: &telemetryv1.Confusion{}, Predictions: map[string]uint64{}}
			l.metrics[at][key] = total
		}
		total.Count += m.GetCount()
		total.Events += m.GetEvents()
		total.Ambiguous += m.GetAmbiguous()
		total.Sum += m.GetSum()
		total.SumSquares += m.GetSumSquares()
		total.Exposures += m.GetExposures()
		total.Subjects += m.GetSubjects()
		total.Confusion.TruePositives += m.GetConfusion().GetTruePositives()
		total.Confusion.FalsePositives += m.GetConfusion().GetFalsePositives()
		total.Confusion.TrueNegatives += m.GetConfusion().GetTrueNegatives()
		total.Confusion.FalseNegatives += m.GetConfusion().GetFalseNegatives()
		for label, n := range m.GetPredictions() {
			total.Predictions[label] += n
		}
	}
}

// cell returns what a cell adds up to.
func (l *ledger) cell(rollout string, step uint64, arm telemetryv1.Arm) *telemetryv1.Cell {
	return l.cells[place{rollout, step, arm}]
}

func (l *ledger) metric(rollout string, step uint64, arm telemetryv1.Arm, key string) *telemetryv1.MetricCell {
	return l.metrics[place{rollout, step, arm}][key]
}

func user(i int) string { return fmt.Sprintf("user-%d", i) }

// after returns the site some time later, all steps settled.
func (s *site) settle() *site {
	s.now = s.now.Add(2 * time.Minute)
	return s
}
