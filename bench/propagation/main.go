// Command propagation measures write-to-visible: from the acknowledgement of a flag
// write to the changed answer at a relay (over its Watch stream) and in an in-process
// SDK, on real processes over loopback.
//
//	go run ./bench/propagation [-changes 1000] [-flags 100,10000] [-rounds 3]
//
// Each row is one round: percentiles over all changes, in milliseconds. A change that
// is visible before its acknowledgement arrives counts as 0.
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
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/clientsdk"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func main() {
	changes := flag.Int("changes", 1000, "changes measured in each round")
	sizes := flag.String("flags", "100,10000", "numbers of flags in the environment")
	rounds := flag.Int("rounds", 3, "rounds for each size")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *sizes, *changes, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "propagation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, sizes string, changes, rounds int) error {
	dir, err := os.MkdirTemp("", "tidegate-propagation-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build := exec.CommandContext(ctx, "go", "build", "-o", dir, "./cmd/tidegate", "./cmd/tidegate-relay")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the binaries (run this from the repository's root): %w", err)
	}
	fmt.Fprintf(out, "| flags | round | relay p50 ms | relay p99 ms | relay max ms | SDK p50 ms | SDK p99 ms | SDK max ms | write p50 ms | write p99 ms |\n")
	fmt.Fprintf(out, "|---|---|---|---|---|---|---|---|---|---|\n")
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-flags: %w", err)
		}
		if err := measure(ctx, out, dir, n, changes, rounds); err != nil {
			return fmt.Errorf("%d flags: %w", n, err)
		}
	}
	return nil
}

// measure runs all rounds of one size on fresh processes.
func measure(ctx context.Context, out io.Writer, dir string, flags, changes, rounds int) error {
	b := &bed{dir: filepath.Join(dir, strconv.Itoa(flags))}
	defer b.stop()
	if err := b.start(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx, flags); err != nil {
		return err
	}
	if err := b.follow(ctx, flags); err != nil {
		return err
	}
	for round := range rounds {
		var writes, relay, sdk []time.Duration
		for i := range changes {
			w, r, s, err := b.change(ctx, fmt.Sprintf("flag-%d", i%flags))
			if err != nil {
				return err
			}
			writes, relay, sdk = append(writes, w), append(relay, r), append(sdk, s)
		}
		fmt.Fprintf(out, "| %d | %d | %s | %s | %s | %s | %s | %s | %s | %s |\n", flags, round+1,
			percentile(relay, 50), percentile(relay, 99), percentile(relay, 100),
			percentile(sdk, 50), percentile(sdk, 99), percentile(sdk, 100),
			percentile(writes, 50), percentile(writes, 99))
	}
	return nil
}

func percentile(d []time.Duration, p int) string {
	slices.Sort(d)
	i := min(len(d)*p/100, len(d)-1)
	return strconv.FormatFloat(float64(d[i].Microseconds())/1000, 'f', 2, 64)
}

// bed is one server, one relay, one watcher of the relay and one in-process SDK behind
// the relay.
type bed struct {
	dir       string
	processes []*exec.Cmd
	conns     []io.Closer
	control   controlv1.FlagServiceClient
	relay     evaluationv1.EvaluationServiceClient
	relayAddr string

	watch evaluationv1.EvaluationService_WatchClient
	sdk   clientsdk.Client
	seen  chan seen // of the watch
	told  chan seen // of the SDK
}

// seen is when a flag's revision became visible.
type seen struct {
	key      string
	revision int64
	at       time.Time
}

func (b *bed) start(ctx context.Context) error {
	addrs, err := freeAddrs(5)
	if err != nil {
		return err
	}
	b.relayAddr = addrs[2]
	binaries := filepath.Dir(b.dir)
	if err := b.spawn(ctx, filepath.Join(binaries, "tidegate"), "server", "--data-dir", filepath.Join(b.dir, "server"),
		"--grpc-addr", addrs[0], "--http-addr", addrs[1], "--log-level", "warn"); err != nil {
		return err
	}
	if err := b.spawn(ctx, filepath.Join(binaries, "tidegate-relay"), "--upstream", addrs[0], "--environments", "production",
		"--grpc-addr", addrs[2], "--http-addr", addrs[3], "--management-addr", addrs[4],
		"--state-dir", filepath.Join(b.dir, "relay"), "--log-level", "warn"); err != nil {
		return err
	}
	for _, addr := range []string{addrs[0], addrs[2]} {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(256<<20)))
		if err != nil {
			return err
		}
		b.conns = append(b.conns, conn)
		if addr == addrs[0] {
			b.control = controlv1.NewFlagServiceClient(conn)
		} else {
			b.relay = evaluationv1.NewEvaluationServiceClient(conn)
		}
	}
	return nil
}

func (b *bed) spawn(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	b.processes = append(b.processes, cmd)
	return nil
}

func (b *bed) stop() {
	if b.sdk != nil {
		b.sdk.Close()
	}
	for _, c := range b.conns {
		c.Close()
	}
	for _, p := range b.processes {
		_ = p.Process.Signal(os.Interrupt)
		_ = p.Wait()
	}
}

// definition is a flag of a usual size: a rule, a split, a description.
func definition(key string, enabled bool) *flagv1.Flag {
	variant := func(name string) *flagv1.Outcome {
		return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: name}}
	}
	return &flagv1.Flag{
		Key: key, Description: "A flag to measure how fast a change travels.", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN,
		Enabled: enabled, OffVariant: "off", Owner: "bench",
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

// fill writes the flags, 30 a transaction.
func (b *bed) fill(ctx context.Context, flags int) error {
	for from := 0; from < flags; from += 30 {
		request := &controlv1.ApplyRequest{Environment: "production", Reason: "measure"}
		for i := from; i < min(from+30, flags); i++ {
			request.Flags = append(request.Flags, &controlv1.FlagWrite{Flag: definition(fmt.Sprintf("flag-%d", i), true)})
		}
		if _, err := b.control.Apply(ctx, request); err != nil {
			return err
		}
	}
	return nil
}

// follow opens the watch and the SDK, and waits until both have every flag.
func (b *bed) follow(ctx context.Context, flags int) error {
	b.seen, b.told = make(chan seen, 4096), make(chan seen, 4096)
	deadline := time.Now().Add(time.Minute)
	for {
		all, err := b.relay.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{Environment: "production"})
		if err == nil && len(all.GetEvaluations()) >= flags {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the relay does not get %d flags (last error: %v)", flags, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	watch, err := b.relay.Watch(ctx, &evaluationv1.WatchRequest{
		Environment: "production", Context: &evaluationv1.EvaluationContext{TargetingKey: "user-1"},
	})
	if err != nil {
		return err
	}
	if _, err := watch.Recv(); err != nil { // all answers as they are now
		return err
	}
	go func() {
		for {
			m, err := watch.Recv()
			if err != nil {
				return
			}
			at := time.Now()
			for _, e := range m.GetEvaluations() {
				b.seen <- seen{e.GetFlagKey(), e.GetFlagRevision(), at}
			}
		}
	}()
	return b.followInProcess(ctx)
}

// followInProcess opens the SDK; each change that it is told of, it evaluates.
func (b *bed) followInProcess(ctx context.Context) error {
	sdk, err := clientsdk.NewInProcess(ctx, b.relayAddr, "production")
	if err != nil {
		return err
	}
	b.sdk = sdk
	if err := sdk.WaitReady(ctx); err != nil {
		return err
	}
	user := clientsdk.User("user-1")
	sdk.OnChange(func(keys []string) {
		for _, key := range keys {
			d := sdk.BooleanDetails(ctx, key, user, false)
			b.told <- seen{key, d.FlagRevision, time.Now()}
		}
	})
	return nil
}

// change switches a flag and returns how long the write took, and how long after its
// acknowledgement the relay and the SDK answered with it.
func (b *bed) change(ctx context.Context, key string) (write, relay, sdk time.Duration, err error) {
	current, err := b.control.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: "production", FlagKey: key})
	if err != nil {
		return 0, 0, 0, err
	}
	begin := time.Now()
	r, err := b.control.SetEnabled(ctx, &controlv1.SetEnabledRequest{
		Environment: "production", FlagKey: key, Enabled: !current.GetFlag().GetFlag().GetEnabled(), Reason: "measure",
	})
	if err != nil {
		return 0, 0, 0, err
	}
	acknowledged, revision := time.Now(), r.GetFlag().GetRevision()
	if relay, err = await(b.seen, key, revision, acknowledged); err != nil {
		return 0, 0, 0, fmt.Errorf("relay: %w", err)
	}
	if sdk, err = await(b.told, key, revision, acknowledged); err != nil {
		return 0, 0, 0, fmt.Errorf("SDK: %w", err)
	}
	return acknowledged.Sub(begin), relay, sdk, nil
}

func await(c <-chan seen, key string, revision int64, acknowledged time.Time) (time.Duration, error) {
	timeout := time.After(30 * time.Second)
	for {
		select {
		case s := <-c:
			if s.key == key && s.revision >= revision {
				return max(0, s.at.Sub(acknowledged)), nil
			}
		case <-timeout:
			return 0, fmt.Errorf("%s at revision %d is not visible after 30 s", key, revision)
		}
	}
}

func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
