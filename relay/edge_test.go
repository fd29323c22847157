package relay

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// treated is a subject that a rollout at half serves the treatment.
func treated(t *testing.T, client evaluationv1.EvaluationServiceClient) *evaluationv1.EvaluationContext {
	t.Helper()
	for i := range 100 {
		if variantOf(t, client, "checkout", subject(i)) == "on" {
			return subject(i)
		}
	}
	t.Fatal("nobody is served the treatment")
	return nil
}

func variantOf(t *testing.T, client evaluationv1.EvaluationServiceClient, flag string, c *evaluationv1.EvaluationContext) string {
	t.Helper()
	a, err := client.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: flag, Context: c})
	if err != nil {
		t.Fatal(err)
	}
	return a.GetVariant()
}

// harm serves many subjects, and reports an error of each that is treated.
func harm(t *testing.T, conn grpc.ClientConnInterface, n int) {
	t.Helper()
	client := evaluationv1.NewEvaluationServiceClient(conn)
	q := &telemetryv1.TrackRequest{}
	for i := range n {
		if variantOf(t, client, "checkout", subject(i)) == "on" {
			q.Events = append(q.Events, &telemetryv1.Event{Context: subject(i), Observations: failed()})
		}
	}
	if _, err := track(t.Context(), conn, q); err != nil {
		t.Fatal(err)
	}
}

// cutOff is a relay with a bad rollout at half, whose upstream is gone.
func cutOff(t *testing.T, change func(*rolloutv1.Rollout)) (p *publisher, o Options, r *Relay, stop func()) {
	t.Helper()
	p = newPublisher(t, production)
	bad := rolloutAt("checkout", 1, 5000)
	bad.EdgeBreaker = &rolloutv1.EdgeBreaker{After: durationOf(500 * time.Millisecond)}
	if change != nil {
		change(bad)
	}
	p.put(production, rollingFlag("checkout", 5000), bad, rollingFlag("healthy", 5000), rolloutAt("healthy", 1, 5000))
	upstream, away := p.serve()
	o = options(upstream, production)
	o.StateDir, o.InstanceID = t.TempDir(), "edge"
	r, stop = startReady(t, o, p.revision)
	away()
	return p, o, r, stop
}

// A relay that is cut off shuts a rollout on its own evidence, for every caller, but not for
// its followers; it stays shut over a restart, and is opened when the control plane has moved
// on. The control plane is told both.
func TestEdgeBreaker(t *testing.T) {
	t.Parallel()
	p, o, r, stop := cutOff(t, nil)
	conn := dial(t, r.GRPCAddr())
	native := evaluationv1.NewEvaluationServiceClient(conn)
	victim := treated(t, native)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watching, err := native.Watch(ctx, &evaluationv1.WatchRequest{Context: victim, FlagKeys: []string{"checkout"}})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watching.Recv(); err != nil || first.GetEvaluations()[0].GetVariant() != "on" {
		t.Fatalf("the watch begins with %v, %v", first, err)
	}
	harm(t, conn, 400)
	eventually(t, "trip", func() bool { return variantOf(t, native, "checkout", victim) == "off" })
	if next, err := watching.Recv(); err != nil || next.GetEvaluations()[0].GetVariant() != "off" {
		t.Errorf("the watch goes on with %v, %v", next, err)
	}
	everyPathServes(t, r, conn, victim, "off")
	if followed := r.replicas.Replica(production).Snapshot().Eval().Flag("checkout"); followed == r.evaluation.environments[0].replica.Snapshot().Eval().Flag("checkout") {
		t.Error("followers would get the flag as it is served here")
	}
	if _, text := get(t, "http://"+r.ManagementAddr()+"/readyz"); !strings.Contains(text, `"rollout": "checkout-rollout"`) || strings.Contains(text, "healthy") {
		t.Errorf("/readyz does not tell of the trip alone: %s", text)
	}
	a, err := track(ctx, conn, &telemetryv1.TrackRequest{})
	if err != nil || len(a.GetTripped()) != 1 || a.GetTripped()[0] != "checkout-rollout" {
		t.Errorf("Track does not tell of the trip: %v, %v", a, err)
	}

	stop()
	r, stop = startReady(t, o, p.revision)
	native = client(t, r)
	if got := variantOf(t, native, "checkout", victim); got != "off" {
		t.Errorf("after a restart %q is served", got)
	}
	// The control plane comes back, and does not know yet: it is still shut.
	p.serveAt(o.Upstreams[0])
	eventually(t, "trip upstream", func() bool { return len(p.collected.trips()) > 0 })
	if got := variantOf(t, native, "checkout", victim); got != "off" {
		t.Errorf("before the control plane has decided %q is served", got)
	}
	p.put(production, rollingFlag("checkout", 7000), rolloutAt("checkout", 2, 7000))
	waitRevision(t, r, p.revision)
	if got := variantOf(t, native, "checkout", victim); got != "on" {
		t.Errorf("after the control plane has decided %q is served", got)
	}
	eventually(t, "lifting upstream", func() bool {
		list := p.collected.trips()
		return list[len(list)-1].GetLiftedAt() != nil
	})
	stop()
	for _, trip := range p.collected.trips() {
		if trip.GetRollout() != "checkout-rollout" || trip.GetStep() != 1 || trip.GetGuardrail() != "errors" || trip.GetLogE() < trip.GetLogThreshold() {
			t.Errorf("%v", trip)
		}
	}
	p.collected.check(t)
}

// everyPathServes asks for the flag in each protocol.
func everyPathServes(t *testing.T, r *Relay, conn grpc.ClientConnInterface, c *evaluationv1.EvaluationContext, want string) {
	t.Helper()
	native := evaluationv1.NewEvaluationServiceClient(conn)
	all, err := native.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{Context: c, FlagKeys: []string{"checkout"}})
	if err != nil || all.GetEvaluations()[0].GetVariant() != want {
		t.Errorf("EvaluateAll: %v, %v", all, err)
	}
	flagd, err := structpb.NewStruct(map[string]any{"targetingKey": c.GetTargetingKey()})
	if err != nil {
		t.Fatal(err)
	}
	v1, err := flagdv1.NewServiceClient(conn).ResolveBoolean(t.Context(), &flagdv1.ResolveBooleanRequest{FlagKey: "checkout", Context: flagd})
	if err != nil || v1.GetVariant() != want {
		t.Errorf("flagd: %v, %v", v1, err)
	}
	body := `{"context":{"targetingKey":"` + c.GetTargetingKey() + `"}}`
	for _, path := range []string{ofrepFlagsPath + "/checkout", ofrepFlagsPath} {
		if _, text := post(t, "http://"+r.HTTPAddr()+path, body); !strings.Contains(text, `"key":"checkout","reason":"SPLIT","value":`+map[string]string{"on": "true", "off": "false"}[want]) {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// What a breaker says is heeded by a relay that is cut off alone, and where it is wanted.
func TestEdgeBreakerRests(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*rolloutv1.Rollout){
		"not cut off for long enough": func(r *rolloutv1.Rollout) { r.EdgeBreaker.After = durationOf(time.Hour) },
		"disabled":                    func(r *rolloutv1.Rollout) { r.EdgeBreaker.Disabled = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, r, _ := cutOff(t, change)
			conn := dial(t, r.GRPCAddr())
			victim := treated(t, evaluationv1.NewEvaluationServiceClient(conn))
			harm(t, conn, 400)
			c := r.telemetry.byName[production]
			before := c.judged.Load()
			eventually(t, "second that is judged", func() bool { return c.judged.Load() >= before+3 })
			if got := variantOf(t, evaluationv1.NewEvaluationServiceClient(conn), "checkout", victim); got != "on" {
				t.Errorf("%q is served", got)
			}
		})
	}
}
