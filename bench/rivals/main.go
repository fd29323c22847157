// Command rivals times this project's engine and LaunchDarkly's
// (github.com/launchdarkly/go-server-sdk-evaluation) on the same cases, alternately, in
// one run, and prints the medians of several rounds in ns per evaluation.
//
// LaunchDarkly's evaluator is handed the flag, so EvaluateFlag is its equal; Evaluate,
// which looks the flag up by its key, is shown beside it. It is a module of its own so
// that the rival is no dependency of the project.
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 10, "rounds, of which the median counts")
	each := flag.Duration("time", 50*time.Millisecond, "time for one engine and case in one round")
	flags := flag.Int("flags", 1000, "flags in the environment beside the case's own")
	flag.Parse()
	if err := run(os.Stdout, *rounds, *each, *flags); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(w io.Writer, rounds int, each time.Duration, flags int) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "case\tEvaluateFlag\tEvaluate\tLaunchDarkly\tratio\tratio with look-up\t")
	product, productLookup, n := 1.0, 1.0, 0.0
	for _, d := range definitions() {
		tide, err := newTidegate(d, flags)
		if err != nil {
			return err
		}
		m := medians(rounds, each, tide.evaluateFlag, tide.evaluate, newLaunchDarkly(d).evaluate)
		row(table, d.name, m)
		product, productLookup, n = product*m[0]/m[2], productLookup*m[1]/m[2], n+1
	}
	fmt.Fprintf(table, "geometric mean\t\t\t\t%.3f\t%.3f\t\n", math.Pow(product, 1/n), math.Pow(productLookup, 1/n))
	build := func() bool { return tidegateContext(targetingKey) != nil }
	row(table, "building the context", medians(rounds, each, build, build, func() bool {
		return launchDarklyContext(targetingKey).IsDefined()
	}))
	return table.Flush()
}

func row(w io.Writer, name string, m []float64) {
	fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.3f\t%.3f\t\n", name, m[0], m[1], m[2], m[0]/m[2], m[1]/m[2])
}

// medians times the functions in turn, so that whatever else the machine does falls on
// all of them, and returns the median ns per call of each.
func medians(rounds int, each time.Duration, functions ...func() bool) []float64 {
	times := make([][]float64, len(functions))
	for range rounds {
		for i, f := range functions {
			times[i] = append(times[i], nsPerCall(f, each))
		}
	}
	m := make([]float64, len(functions))
	for i, t := range times {
		slices.Sort(t)
		m[i] = (t[(rounds-1)/2] + t[rounds/2]) / 2
	}
	return m
}

func nsPerCall(f func() bool, each time.Duration) float64 {
	const batch = 1000
	calls := 0
	start := time.Now()
	for time.Since(start) < each {
		for range batch {
			f()
		}
		calls += batch
	}
	return float64(time.Since(start).Nanoseconds()) / float64(calls)
}
