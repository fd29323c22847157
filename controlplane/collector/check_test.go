package collector

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// full is a batch with something in every field.
func full() *telemetryv1.Batch {
	b := batch("a", 1, 100, 0, 100)
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
	return b
}

func TestCheckBatch(t *testing.T) {
	t.Parallel()
	if err := checkBatch(full()); err != nil {
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
		"predictions: 11 of 10":                     ofMetric(2, func(m *metric) { m.Predictions["1"] = 1 }),
		"predictions: 18446744073709551615":         ofMetric(2, func(m *metric) { m.Predictions["1"] = math.MaxUint64 }),
		"evaluations[0].flag_key: empty":            func(b *telemetryv1.Batch) { b.Evaluations[0].FlagKey = "" },
		"evaluations[0].variant: \"\\x00\"":         func(b *telemetryv1.Batch) { b.Evaluations[0].Variant = "\x00" },
		"evaluations[0].count":                      func(b *telemetryv1.Batch) { b.Evaluations[0].Count = math.MaxUint64 },
		"trips: 257":                                func(b *telemetryv1.Batch) { b.Trips = make([]*telemetryv1.Trip, 257) },
		"trips[0].rollout: empty":                   func(b *telemetryv1.Batch) { b.Trips[0] = nil },
		"trips[0].guardrail: empty":                 func(b *telemetryv1.Batch) { b.Trips[0].Guardrail = "" },
		"trips[0].time: not set":                    func(b *telemetryv1.Batch) { b.Trips[0].Time = nil },
		"trips[0].log_e, log_threshold: want":       func(b *telemetryv1.Batch) { b.Trips[0].LogE = math.NaN() },
		"trips[0].events, exposures: 1844674407370": func(b *telemetryv1.Batch) { b.Trips[0].ControlExposures = math.MaxUint64 },
	} {
		b := full()
		edit(b)
		if err := checkBatch(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	one, other := full(), full()
	other.Sender.InstanceId = "b"
	other.Environment = "dev"
	second := proto.Clone(one.GetWindows()[0]).(*telemetryv1.Window)
	second.Cells[0].Rollout = "banner"
	one.Windows = append(one.Windows, second)
	one.Windows[0].Cells = append(one.Windows[0].Cells, proto.Clone(second.Cells[0]).(*telemetryv1.Cell))
	g := &Group{Batches: []*telemetryv1.Batch{one, other, full()}}
	counts := g.Counts()
	var got []string
	for _, c := range counts {
		for _, p := range c.Parts {
			cells := 0
			for _, w := range p.Windows {
				for _, cell := range w.GetCells() {
					if cell.GetRollout() != c.Rollout {
						t.Errorf("%s has a cell of %s", c.Rollout, cell.GetRollout())
					}
					cells++
				}
			}
			got = append(got, strings.Join([]string{c.Environment, c.Rollout, p.Sender.GetInstanceId(), strings.Repeat("c", cells), strings.Repeat("t", len(p.Trips))}, " "))
		}
	}
	want := []string{"dev checkout b c t", "production banner a cc ", "production checkout a c t", "production checkout a c t"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzPush: whatever comes over the wire, the collector lives, the account comes out, and what
// was answered is not in the way of what follows.
func FuzzPush(f *testing.F) {
	for _, b := range []*telemetryv1.Batch{full(), batch("a", 1, 0, 0, 0), batch("a", 7, 3, 1, 1), {}, {Sender: &telemetryv1.Sender{InstanceId: "a"}}} {
		wire, err := proto.Marshal(&telemetryv1.PushRequest{Batch: b})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		m := &telemetryv1.PushRequest{}
		if proto.Unmarshal(wire, m) != nil {
			return
		}
		s := memstore.New()
		c, err := New(Options{Store: s, Judge: &clerk{store: s}, Interval: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		out, err := s.Commit(ctx, store.Txn{Ops: []store.Op{store.Put(leader.Key, nil)}})
		if err != nil {
			t.Fatal(err)
		}
		led := make(chan error, 1)
		go func() { led <- c.Lead(ctx, leader.Term(out.Revision)) }()
		defer func() {
			cancel()
			if err := <-led; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		for _, ok := c.Account(); !ok; _, ok = c.Account() {
			time.Sleep(time.Millisecond)
		}
		st := push(ctx, c, everywhere)
		defer func() {
			st.cancel()
			if err := <-st.err; err == nil {
				t.Error("it was not closed, and ended well")
			}
		}()
		st.send(m.GetBatch())
		if checkSender(m.GetBatch().GetSender()) != nil {
			<-st.ctx.Done() // it ends
			return
		}
		st.answers(t, m.GetBatch().GetSender().GetInstanceId(), m.GetBatch().GetSender().GetSequence())
		st.send(batch("another", 1, 5, 0, 5))
		st.answers(t, "another", 1)
		a, _ := c.Account()
		if a.Emitted != a.Counted+a.Lost+a.Refused+a.Late+a.Missing {
			t.Errorf("%+v", a)
		}
		if _, exposures := readEvidence(t, s); exposures["another"] != 5 {
			t.Errorf("%v", exposures)
		}
	})
}
