package relay

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// The variables with which this test's binary is a relay.
const (
	relayUpstream = "TIDEGATE_TEST_RELAY_UPSTREAM"
	relayState    = "TIDEGATE_TEST_RELAY_STATE"
)

// beRelay runs a relay until it is killed, and prints its address once it serves.
func beRelay() {
	o := options(os.Getenv(relayUpstream), production)
	o.StateDir, o.InstanceID = os.Getenv(relayState), "victim"
	o.Logger = zerolog.New(os.Stderr).Level(zerolog.ErrorLevel)
	r, err := Open(context.Background(), o)
	if err == nil {
		go func() {
			<-r.evaluation.environments[0].replica.Ready()
			_, _ = os.Stdout.WriteString(r.GRPCAddr() + "\n")
		}()
		err = r.Run(context.Background())
	}
	o.Logger.Error().Err(err).Msg("the relay ended")
	os.Exit(1)
}

// relayProcess starts a relay in a process of its own.
func relayProcess(t *testing.T, upstream, state string) (address string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), relayUpstream+"="+upstream, relayState+"="+state)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), kill
}

// What Track has acknowledged is counted, once, although the relay is killed before its
// upstream has it, and the caller sends the last of it again.
func TestTrackSurvivesKill(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000))
	p.collected.setAway(true)
	upstream, _ := p.serve()
	state := t.TempDir()
	send := func(address string, sequence uint64) {
		t.Helper()
		q := &telemetryv1.TrackRequest{Sender: &telemetryv1.Sender{InstanceId: "sdk", BootId: "one", Sequence: sequence}}
		for i := range 3 {
			q.Events = append(q.Events, &telemetryv1.Event{Context: subject(i), Observations: failed()})
		}
		if _, err := track(t.Context(), dial(t, address), q); err != nil {
			t.Fatal(err)
		}
	}
	const calls = 5
	for sequence := uint64(1); sequence <= calls; sequence++ {
		address, kill := relayProcess(t, upstream, state)
		if sequence > 1 {
			send(address, sequence-1)
		}
		send(address, sequence)
		kill()
	}
	p.collected.setAway(false)
	_, kill := relayProcess(t, upstream, state)
	eventually(t, "telemetry", func() bool { return p.collected.sums().events >= 3*calls })
	kill()
	if got := p.collected.sums().events; got != 3*calls {
		t.Errorf("%d events were collected, want %d", got, 3*calls)
	}
	p.collected.check(t)
}

// What a relay has served is counted, or declared lost by the next process, although it is
// killed before it had it on disk: in each life, and where one is killed before it could declare
// what the one before had lost.
func TestExposuresOverKill(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000))
	upstream, _ := p.serve()
	state := t.TempDir()
	served := 0
	for life := range 6 {
		address, kill := relayProcess(t, upstream, state)
		evaluations := evaluationv1.NewEvaluationServiceClient(dial(t, address))
		for range 100 * (life % 3) {
			if _, err := evaluations.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "checkout", Context: subject(served)}); err != nil {
				t.Fatal(err)
			}
			served++
		}
		kill()
	}
	_, kill := relayProcess(t, upstream, state)
	sums := func() (counted, lost uint64) {
		s := p.collected.sums()
		p.collected.mu.Lock()
		defer p.collected.mu.Unlock()
		for _, a := range p.collected.tallies {
			lost += a.GetLost()
		}
		return s.exposures, lost
	}
	eventually(t, "telemetry", func() bool { counted, lost := sums(); return counted+lost >= uint64(served) })
	kill()
	counted, lost := sums()
	if counted+lost != uint64(served) || lost == 0 {
		t.Errorf("%d were served, %d are counted and %d declared lost", served, counted, lost)
	}
	p.collected.check(t)
}
