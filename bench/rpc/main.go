// Command rpc measures what an evaluation costs a relay, from socket to socket, beside a
// bare grpc-go server that decodes the same requests and echoes an answer of the same
// size: the floor.
//
//	go run ./bench/rpc [-rounds 5] [-time 2s] [-only REGEXP]
//
// Real processes on loopback, logging and metrics as shipped. The server measured has one
// core, the load the other; the servers take turns, every other round backwards, and the medians
// of all rounds count. Loads that differ in one thing, such as a key that is presented, are also
// compared pair by pair: what one takes of the other in the same round.
// A request has a targeting key and five attributes; the flag a rule by e-mail suffix and
// a split.
// Linux only: processor times are read from /proc.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"google.golang.org/grpc/metadata"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"

	"github.com/tidegate/tidegate/bench/testbed"
	"github.com/tidegate/tidegate/internal/rollout"
	"github.com/tidegate/tidegate/internal/shipped"
)

type options struct {
	rounds int
	each   time.Duration
	only   *regexp.Regexp
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds, of which the median counts")
	flag.DurationVar(&o.each, "time", 2*time.Second, "time for one load in one round")
	only := flag.String("only", "", "measure the loads whose names match this `regexp`, and the floors")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if o.only, err = regexp.Compile(*only); err == nil {
		err = run(ctx, os.Stdout, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rpc:", err)
		os.Exit(1)
	}
}

const (
	serverCore = 0
	loadCore   = 1
	warmUp     = 300 * time.Millisecond
)

func run(ctx context.Context, out io.Writer, o options) error {
	dir, err := os.MkdirTemp("", "tidegate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := shipped.Build(ctx, ".", dir, "", "./bench/rpc/echo"); err != nil {
		return err
	}
	bed, err := startRelay(ctx, dir)
	if err != nil {
		return err
	}
	defer bed.Stop()
	addr, floor, err := startEcho(ctx, dir)
	if floor != nil {
		defer func() { _ = floor.Process.Kill(); _ = floor.Wait() }()
	}
	if err != nil {
		return err
	}
	secret, err := newKey(ctx, bed)
	if err != nil {
		return err
	}
	all := cases(bed, "Bearer "+secret, addr, floor.Process.Pid)
	if err := pinSelf(loadCore); err != nil {
		return err
	}
	samples := make([][]sample, len(all))
	turns := make([]int, len(all))
	for i := range turns {
		turns[i] = i
	}
	for range o.rounds {
		for _, i := range turns {
			c := all[i]
			if !c.floor && !o.only.MatchString(c.name) {
				continue
			}
			s, err := measure(ctx, c.load, c.connections, c.pid, warmUp, o.each)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", c.name, c.server(), err)
			}
			samples[i] = append(samples[i], s)
		}
		slices.Reverse(turns) // so that what drifts does so for both of a pair
	}
	report(out, all, samples)
	return nil
}

// startRelay starts a relay on the servers' core, with the flags that are asked for.
func startRelay(ctx context.Context, dir string) (*testbed.Bed, error) {
	bed, err := testbed.Start(ctx, dir, filepath.Join(dir, "data"))
	if err != nil {
		return nil, err
	}
	err = bed.Write(ctx, keys())
	if err == nil {
		bed.StopRelay()
		err = onCore(serverCore, func() error { return bed.StartRelay(ctx) })
	}
	if err == nil {
		err = bed.AwaitRelay(ctx, len(keys()))
	}
	if err == nil {
		err = watch(ctx, bed)
	}
	if err != nil {
		bed.Stop()
		return nil, err
	}
	return bed, nil
}

// newKey makes a key for evaluations, and waits until the relay knows it.
func newKey(ctx context.Context, bed *testbed.Bed) (secret string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	made, err := bed.Keys.CreateKey(ctx, &controlv1.CreateKeyRequest{
		Name: "bench", Environments: []string{testbed.Environment}, Role: accessv1.Role_ROLE_SDK_SERVER, Reason: "measure",
	})
	if err != nil {
		return "", err
	}
	presenting := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+made.GetSecret())
	for {
		_, err := bed.Relay.Evaluate(presenting, &evaluationv1.EvaluateRequest{FlagKey: oneKey})
		if err == nil {
			return made.GetSecret(), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the relay does not know the key: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// watch starts a rollout, and waits until the decider has seen that the relay counts by it.
func watch(ctx context.Context, bed *testbed.Bed) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	guardrail, err := rollout.ParseGuardrail("errors: rate < +50% relative")
	if err != nil {
		return err
	}
	if _, err := bed.Rollouts.StartRollout(ctx, &controlv1.StartRolloutRequest{Environment: testbed.Environment, Reason: "measure", Rollout: &rolloutv1.Rollout{
		Key: watchedKey, FlagKey: watchedKey, Treatment: "on", Strategy: rolloutv1.Strategy_STRATEGY_FIXED,
		Guardrails: []*rolloutv1.Guardrail{guardrail}, Owner: "bench",
	}}); err != nil {
		return err
	}
	for {
		if _, err := bed.Relay.Evaluate(ctx, &evaluationv1.EvaluateRequest{
			Environment: testbed.Environment, FlagKey: watchedKey, Context: &evaluationv1.EvaluationContext{TargetingKey: targetingKey},
		}); err != nil {
			return err
		}
		now, err := bed.Rollouts.GetRollout(ctx, &controlv1.GetRolloutRequest{Environment: testbed.Environment, Key: watchedKey})
		if err != nil {
			return err
		}
		if now.GetAssessment().GetTraffic() > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the relay does not count: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func startEcho(ctx context.Context, dir string) (addr string, cmd *exec.Cmd, err error) {
	if addr, err = testbed.FreeAddr(); err != nil {
		return "", nil, err
	}
	cmd = exec.CommandContext(ctx, filepath.Join(dir, "echo"), "-addr", addr) //nolint:gosec // built above
	cmd.Stderr = os.Stderr
	if err := onCore(serverCore, cmd.Start); err != nil {
		return "", nil, err
	}
	return addr, cmd, awaitListener(ctx, addr)
}

func awaitListener(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
