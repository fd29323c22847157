// Command footprint measures what a relay takes: the size of its stripped binary, and
// its resident memory with flags of a usual size, as it came from upstream and after a
// restart from disk, some seconds after it began to serve.
//
//	go run ./bench/footprint [-flags 1000,10000] [-settle 15s]
//
// Linux only: memory is read from /proc.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/bench/testbed"
)

func main() {
	sizes := flag.String("flags", "1000,10000", "numbers of flags in the environment")
	settle := flag.Duration("settle", 15*time.Second, "how long the relay has served when it is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *sizes, *settle)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, sizes string, settle time.Duration) error {
	dir, err := os.MkdirTemp("", "tidegate-footprint-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := testbed.Build(ctx, dir); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(dir, "tidegate-relay"))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "stripped binary of the relay: %.1f MiB\n\n", mib(info.Size()))
	fmt.Fprintln(out, "| flags | state from | resident MiB | of it anonymous MiB |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-flags: %w", err)
		}
		if err := measure(ctx, out, dir, n, settle); err != nil {
			return fmt.Errorf("%d flags: %w", n, err)
		}
	}
	return nil
}

func measure(ctx context.Context, out io.Writer, dir string, flags int, settle time.Duration) error {
	bed, err := testbed.Start(ctx, dir, filepath.Join(dir, strconv.Itoa(flags)))
	if err != nil {
		return err
	}
	defer bed.Stop()
	if err := bed.Fill(ctx, flags); err != nil {
		return err
	}
	for _, from := range []string{"upstream", "disk"} {
		// Not the relay that was filled: what it once needed to follow the filling is not
		// what it needs to serve.
		bed.StopRelay()
		if from == "upstream" {
			if err := os.RemoveAll(filepath.Join(dir, strconv.Itoa(flags), "relay")); err != nil {
				return err
			}
		}
		if err := bed.StartRelay(ctx); err != nil {
			return err
		}
		if err := bed.AwaitRelay(ctx, 1); err != nil {
			return err
		}
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return ctx.Err()
		}
		resident, anonymous, err := memory(bed.RelayPID())
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "| %d | %s | %.1f | %.1f |\n", flags, from, mib(resident), mib(anonymous))
	}
	return nil
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// memory reads a process's resident memory, and the part of it that no file backs.
func memory(pid int) (resident, anonymous int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			resident = kb << 10
		}
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kb); err == nil {
			anonymous = kb << 10
		}
	}
	return resident, anonymous, nil
}
