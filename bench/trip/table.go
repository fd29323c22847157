package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

func writeHeader(out io.Writer) {
	fmt.Fprintln(out, "| treated | runs | decided p50 s | p95 | p99 | last relay p50 s | p95 | p99 | last client in process p50 s | p95 | p99 "+
		"| decision to last relay p50 ms | p99 | treated p50 | p99 | failed p50 | p99 | answers after the trip | exposures after the trip |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
}

func writeRow(out io.Writer, percent int, results []result) {
	answers, exposed := 0, 0
	for _, r := range results {
		answers, exposed = answers+r.answers, exposed+r.exposed
	}
	seconds := func(of func(result) time.Duration) string {
		return fmt.Sprintf("%.2f | %.2f | %.2f", percentile(results, 50, of).Seconds(), percentile(results, 95, of).Seconds(), percentile(results, 99, of).Seconds())
	}
	counts := func(of func(result) int64) string {
		return fmt.Sprintf("%d | %d", percentile(results, 50, of), percentile(results, 99, of))
	}
	fmt.Fprintf(out, "| %d%% | %d | %s | %s | %s | %s | %s | %s | %d | %d |\n", percent, len(results),
		seconds(func(r result) time.Duration { return r.decided }),
		seconds(func(r result) time.Duration { return r.relay }),
		seconds(func(r result) time.Duration { return r.inProcess }),
		counts(func(r result) int64 { return (r.relay - r.decided).Milliseconds() }),
		counts(func(r result) int64 { return int64(r.treated) }),
		counts(func(r result) int64 { return int64(r.failed) }),
		answers, exposed)
}

// percentile is the smallest value that p percent of all do not exceed.
func percentile[T time.Duration | int64](results []result, p int, of func(result) T) T {
	all := make([]T, len(results))
	for i, r := range results {
		all[i] = of(r)
	}
	slices.Sort(all)
	return all[max((len(all)*p+99)/100, 1)-1]
}
