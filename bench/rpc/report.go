package main

import (
	"fmt"
	"io"
	"slices"
)

// report prints one line a load, with the ratio of its processor time for one evaluation
// to that of the echo: of the case named, else of the unary one.
func report(out io.Writer, all []testCase, samples [][]sample) {
	floors := map[string]sample{}
	for i, c := range all {
		if c.floor {
			floors[c.name] = median(samples[i])
		}
	}
	fmt.Fprintln(out, "| load | server | in flight | requests/s | p50 us | p99 us | p99.9 us | CPU us a request | an evaluation | to the unary echo |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|")
	for i, c := range all {
		if len(samples[i]) == 0 {
			continue
		}
		s := median(samples[i])
		one := s.cpu / float64(c.evaluations)
		fmt.Fprintf(out, "| %s | %s | %s | %.0f | %.0f | %.0f | %.0f | %.1f | %.2f | %.3f |\n",
			c.name, c.server(), c.inFlight, s.rate, s.p50, s.p99, s.p99_9, s.cpu, one, one/floors[unaryName].cpu)
	}
	compare(out, all, samples)
}

// compare prints how loads that differ in one thing compare, over the rounds: medians and
// quartiles of the ratios.
func compare(out io.Writer, all []testCase, samples [][]sample) {
	head := "\n| load | beside | pairs | requests/s | CPU a request |\n|---|---|---|---|---|\n"
	for i, c := range all {
		other := slices.IndexFunc(all, func(o testCase) bool { return o.name == c.beside && !o.floor })
		if c.beside == "" || len(samples[i]) == 0 || len(samples[other]) == 0 {
			continue
		}
		rates, cpus := make([]float64, len(samples[i])), make([]float64, len(samples[i]))
		for round, s := range samples[i] {
			rates[round], cpus[round] = s.rate/samples[other][round].rate, s.cpu/samples[other][round].cpu
		}
		fmt.Fprintf(out, "%s| %s | %s | %d | %s | %s |\n", head, c.name, c.beside, len(rates), quartiles(rates), quartiles(cpus))
		head = ""
	}
}

// quartiles are the median, and the middle half around it.
func quartiles(values []float64) string {
	slices.Sort(values)
	at := func(q float64) float64 { return values[int(q*float64(len(values)-1)+.5)] }
	return fmt.Sprintf("%.3f (%.3f to %.3f)", at(.5), at(.25), at(.75))
}
