// Command trip measures how long a treatment that breaks is served, on real processes over
// loopback.
//
//	go run ./bench/trip [-runs 50] [-weights 5,50] [-relays 3] [-rate 200]
//
// Each run rolls out a flag of its own, in one stage. Users, of whom nobody comes twice for
// long, are served by the relays in turn, and what became of each is told to the relay. One
// request in 100 fails. At a random moment, one to five seconds after every relay serves the
// stage, the treatment breaks: from then on it fails 20 times as often, one request in 5.
//
// The time begins with the first failure that the fault has caused, as it is sent. It ends at a
// relay with its first answer of the control to subjects who were treated, all of which it
// gives from then on: they ask every few milliseconds. For clients that evaluate in process
// it is the same.
//
// An exposure after the trip is an answer of the treatment that a relay gave from the revision
// of the trip, or a later one, or to a request that was sent after it had been seen to serve
// the control.
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

	"github.com/tidegate/tidegate/internal/shipped"
)

// options are what is asked for.
type options struct {
	runs, relays, rate int
	percents           []int
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 50, "runs of each weight")
	flag.IntVar(&o.relays, "relays", 3, "relays")
	flag.IntVar(&o.rate, "rate", 200, "requests a second, over all relays")
	weights := flag.String("weights", "5,50", "percent of the users that are treated")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if o.percents, err = percents(*weights); err == nil {
		err = run(ctx, os.Stdout, os.Stderr, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "trip:", err)
		os.Exit(1)
	}
}

// percents reads numbers from 1 to 99, separated by commas.
func percents(text string) ([]int, error) {
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 || n > 99 {
			return nil, fmt.Errorf("-weights: %q is no number from 1 to 99", part)
		}
		all = append(all, n)
	}
	return all, nil
}

func run(ctx context.Context, out, progress io.Writer, o options) error {
	if o.runs < 1 || o.relays < 1 || o.rate < 1 {
		return fmt.Errorf("-runs %d, -relays %d, -rate %d: each must be at least 1", o.runs, o.relays, o.rate)
	}
	dir, err := os.MkdirTemp("", "tidegate-trip-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := shipped.Build(ctx, ".", dir, ""); err != nil {
		return err
	}
	s, err := open(ctx, dir, filepath.Join(dir, "data"), o)
	if err != nil {
		return err
	}
	defer s.close()
	writeHeader(out)
	for _, percent := range o.percents {
		var results []result
		for i := range o.runs {
			r, err := s.trip(ctx, fmt.Sprintf("trip-%d-%d", percent, i+1), percent)
			if err != nil {
				return fmt.Errorf("run %d at %d%%: %w", i+1, percent, err)
			}
			results = append(results, r)
			fmt.Fprintf(progress, "%d%%, run %d of %d: %s\n", percent, i+1, o.runs, r)
		}
		writeRow(out, percent, results)
	}
	return nil
}
