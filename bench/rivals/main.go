// Command rivals times this project's engine and those of others on the same cases,
// alternately, in one run, and prints the medians of several rounds, in ns for one
// evaluation and in allocations.
//
// LaunchDarkly's evaluator is handed the flag, so EvaluateFlag is its equal; Evaluate,
// which looks the flag up by its key, is the equal of GrowthBook's and Statsig's. It is
// a module of its own so that the rivals are no dependencies of the project.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	var m measurement
	flag.IntVar(&m.rounds, "rounds", 10, "rounds, of which the median counts")
	flag.DurationVar(&m.each, "time", 20*time.Millisecond, "time for one engine and case in one round")
	more := flag.Int("flags", 1000, "flags in the environment beside the case's own")
	flag.Parse()
	if err := run(os.Stdout, m, *more); err != nil {
		fmt.Fprintln(os.Stderr, "rivals:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, m measurement, more int) error {
	if err := compareEngines(w, m, more); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return compareExpressions(w, m)
}
