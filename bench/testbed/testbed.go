// Package testbed starts the processes that the load generators measure: the binaries
// as they ship, on loopback, with flags of a usual size.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/loopback"
	"github.com/tidegate/tidegate/internal/shipped"
)

// Environment is where the flags are.
const Environment = "production"

// patience bounds the wait for processes to be ready.
const patience = time.Minute

// ForSizes builds the binaries into a directory of its own and calls measure for each of
// the sizes, numbers separated by commas, with a directory for its data; it removes them
// all in the end.
func ForSizes(ctx context.Context, sizes string, measure func(bin, data string, flags int) error) error {
	bin, err := os.MkdirTemp("", "tidegate-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	if err := shipped.Build(ctx, ".", bin, ""); err != nil {
		return err
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-flags: %w", err)
		}
		if err := measure(bin, filepath.Join(bin, size), n); err != nil {
			return fmt.Errorf("%d flags: %w", n, err)
		}
	}
	return nil
}

// Bed is one control server and one relay behind it.
type Bed struct {
	*Server
	Relay evaluationv1.EvaluationServiceClient
	// The relay's addresses for gRPC and for HTTP.
	RelayAddr, RelayHTTPAddr string

	relay *Relay
	conn  *grpc.ClientConn // to the relay
}

// Start starts a server and a relay from the binaries in bin, with their data in dir.
func Start(ctx context.Context, bin, dir string) (_ *Bed, err error) {
	server, err := StartServer(ctx, bin, dir)
	if err != nil {
		return nil, err
	}
	b := &Bed{Server: server}
	defer func() {
		if err != nil {
			b.Stop()
		}
	}()
	if b.relay, err = StartRelay(ctx, bin, dir, "relay", server.Addr); err != nil {
		return nil, err
	}
	b.RelayAddr, b.RelayHTTPAddr = b.relay.Addr, b.relay.HTTPAddr
	if b.conn, err = connect(b.RelayAddr); err != nil {
		return nil, err
	}
	b.Relay = evaluationv1.NewEvaluationServiceClient(b.conn)
	return b, nil
}

// StartRelay starts the relay again, after StopRelay.
func (b *Bed) StartRelay(ctx context.Context) error { return b.relay.Start(ctx) }

// StopRelay ends the relay as an operator would.
func (b *Bed) StopRelay() { b.relay.Stop() }

// RelayPID is the relay's process id.
func (b *Bed) RelayPID() int { return b.relay.PID() }

// Stop ends everything.
func (b *Bed) Stop() {
	if b.conn != nil {
		b.conn.Close()
	}
	if b.relay != nil {
		b.relay.Stop()
	}
	b.Server.Stop()
}

func spawn(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

func end(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
}

func connect(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(256<<20)))
}

// Key is the key of the i-th flag.
func Key(i int) string { return fmt.Sprintf("flag-%d", i) }

// Fill writes n flags, and waits until the relay has them.
func (b *Bed) Fill(ctx context.Context, n int) error { return b.Write(ctx, Keys(n)) }

// Write writes flags of these keys, and waits until the relay has as many.
func (b *Bed) Write(ctx context.Context, keys []string) error {
	if err := b.Server.Fill(ctx, keys, 0); err != nil {
		return err
	}
	return b.AwaitRelay(ctx, len(keys))
}

// AwaitRelay waits until the relay answers for n flags.
func (b *Bed) AwaitRelay(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		all, err := b.Relay.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{Environment: Environment})
		if err == nil && len(all.GetEvaluations()) >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the relay has %d of %d flags: %w", len(all.GetEvaluations()), n, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// definition is a flag of a usual size: a rule, a split, a description.
func definition(key string) *flagv1.Flag {
	variant := func(name string) *flagv1.Outcome {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: name}}
	}
	return &flagv1.Flag{
		Key: key, Description: "A flag to measure how fast a change travels.", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN,
		Enabled: true, OffVariant: "off", Owner: "bench",
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
		},
		Rules: []*flagv1.Rule{{Id: "staff", Outcome: variant("on"), Clauses: []*flagv1.Clause{{
			Attribute: "email", Operator: flagv1.Operator_OPERATOR_ENDS_WITH,
			Values: []*structpb.Value{structpb.NewStringValue("@mycompany.com")},
		}}}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
			Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 1}, {Variant: "off", Weight: 99}},
		}}},
	}
}

// FreeAddr returns an address on loopback that nobody listens on.
func FreeAddr() (string, error) {
	addrs, err := loopback.Addrs(1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}
