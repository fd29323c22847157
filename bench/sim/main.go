// Command sim runs rollouts in a world that is drawn from a seed, under the real judge and under
// three usual ways to decide, and prints what became of them.
//
//	go run ./bench/sim [-runs 10000] [-scenario healthy,x5-at-5] [-method core] [-seed 1]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type options struct {
	runs      int
	seed      uint64
	scenarios []*scenario
	methods   []method
}

func main() {
	runs := flag.Int("runs", 1000, "rollouts of each scenario and method")
	seed := flag.Uint64("seed", 1, "of everything that is drawn")
	names := flag.String("scenario", "", "scenarios, by name; empty: all")
	ways := flag.String("method", "", "methods, by name; empty: all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	o := options{runs: *runs, seed: *seed}
	for _, s := range scenarios() {
		if chosen(*names, s.name) {
			o.scenarios = append(o.scenarios, s)
		}
	}
	for _, m := range methods() {
		if chosen(*ways, m.name) {
			o.methods = append(o.methods, m)
		}
	}
	err := unknown(*names, o.scenarios, *ways, o.methods)
	if err == nil {
		err = run(ctx, os.Stdout, os.Stderr, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func chosen(list, name string) bool {
	return list == "" || slices.Contains(strings.Split(list, ","), name)
}

// unknown says which of the names asked for there is not.
func unknown(names string, scenarios []*scenario, ways string, methods []method) error {
	for name := range strings.SplitSeq(names, ",") {
		if name != "" && !slices.ContainsFunc(scenarios, func(s *scenario) bool { return s.name == name }) {
			return fmt.Errorf("-scenario: there is none called %q", name)
		}
	}
	for name := range strings.SplitSeq(ways, ",") {
		if name != "" && !slices.ContainsFunc(methods, func(m method) bool { return m.name == name }) {
			return fmt.Errorf("-method: there is none called %q", name)
		}
	}
	return nil
}

// result is what became of one rollout. Times are in seconds; -1: it did not come to it.
type result struct {
	state    state
	before   bool // rolled back before there was a fault
	detected int  // from the fault to the rollback
	harmed   int  // exposures of the treatment since the fault
	full     int  // until all but the holdback had the treatment
	ended    int
	why      string
}

func run(ctx context.Context, out, progress io.Writer, o options) error {
	l := newLatencies()
	table := newTable(o)
	for _, s := range o.scenarios {
		for _, m := range o.methods {
			began := time.Now()
			results, err := simulate(ctx, s, m, l, o)
			if err != nil {
				return err
			}
			table.add(s, m, results)
			fmt.Fprintf(progress, "%-12s %-10s %6.1fs  %s\n", s.name, m.name, time.Since(began).Seconds(), summary(s, results))
		}
	}
	table.print(out)
	return nil
}

func simulate(ctx context.Context, s *scenario, m method, l *latencies, o options) ([]result, error) {
	results := make([]result, o.runs)
	var next atomic.Int64
	var group sync.WaitGroup
	var failed atomic.Pointer[error]
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for ctx.Err() == nil && failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= o.runs {
					return
				}
				c, err := m.new()
				if err != nil {
					failed.Store(&err)
					return
				}
				results[i] = rollout(newWorld(s, l, o.seed, uint64(i)), c)
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return results, ctx.Err()
}

// rollout runs one rollout to its end, or the horizon.
func rollout(w *world, c controller) result {
	r := result{detected: -1, full: -1, ended: horizon}
	weight := weights[0]
	for t := range horizon {
		arms := w.second(t, weight)
		r.harmed += arms[treatment].harmed
		var s state
		weight, s = c.observe(t, arms)
		if weight >= 9800 && r.full < 0 {
			r.full = t + 1
		}
		if s == running {
			continue
		}
		r.state, r.ended = s, t+1
		if s == rolledBack {
			r.before = !w.faulty(t)
			r.detected = t + 1 - w.onset
			if x, ok := c.(*core); ok {
				r.why = x.why
			}
		}
		break
	}
	return r
}
