package server

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestRolloutSeries: what is counted is seen in the series, and by whoever watches it; it outlives
// the server, and goes with the rollout.
func TestRolloutSeries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, Options{DataDir: dir})
	leads(t, s)
	slow := quick()
	slow.Stages[0].MinDwell = durationpb.New(time.Hour)
	s.startRollout(slow)
	p := s.watch(t.Context(), &controlv1.WatchRequest{Environment: "production", Parts: []controlv1.Part{controlv1.Part_PART_FLAGS}, RolloutKey: "r"})
	one := &teller{t: t, id: "edge", stream: s.telemetry(t.Context(), "")}
	one.tell(1, 50, 1, 940, 9)
	counted := func(points []*controlv1.SeriesPoint) uint64 {
		if len(points) == 0 {
			return 0
		}
		return points[len(points)-1].GetGuardrails()[0].GetCounts().GetTreatmentExposures()
	}
	p.until("what was told", func() bool { return counted(p.series) == 50 })
	one.tell(1, 50, 0, 950, 0)
	p.until("what was told then", func() bool { return counted(p.series) == 100 })
	last := p.series[len(p.series)-1]
	if g := last.GetGuardrails()[0]; last.GetWeight() != 500 || g.GetCounts().GetTreatmentEvents() != 1 || g.LogE == nil || g.GetLimit() == 0 {
		t.Errorf("the newest point: %v", last)
	}

	rollouts := controlv1.NewRolloutServiceClient(s.conn)
	request := &controlv1.GetRolloutSeriesRequest{Environment: "production", Key: "r"}
	got, err := rollouts.GetRolloutSeries(as(t), request)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.GetPoints()); n < 2 || counted(got.GetPoints()) != 100 || got.GetScales()[0].GetName() != "errors" || got.GetScales()[0].GetLogThreshold() <= 0 {
		t.Errorf("the series has %d points: %v", n, got)
	}
	request.After = got.GetPoints()[0].GetTime()
	later, err := rollouts.GetRolloutSeries(as(t), request)
	if err != nil || len(later.GetPoints()) == 0 || proto.Equal(later.GetPoints()[0], got.GetPoints()[0]) {
		t.Errorf("after the first point: %v, %v", later, err)
	}
	s.stop()

	s = start(t, Options{DataDir: dir})
	leads(t, s)
	rollouts = controlv1.NewRolloutServiceClient(s.conn)
	request.After = nil
	kept, err := rollouts.GetRolloutSeries(as(t), request)
	if err != nil || len(kept.GetPoints()) < len(got.GetPoints()) || !proto.Equal(kept.GetPoints()[0], got.GetPoints()[0]) {
		t.Errorf("after a restart: %v, %v; want %v", kept, err, got)
	}
	if _, err := rollouts.AbortRollout(as(t), &controlv1.AbortRolloutRequest{Environment: "production", Key: "r", Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	if over, err := rollouts.GetRolloutSeries(as(t), request); err != nil || counted(over.GetPoints()) != 100 {
		t.Errorf("of a rollout that is over: %v, %v", over, err)
	}
	if _, err := rollouts.DeleteRollout(as(t), &controlv1.DeleteRolloutRequest{Environment: "production", Key: "r", Reason: "no"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the series is gone", func() bool {
		_, err := rollouts.GetRolloutSeries(as(t), request)
		return status.Code(err) == codes.NotFound
	})
}
