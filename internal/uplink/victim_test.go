package uplink_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/spool"
	"github.com/tidegate/tidegate/internal/uplink"
)

const (
	victimDir      = "UPLINK_TEST_DIR"
	victimUpstream = "UPLINK_TEST_UPSTREAM"
)

// victim is a relay process. It appends as fast as it can, from several goroutines, and
// writes which batches are durable, until it is killed; or, with nothing to append, until
// everything is acknowledged.
func victim(dir, upstream string) int {
	s, err := spool.Open(spool.Options{InstanceID: "victim", Dir: dir, MaxBytes: 16 << 20, Logger: zerolog.Nop()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	u, err := uplink.New(uplink.Options{
		InstanceID: "victim", Spool: s, Upstream: func() string { return upstream }, Environments: []string{"production"},
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
		BackoffMin:  time.Millisecond, BackoffMax: 10 * time.Millisecond, Logger: zerolog.Nop(),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	go func() { _ = u.Run(context.Background()) }() // until the process ends
	if os.Getenv(victimAppends) == "" {
		for s.Totals().Batches > 0 || len(s.Accounts()) > 1 {
			time.Sleep(time.Millisecond)
		}
		return 0
	}
	for range 8 {
		go func() {
			for i := uint64(1); ; i++ {
				r, err := s.Append(spool.Entry{Batch: batch(i % 10), Counted: i % 10})
				if err == nil && r.Durable {
					fmt.Printf("%s=%d\n", key(r.Sender), i%10) //nolint:forbidigo // this is how it tells
				}
			}
		}()
	}
	select {}
}

const victimAppends = "UPLINK_TEST_APPENDS"

// TestKilled kills a process with SIGKILL, time and again, while it appends and sends. What it
// said was durable is counted, once; in the end everything is settled.
func TestKilled(t *testing.T) {
	c := newCollector()
	g := grpc.NewServer()
	telemetryv1.RegisterCollectorServiceServer(g, c)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = g.Serve(l) }() // ends with Stop
	defer g.Stop()
	dir := t.TempDir()
	start := func(env ...string) (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), append(env, victimDir+"="+dir, victimUpstream+"="+l.Addr().String())...)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewScanner(out)
	}
	durable := make(map[string]bool)
	for life := range 6 {
		cmd, lines := start(victimAppends + "=1")
		for n := 0; lines.Scan(); n++ {
			durable[lines.Text()] = true
			if n == 40*(life+1) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
	}
	cmd, _ := start()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	counted := c.countedNow()
	sent := make(map[string]bool)
	for k, events := range counted {
		sent[fmt.Sprintf("%s=%d", k, events)] = true
	}
	for line := range durable {
		// A process that is killed may leave half a line.
		if strings.Contains(line, "=") && !sent[line] {
			t.Errorf("%s was durable, and is not counted", line)
		}
	}
	if len(durable) < 6*40 || len(c.ledgers) < 6 {
		t.Errorf("only %d batches of %d boots were durable", len(durable), len(c.ledgers))
	}
	c.check(t)
}
