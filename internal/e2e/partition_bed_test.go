package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/clientsdk"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// awayID is the name of the relay that is cut off.
const awayID = "away"

// partition is a server and two relays with users, one of which is behind a link that can be
// cut, and has a client that evaluates in process.
type partition struct {
	t          *testing.T
	server     *bed.Server
	link       *proxy.Proxy
	away, near *bed.Relay
	sdk        clientsdk.Client
	evaluation map[*bed.Relay]evaluationv1.EvaluationServiceClient
	users      *users
	// victim is served the treatment of a rollout to half of the subjects.
	victim string
}

func newPartition(t *testing.T) *partition {
	t.Helper()
	p := &partition{t: t, server: bed.NewServer(t, bin, "--data-dir", t.TempDir())}
	p.server.Start()
	var err error
	if p.link, err = proxy.New(p.server.GRPC, 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.link.Close() })
	p.away = newNamedRelay(t, awayID, p.link.Addr())
	p.near = newNamedRelay(t, "near", p.server.GRPC)
	p.ok("apply", "-f", "testdata/off.yaml", "--reason", "test")
	p.away.Start()
	p.near.Start()
	bed.Eventually(t, "the server knows both relays", func() error { return lists(t, p.server, awayID, "near") })

	p.sdk = p.newClient()
	p.evaluation = map[*bed.Relay]evaluationv1.EvaluationServiceClient{}
	for _, r := range []*bed.Relay{p.away, p.near} {
		p.evaluation[r] = evaluationv1.NewEvaluationServiceClient(bed.Dial(t, r.GRPC))
	}
	p.users = newUsers(t, p.away, p.near)
	return p
}

// newClient starts one that evaluates in process, behind the relay that is cut off.
func (p *partition) newClient() clientsdk.Client {
	p.t.Helper()
	c, err := clientsdk.NewInProcess(p.t.Context(), p.away.GRPC, bed.Environment)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	if err := c.WaitReady(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// ok runs the operator's tool, which must succeed.
func (p *partition) ok(args ...string) string {
	p.t.Helper()
	out, code := command(p.t, p.server.GRPC, append(args, "--environment", bed.Environment)...)
	if code != 0 {
		p.t.Fatalf("%v: exit code %d\n%s", args, code, out)
	}
	return out
}

// findVictim finds a subject of the half that is treated, once some are.
func (p *partition) findVictim() {
	p.t.Helper()
	bed.Eventually(p.t, "somebody is treated", func() error {
		for i := range 20 {
			if p.victim = fmt.Sprintf("victim-%d", i); p.variantAt(p.near) == "on" {
				return nil
			}
		}
		return errors.New("nobody is")
	})
}

// variantAt is what the victim is served at a relay.
func (p *partition) variantAt(r *bed.Relay) string {
	p.t.Helper()
	a, err := p.ask(p.t.Context(), r)
	if err != nil {
		p.t.Fatal(err)
	}
	return a.GetVariant()
}

func (p *partition) ask(ctx context.Context, r *bed.Relay) (*evaluationv1.EvaluateResponse, error) {
	return p.evaluation[r].Evaluate(ctx, &evaluationv1.EvaluateRequest{
		Environment: bed.Environment, FlagKey: "checkout", Context: &evaluationv1.EvaluationContext{TargetingKey: p.victim},
	})
}

func (p *partition) relayServes(r *bed.Relay, want string) {
	p.t.Helper()
	bed.Eventually(p.t, want+" is served", func() error {
		if got := p.variantAt(r); got != want {
			return fmt.Errorf("%q is", got)
		}
		return nil
	})
}

func (p *partition) sdkServes(want string) { p.t.Helper(); p.clientServes(p.sdk, want) }

func (p *partition) clientServes(c clientsdk.Client, want string) {
	p.t.Helper()
	bed.Eventually(p.t, want+" is served in process", func() error {
		if got := c.BooleanDetails(p.t.Context(), "checkout", clientsdk.User(p.victim), false).Variant; got != want {
			return fmt.Errorf("%q is", got)
		}
		return nil
	})
}

func (p *partition) everybodyServes(want string) {
	p.t.Helper()
	p.relayServes(p.near, want)
	p.relayServes(p.away, want)
	p.sdkServes(want)
}

// watchVictim asks for the victim without pause, at the relay that is cut off and in process.
// What it returns ends that, and fails the test if the treatment was ever served.
func (p *partition) watchVictim() (end func()) {
	ctx, stop := context.WithCancel(context.Background())
	var answers, treated [2]int
	var asking sync.WaitGroup
	for i, variant := range []func() (string, error){
		func() (string, error) {
			a, err := p.ask(ctx, p.away)
			return a.GetVariant(), err
		},
		func() (string, error) {
			return p.sdk.BooleanDetails(ctx, "checkout", clientsdk.User(p.victim), false).Variant, nil
		},
	} {
		asking.Go(func() {
			for ctx.Err() == nil {
				if v, err := variant(); err == nil {
					answers[i]++
					if v != "off" {
						treated[i]++
					}
				}
				time.Sleep(5 * time.Millisecond) // the machine has other things to do
			}
		})
	}
	p.t.Cleanup(func() { stop(); asking.Wait() })
	return func() {
		p.t.Helper()
		stop()
		asking.Wait()
		if answers[0] == 0 || answers[1] == 0 || treated != [2]int{} {
			p.t.Errorf("of %d answers of the relay and in process, %d were not the control", answers, treated)
		}
	}
}

// users come to both relays until the test ends. Some of them fail anyway; where the treatment
// is bad, most of the treated do.
type users struct {
	badAway, badNear atomic.Bool
}

const (
	// usersEvery is how often some come to each relay, and usersAtOnce how many.
	usersEvery  = 100 * time.Millisecond
	usersAtOnce = 10
)

func newUsers(t *testing.T, away, near *bed.Relay) *users {
	t.Helper()
	u := &users{}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	come := func(r *bed.Relay, bad *atomic.Bool) {
		conn := bed.Dial(t, r.GRPC)
		evaluation, telemetry := evaluationv1.NewEvaluationServiceClient(conn), telemetryv1.NewTelemetryServiceClient(conn)
		running.Go(func() {
			for i := 0; ctx.Err() == nil; i += usersAtOnce {
				// A relay that was killed loses calls; nobody calls again.
				q := &telemetryv1.TrackRequest{Environment: bed.Environment}
				for n := range usersAtOnce {
					if e := visit(ctx, evaluation, i+n, bad.Load()); e != nil {
						q.Events = append(q.Events, e)
					}
				}
				_, _ = telemetry.Track(ctx, q)
				select {
				case <-ctx.Done():
				case <-time.After(usersEvery):
				}
			}
		})
	}
	come(away, &u.badAway)
	come(near, &u.badNear)
	return u
}

// visit has a user served, and returns what came of it; nil: nothing is known.
func visit(ctx context.Context, evaluation evaluationv1.EvaluationServiceClient, user int, bad bool) *telemetryv1.Event {
	subject := &evaluationv1.EvaluationContext{TargetingKey: fmt.Sprintf("user-%d", user)}
	a, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: bed.Environment, FlagKey: "checkout", Context: subject})
	if err != nil {
		return nil
	}
	failed := user%50 == 0 || bad && a.GetVariant() == "on" && user%3 > 0
	return &telemetryv1.Event{Context: subject, Observations: []*telemetryv1.Observation{{
		Metric: "errors", Value: &telemetryv1.Observation_Happened{Happened: failed},
	}}}
}
