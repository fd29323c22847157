package relay

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// What a relay takes of telemetry a second, from the bytes of a call to the batch that is
// spooled: 'go test -bench Telemetry -cpu 1' says what one core does. Calls come one after the other,
// and do not wait for the disk: those of other callers fill that time.
func BenchmarkTelemetry(b *testing.B) {
	const users = 8192
	events := make([]*telemetryv1.Event, users)
	for i := range events {
		events[i] = &telemetryv1.Event{
			Context: &evaluationv1.EvaluationContext{
				TargetingKey: fmt.Sprint("user-", i),
				Attributes:   &structpb.Struct{Fields: map[string]*structpb.Value{"country": structpb.NewStringValue("Canada")}},
			},
			Observations: []*telemetryv1.Observation{{
				Metric: "latency", Value: &telemetryv1.Observation_Duration{Duration: durationpb.New(time.Duration(1+i%500) * time.Millisecond)},
			}},
		}
		if i%2 == 0 {
			events[i].Observations = failed()
		}
	}
	b.Run("1000 events, decoded", func(b *testing.B) {
		r := resting(b)
		c := r.telemetry.byName[production]
		service := &telemetryService{evaluation: r.evaluation, telemetry: r.telemetry}
		aggregate(b, r, 1000, func(i int) error {
			at := i % (users / 1000) * 1000
			_, err := r.telemetry.countOnce(c, nil, func(bool) error {
				service.observe(c, nil, events[at:at+1000], &telemetryv1.TrackResponse{})
				return nil
			})
			return err
		})
	})
	for _, size := range []int{10, 1000} {
		var calls [][]byte
		for at := 0; at+size <= users; at += size {
			calls = append(calls, encoded(b, &telemetryv1.TrackRequest{Events: events[at : at+size]}))
		}
		b.Run(fmt.Sprintf("Track of %d events", size), func(b *testing.B) {
			r := resting(b)
			c := r.telemetry.byName[production]
			service := &telemetryService{evaluation: r.evaluation, telemetry: r.telemetry}
			aggregate(b, r, uint64(size), func(i int) error {
				q := &telemetryv1.TrackRequest{}
				if err := proto.Unmarshal(calls[i%len(calls)], q); err != nil {
					return err
				}
				_, err := r.telemetry.countOnce(c, nil, func(bool) error {
					service.observe(c, nil, q.GetEvents(), &telemetryv1.TrackResponse{})
					return nil
				})
				return err
			})
		})
	}
	b.Run("Report of 1000 events", func(b *testing.B) {
		r := resting(b)
		c := r.telemetry.byName[production]
		service := &telemetryService{evaluation: r.evaluation, telemetry: r.telemetry}
		q := &telemetryv1.ReportRequest{
			Sender: &telemetryv1.Sender{InstanceId: "sdk", BootId: "one", Sequence: 1}, Tally: &telemetryv1.Tally{Emitted: 1000, Counted: 1000},
			Windows: []*telemetryv1.Window{{BeganAt: timestamppb.Now(), Length: durationpb.New(time.Second)}},
		}
		for _, arm := range []telemetryv1.Arm{telemetryv1.Arm_ARM_CONTROL, telemetryv1.Arm_ARM_TREATMENT} {
			q.Windows[0].Cells = append(q.Windows[0].Cells, &telemetryv1.Cell{
				Rollout: "checkout-rollout", Step: 1, Arm: arm, Exposures: 400, Subjects: 300, NewSubjects: 10,
				Metrics: []*telemetryv1.MetricCell{{Metric: "errors", Count: 100, Events: 3}},
			})
		}
		call := encoded(b, q)
		aggregate(b, r, 1000, func(i int) error {
			q := &telemetryv1.ReportRequest{}
			if err := proto.Unmarshal(call, q); err != nil {
				return err
			}
			q.Sender.Sequence = uint64(i + 1)
			_, err := r.telemetry.countOnce(c, q.GetSender(), func(bool) error { return service.merge(c, q) })
			return err
		})
	})
}

// aggregate makes calls, commits as often as a relay does, and tells how many events that are a
// second.
func aggregate(b *testing.B, r *Relay, events uint64, call func(i int) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	began, committed := cpuTime(b), time.Now()
	for i := range b.N {
		if err := call(i); err != nil {
			b.Fatal(err)
		}
		if time.Since(committed) > commitEvery {
			committed = time.Now()
			r.telemetry.commit(committed, true)
		}
	}
	r.telemetry.commit(time.Now(), true)
	all := float64(b.N) * float64(events)
	b.ReportMetric(all/b.Elapsed().Seconds(), "events/s")
	// Where others run beside, this says what a core would do.
	b.ReportMetric(all/(cpuTime(b)-began).Seconds(), "events/cpu-s")
}

// cpuTime is what this process has used, the runtime's own work included.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func encoded(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
