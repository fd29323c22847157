package collector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
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
		if batchcheck.Sender(m.GetBatch().GetSender()) != nil {
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
