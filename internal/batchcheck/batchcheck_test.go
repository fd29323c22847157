package batchcheck_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
)

// full is a batch with something in every field.
func full() *telemetryv1.Batch {
	now := time.Now().Truncate(time.Second)
	b := &telemetryv1.Batch{
		Environment: "production",
		Sender:      &telemetryv1.Sender{InstanceId: "a", BootId: "boot", Sequence: 1},
		Tally:       &telemetryv1.Tally{Emitted: 100, Counted: 100},
		CompleteTo:  timestamppb.New(now),
		Windows: []*telemetryv1.Window{{
			BeganAt: timestamppb.New(now.Add(-time.Second)), Length: durationpb.New(time.Second),
			Cells: []*telemetryv1.Cell{{
				Rollout: "checkout", Step: 1, Arm: telemetryv1.Arm_ARM_TREATMENT, Exposures: 100, Subjects: 100,
			}},
		}},
	}
	b.Windows[0].Cells[0].NewSubjects = 3
	b.Windows[0].Cells[0].Metrics = []*telemetryv1.MetricCell{
		{Metric: "errors", Count: 100, Events: 3},
		{Metric: "latency", Segment: "eu", Count: 4, Sum: 10, SumSquares: 30, Exposures: 4, Subjects: 4, Sketch: &telemetryv1.Sketch{
			Offset: -3, Bins: []uint64{1, 0, 2}, Zeros: 1, NegativeOffset: 2,
		}},
		{Metric: "fraud", Count: 10, Events: 1, Confusion: &telemetryv1.Confusion{TruePositives: 1, TrueNegatives: 8, FalseNegatives: 1}, Predictions: map[string]uint64{"0": 9, "": 1}},
	}
	b.Evaluations = []*telemetryv1.Evaluations{{FlagKey: "f", Variant: "on", Count: 3, LastAt: timestamppb.Now()}, {FlagKey: "f"}}
	b.Trips = []*telemetryv1.Trip{{Rollout: "checkout", Step: 1, Guardrail: "errors", Time: timestamppb.Now(), LogE: 7, LogThreshold: 6, LiftedAt: timestamppb.Now()}}
	b.KeyUses = []*telemetryv1.KeyUse{{KeyId: "abcdefghijkl", Last: 29_000_000}}
	return b
}

func TestBatch(t *testing.T) {
	t.Parallel()
	if err := batchcheck.Batch(full()); err != nil {
		t.Fatal(err)
	}
	type cell = telemetryv1.Cell
	type metric = telemetryv1.MetricCell
	ofCell := func(edit func(c *cell)) func(b *telemetryv1.Batch) {
		return func(b *telemetryv1.Batch) { edit(b.GetWindows()[0].GetCells()[0]) }
	}
	ofMetric := func(i int, edit func(m *metric)) func(b *telemetryv1.Batch) {
		return ofCell(func(c *cell) { edit(c.GetMetrics()[i]) })
	}
	const many = 10_000
	for want, edit := range map[string]func(b *telemetryv1.Batch){
		"environment: empty":                  func(b *telemetryv1.Batch) { b.Environment = "" },
		"complete_to: ":                       func(b *telemetryv1.Batch) { b.CompleteTo = &timestamppb.Timestamp{Seconds: math.MaxInt64} },
		"windows: 601":                        func(b *telemetryv1.Batch) { b.Windows = make([]*telemetryv1.Window, 601) },
		"windows[0].began_at: not set":        func(b *telemetryv1.Batch) { b.Windows[0] = nil },
		"windows[0].length: not set":          func(b *telemetryv1.Batch) { b.Windows[0].Length = nil },
		"windows[0].length: 1.5s: want whole": func(b *telemetryv1.Batch) { b.Windows[0].Length = durationpb.New(1500 * time.Millisecond) },
		"windows[0].length: -1s":              func(b *telemetryv1.Batch) { b.Windows[0].Length = durationpb.New(-time.Second) },
		"cells: more than 8192":               func(b *telemetryv1.Batch) { b.Windows[0].Cells = make([]*cell, many) },
		"cells[0].rollout: empty":             ofCell(func(c *cell) { c.Rollout = "" }),
		"cells[0].step 0":                     ofCell(func(c *cell) { c.Step = 0 }),
		"cells[0].arm 0":                      ofCell(func(c *cell) { c.Arm = 0 }),
		"cells[0].exposures":                  ofCell(func(c *cell) { c.Exposures = math.MaxUint64 }),
		"cells[0].subjects 101":               ofCell(func(c *cell) { c.Subjects = 101 }),
		"cells[0].new_subjects 101":           ofCell(func(c *cell) { c.NewSubjects = 101 }),
		"cells[0].new_counters 101":           ofCell(func(c *cell) { c.NewCounters = 101 }),
		"more than 32 of them": func(b *telemetryv1.Batch) {
			for i := range 33 {
				c := proto.Clone(b.GetWindows()[0].GetCells()[0]).(*cell)
				c.Rollout = strings.Repeat("r", i+1)
				b.Windows[0].Cells = append(b.Windows[0].Cells, c)
			}
		},
		"metrics: more than 16384":                  ofCell(func(c *cell) { c.Metrics = make([]*metric, 2*many) }),
		"metrics[0].metric: empty":                  ofMetric(0, func(m *metric) { m.Metric = "" }),
		"metrics[0].metric: 65 bytes":               ofMetric(0, func(m *metric) { m.Metric = strings.Repeat("m", 65) }),
		"metrics[1].segment: not UTF-8":             ofMetric(1, func(m *metric) { m.Segment = "\xff" }),
		"metrics[0].events 101":                     ofMetric(0, func(m *metric) { m.Events = 101 }),
		"metrics[0].count":                          ofMetric(0, func(m *metric) { m.Count = math.MaxUint64 }),
		"metrics[1].exposures 101":                  ofMetric(1, func(m *metric) { m.Exposures = 101 }),
		"metrics[1].subjects 101":                   ofMetric(1, func(m *metric) { m.Subjects = 101 }),
		"metrics[1].sum NaN":                        ofMetric(1, func(m *metric) { m.Sum = math.NaN() }),
		"metrics[1].sum +Inf":                       ofMetric(1, func(m *metric) { m.Sum = math.Inf(1) }),
		"metrics[1].sum_squares NaN":                ofMetric(1, func(m *metric) { m.SumSquares = math.NaN() }),
		"metrics[1].sum_squares -1":                 ofMetric(1, func(m *metric) { m.SumSquares = -1 }),
		"no 4 numbers have them":                    ofMetric(1, func(m *metric) { m.Sum = 11 }),
		"metrics[0].sum_squares 5 of no":            ofMetric(0, func(m *metric) { m.Count, m.Events, m.SumSquares = 0, 0, 5 }),
		"sketch: it holds 5 values of 4":            ofMetric(1, func(m *metric) { m.Sketch.Zeros = 2 }),
		"sketch.bins: 10000":                        ofMetric(1, func(m *metric) { m.Sketch.Bins = make([]uint64, many) }),
		"sketch.negative_offset":                    ofMetric(1, func(m *metric) { m.Sketch.NegativeOffset = math.MinInt32 }),
		"sketch.bins: 18446744073709551615":         ofMetric(1, func(m *metric) { m.Sketch.Bins[0] = math.MaxUint64 }),
		"confusion: 11 outcomes of 10":              ofMetric(2, func(m *metric) { m.Confusion.FalsePositives = 1 }),
		"confusion: 18446744073709551615":           ofMetric(2, func(m *metric) { m.Confusion.FalsePositives = math.MaxUint64 }),
		"segment: \"\\n\": want text":               ofMetric(1, func(m *metric) { m.Segment = "\n" }),
		"predictions: 18446744073709551615":         ofMetric(2, func(m *metric) { m.Predictions["1"] = math.MaxUint64 }),
		"evaluations[0].flag_key: empty":            func(b *telemetryv1.Batch) { b.Evaluations[0].FlagKey = "" },
		"evaluations[0].variant: \"\\x00\"":         func(b *telemetryv1.Batch) { b.Evaluations[0].Variant = "\x00" },
		"evaluations[0].count":                      func(b *telemetryv1.Batch) { b.Evaluations[0].Count = math.MaxUint64 },
		"trips: 257":                                func(b *telemetryv1.Batch) { b.Trips = make([]*telemetryv1.Trip, 257) },
		"key_uses: 10000":                           func(b *telemetryv1.Batch) { b.KeyUses = make([]*telemetryv1.KeyUse, many) },
		"key_uses[0].key_id: empty":                 func(b *telemetryv1.Batch) { b.KeyUses[0] = nil },
		"trips[0].rollout: empty":                   func(b *telemetryv1.Batch) { b.Trips[0] = nil },
		"trips[0].guardrail: empty":                 func(b *telemetryv1.Batch) { b.Trips[0].Guardrail = "" },
		"trips[0].time: not set":                    func(b *telemetryv1.Batch) { b.Trips[0].Time = nil },
		"trips[0].log_e, log_threshold: want":       func(b *telemetryv1.Batch) { b.Trips[0].LogE = math.NaN() },
		"trips[0].events, exposures: 1844674407370": func(b *telemetryv1.Batch) { b.Trips[0].ControlExposures = math.MaxUint64 },
	} {
		b := full()
		edit(b)
		if err := batchcheck.Batch(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What is odd, and can be: predictions whose truth is not known are in no count; names may hold
// what does not show; and the square of a number may be too small for a float.
func TestOddBatches(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(b *telemetryv1.Batch){
		"predictions without a truth": func(b *telemetryv1.Batch) {
			b.Windows[0].Cells[0].Metrics = []*telemetryv1.MetricCell{{Metric: "fraud", Predictions: map[string]uint64{"true": 3}}}
		},
		"predictions, some without a truth": func(b *telemetryv1.Batch) { b.Windows[0].Cells[0].Metrics[2].Predictions["1"] = 1 },
		"a space that does not break":       func(b *telemetryv1.Batch) { b.Windows[0].Cells[0].Metrics[1].Segment = "New\u00a0York" },
		"a joiner":                          func(b *telemetryv1.Batch) { b.Evaluations[0].Variant = "\U0001f468\u200d\U0001f4bb" },
		"tiny numbers": func(b *telemetryv1.Batch) {
			v := 2.6e-162 // what is exact in a constant is not in a float
			b.Windows[0].Cells[0].Metrics = []*telemetryv1.MetricCell{{Metric: "cost", Count: 10, Sum: 10 * v, SumSquares: 10 * (v * v)}}
		},
	} {
		b := full()
		edit(b)
		if err := batchcheck.Batch(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSender(t *testing.T) {
	t.Parallel()
	good := func() *telemetryv1.Sender { return &telemetryv1.Sender{InstanceId: "a", BootId: "b", Sequence: 1} }
	if err := batchcheck.Sender(good()); err != nil {
		t.Error(err)
	}
	for want, edit := range map[string]func(s *telemetryv1.Sender){
		"instance_id: empty":     func(s *telemetryv1.Sender) { s.InstanceId = "" },
		"instance_id: 257 bytes": func(s *telemetryv1.Sender) { s.InstanceId = strings.Repeat("i", 257) },
		"boot_id: 65 bytes":      func(s *telemetryv1.Sender) { s.BootId = strings.Repeat("b", 65) },
		"boot_id: \"\\n\": want": func(s *telemetryv1.Sender) { s.BootId = "\n" },
		"sequence 0: want 1":     func(s *telemetryv1.Sender) { s.Sequence = 0 },
		"sequence 18446744":      func(s *telemetryv1.Sender) { s.Sequence = math.MaxUint64 },
	} {
		s := good()
		edit(s)
		if err := batchcheck.Sender(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
