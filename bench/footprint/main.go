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
	fmt.Fprintln(out, "| flags | state from | resident MiB | of it anonymous MiB | stripped binary MiB |")
	fmt.Fprintln(out, "|---|---|---|---|---|")
	return testbed.ForSizes(ctx, sizes, func(bin, data string, flags int) error {
		return measure(ctx, out, bin, data, flags, settle)
	})
}

func measure(ctx context.Context, out io.Writer, bin, data string, flags int, settle time.Duration) error {
	binary, err := os.Stat(filepath.Join(bin, "tidegate-relay"))
	if err != nil {
		return err
	}
	bed, err := testbed.Start(ctx, bin, data)
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
			if err := os.RemoveAll(filepath.Join(data, "relay")); err != nil {
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
		fmt.Fprintf(out, "| %d | %s | %.1f | %.1f | %.1f |\n", flags, from, mib(resident), mib(anonymous), mib(binary.Size()))
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
