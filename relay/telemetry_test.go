package relay

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

func durationOf(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

func subject(i int) *evaluationv1.EvaluationContext {
	return &evaluationv1.EvaluationContext{TargetingKey: fmt.Sprintf("user-%d", i)}
}

// Whoever is told a variant, over whatever protocol, is one exposure.
func TestPathsCountOnce(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000), valueFlag(t, "other", 1, true))
	upstream, _ := p.serve()
	r, stop := startReady(t, options(upstream, production), p.revision)
	conn := dial(t, r.GRPCAddr())
	native, v1, v2 := evaluationv1.NewEvaluationServiceClient(conn), flagdv1.NewServiceClient(conn), flagdv2.NewServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	context5 := `{"context":{"targetingKey":"user-5"}}`
	flagd, err := structpb.NewStruct(map[string]any{"targetingKey": "user-5"})
	if err != nil {
		t.Fatal(err)
	}
	http200 := func(path, body string) func() error {
		return func() error {
			if code, text := post(t, "http://"+r.HTTPAddr()+path, body); code != http.StatusOK {
				return fmt.Errorf("%d %s", code, text)
			}
			return nil
		}
	}
	refused := func(_ any, err error) error {
		if err == nil {
			return fmt.Errorf("was answered")
		}
		return nil
	}
	ignore := func(_ any, err error) error { return err }
	var want, tracked uint64
	for _, c := range []struct {
		name string
		call func() error
		want uint64
	}{
		{"Evaluate", func() error {
			return ignore(native.Evaluate(ctx, &evaluationv1.EvaluateRequest{FlagKey: "checkout", Context: subject(5)}))
		}, 1},
		{"Evaluate of another flag", func() error {
			return ignore(native.Evaluate(ctx, &evaluationv1.EvaluateRequest{FlagKey: "other", Context: subject(5)}))
		}, 0},
		{"EvaluateAll", func() error {
			return ignore(native.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{Context: subject(5)}))
		}, 1},
		{"EvaluateAll of one", func() error {
			return ignore(native.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{Context: subject(5), FlagKeys: []string{"checkout"}}))
		}, 1},
		{"EvaluateStream", func() error {
			s, err := native.EvaluateStream(ctx)
			if err != nil {
				return err
			}
			for i := range 3 {
				q := &evaluationv1.EvaluateRequest{FlagKey: "checkout", Context: subject(i)}
				if err := s.Send(&evaluationv1.EvaluateStreamRequest{Id: uint64(i), Request: q}); err != nil {
					return err
				}
				if _, err := s.Recv(); err != nil {
					return err
				}
			}
			return s.CloseSend()
		}, 3},
		{"Watch", func() error {
			s, err := native.Watch(ctx, &evaluationv1.WatchRequest{Context: subject(5)})
			if err != nil {
				return err
			}
			return ignore(s.Recv())
		}, 1},
		{"Evaluate over HTTP", http200("/tidegate.evaluation.v1.EvaluationService/Evaluate", `{"flagKey":"checkout","context":{"targetingKey":"user-5"}}`), 1},
		{"EvaluateAll over HTTP", http200("/tidegate.evaluation.v1.EvaluationService/EvaluateAll", context5), 1},
		{"flagd v1", func() error {
			return ignore(v1.ResolveBoolean(ctx, &flagdv1.ResolveBooleanRequest{FlagKey: "checkout", Context: flagd}))
		}, 1},
		{"flagd v1, wrong type", func() error {
			return refused(v1.ResolveString(ctx, &flagdv1.ResolveStringRequest{FlagKey: "checkout", Context: flagd}))
		}, 0},
		{"flagd v1, all", func() error { return ignore(v1.ResolveAll(ctx, &flagdv1.ResolveAllRequest{Context: flagd})) }, 1},
		{"flagd v2", func() error {
			return ignore(v2.ResolveBoolean(ctx, &flagdv2.ResolveBooleanRequest{FlagKey: "checkout", Context: flagd}))
		}, 1},
		{"flagd v2 over HTTP", http200("/flagd.evaluation.v2.Service/ResolveBoolean", `{"flagKey":"checkout","context":{"targetingKey":"user-5"}}`), 1},
		{"flagd's in-process providers", func() error {
			s, err := flagdsyncv1.NewFlagSyncServiceClient(conn).SyncFlags(ctx, &flagdsyncv1.SyncFlagsRequest{})
			if err != nil {
				return err
			}
			return ignore(s.Recv())
		}, 0},
		{"OFREP, one", http200(ofrepFlagsPath+"/checkout", context5), 1},
		{"OFREP, all", http200(ofrepFlagsPath, context5), 1},
		{"no subject", func() error {
			return ignore(native.Evaluate(ctx, &evaluationv1.EvaluateRequest{FlagKey: "checkout"}))
		}, 0},
	} {
		if err := c.call(); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want += c.want
		// An observation brings everything before it up.
		if _, err := track(ctx, conn, &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{{Context: subject(5), Observations: failed()}}}); err != nil {
			t.Fatal(err)
		}
		tracked++
		if got := r.telemetry.byName[production].tally.Account().Counted - tracked; got != want {
			t.Errorf("%s: %d exposures so far, want %d", c.name, got, want)
			want = got
		}
	}
	stop()
	if got := p.collected.sums().exposures; got != want {
		t.Errorf("%d exposures were collected, want %d", got, want)
	}
	p.collected.check(t)
}

func TestTrack(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000))
	upstream, _ := p.serve()
	r, stop := startReady(t, options(upstream, production), p.revision)
	conn := dial(t, r.GRPCAddr())
	sender := func(sequence uint64) *telemetryv1.Sender {
		return &telemetryv1.Sender{InstanceId: "sdk", BootId: "one", Sequence: sequence}
	}
	event := &telemetryv1.Event{Context: subject(1), Observations: failed()}
	for _, c := range []struct {
		name  string
		r     *telemetryv1.TrackRequest
		code  codes.Code
		taken uint32
		wrong []string // parts of the refusals
	}{
		{"one", &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{event}}, codes.OK, 1, nil},
		{"numbered", &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{event}, Sender: sender(1)}, codes.OK, 1, nil},
		{"again", &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{event}, Sender: sender(1)}, codes.OK, 1, nil},
		{"next", &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{event}, Sender: sender(2)}, codes.OK, 1, nil},
		{"late", &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{event}, Sender: sender(1)}, codes.OK, 1, nil},
		{"nothing", &telemetryv1.TrackRequest{}, codes.OK, 0, nil},
		{"what nobody watches", &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{{
			Context: subject(1), Observations: []*telemetryv1.Observation{{Metric: "other", Value: &telemetryv1.Observation_Number{Number: 1}}},
		}}}, codes.OK, 1, nil},
		{"some are wrong", &telemetryv1.TrackRequest{Events: []*telemetryv1.Event{
			event,
			{Observations: failed()},
			{Context: subject(1), Observations: failed(), ExposedAt: &timestamppb.Timestamp{Nanos: -1}},
		}}, codes.OK, 1, []string{"neither context nor exposure", "exposed_at is no time"}},
		{"too many", &telemetryv1.TrackRequest{Events: make([]*telemetryv1.Event, 1001)}, codes.InvalidArgument, 0, nil},
		{"half a sender", &telemetryv1.TrackRequest{Sender: &telemetryv1.Sender{InstanceId: "sdk"}}, codes.InvalidArgument, 0, nil},
		{"sequence 0", &telemetryv1.TrackRequest{Sender: sender(0)}, codes.InvalidArgument, 0, nil},
		{"another environment", &telemetryv1.TrackRequest{Environment: "nowhere"}, codes.NotFound, 0, nil},
	} {
		for i, e := range c.r.GetEvents() {
			if e == nil {
				c.r.Events[i] = event
			}
		}
		a, err := track(t.Context(), conn, c.r)
		if status.Code(err) != c.code || a.GetTaken() != c.taken || len(a.GetRefusals()) != len(c.wrong) {
			t.Errorf("%s: %v, %v; want %d taken", c.name, a, err, c.taken)
			continue
		}
		for i, part := range c.wrong {
			if got := a.GetRefusals()[i]; !strings.Contains(got.GetMessage(), part) || got.GetEvent() != uint32(i+1) {
				t.Errorf("%s: refusal %v, want event %d, %q", c.name, got, i+1, part)
			}
		}
	}
	stop()
	if got := p.collected.sums(); got.events != 4 { // one, numbered, next, some
		t.Errorf("%d events were collected, want 4", got.events)
	}
	p.collected.check(t)
}

// A report that comes again counts once, although the relay has been restarted in between,
// and what its sender has lost is declared: each report's own, whatever the relay knows of the
// ones before, which another may have taken.
func TestReportOverRestart(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000))
	upstream, _ := p.serve()
	o := options(upstream, production)
	o.StateDir = t.TempDir()
	report := func(sequence, lost, since uint64, exposures uint64) *telemetryv1.ReportRequest {
		return &telemetryv1.ReportRequest{
			Sender: &telemetryv1.Sender{InstanceId: "sdk", BootId: "one", Sequence: sequence},
			Windows: []*telemetryv1.Window{{
				BeganAt: timestamppb.Now(), Length: durationOf(time.Second),
				Cells: []*telemetryv1.Cell{{Rollout: "checkout-rollout", Step: 1, Arm: telemetryv1.Arm_ARM_CONTROL, Exposures: exposures, Subjects: 1}},
			}},
			Tally: &telemetryv1.Tally{Emitted: 1000, Lost: lost, Counted: exposures}, Lost: since,
		}
	}
	send := func(r *Relay, q *telemetryv1.ReportRequest, want codes.Code) {
		t.Helper()
		_, err := telemetryv1.NewTelemetryServiceClient(dial(t, r.GRPCAddr())).Report(t.Context(), q)
		if status.Code(err) != want {
			t.Errorf("report %d: %v, want %v", q.GetSender().GetSequence(), err, want)
		}
	}
	r, stop := startReady(t, o, p.revision)
	send(r, report(1, 3, 3, 10), codes.OK)
	send(r, report(1, 3, 3, 10), codes.OK)
	send(r, report(2, 5, 2, 100), codes.OK)
	send(r, report(3, 5, 6, 7), codes.InvalidArgument)
	broken := report(3, 5, 0, 7)
	broken.Tally.Counted = 8
	send(r, broken, codes.InvalidArgument)
	many := report(3, 5, 0, 7)
	for range maxReportEvaluations + 1 {
		many.Evaluations = append(many.Evaluations, &telemetryv1.Evaluations{FlagKey: "checkout", Count: 1})
	}
	send(r, many, codes.InvalidArgument)
	ahead := report(3, 5, 0, 7)
	ahead.Windows[0].Cells[0].Step = 2
	send(r, ahead, codes.Unavailable)
	stop()
	r, stop = startReady(t, o, p.revision)
	send(r, report(2, 5, 2, 100), codes.OK)
	send(r, report(4, 10, 4, 1000), codes.OK) // and one elsewhere meanwhile
	eventually(t, "all of it was collected", func() bool { return p.collected.sums().exposures >= 1110 })
	stop()
	if got := p.collected.sums().exposures; got != 1110 {
		t.Errorf("%d exposures were collected, want 1110", got)
	}
	var lost uint64
	for _, a := range p.collected.tallies {
		lost += a.GetLost()
	}
	if lost != 9 {
		t.Errorf("%d were declared lost, want 9", lost)
	}
	p.collected.check(t)
}
