package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// result is one line of a Go benchmark.
var result = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op(?:.*?([0-9.]+) allocs/op)?`)

// goBenchTable makes a table of what `go test -bench` prints: of each benchmark the
// median of its runs.
func goBenchTable(output string) (string, error) {
	type runs struct{ ns, allocs []float64 }
	all, order := map[string]*runs{}, []string{}
	for _, match := range result.FindAllStringSubmatch(output, -1) {
		name := match[1]
		if all[name] == nil {
			all[name], order = &runs{}, append(order, name)
		}
		ns, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			return "", err
		}
		all[name].ns = append(all[name].ns, ns)
		if match[3] == "" {
			continue
		}
		allocs, err := strconv.ParseFloat(match[3], 64)
		if err != nil {
			return "", err
		}
		all[name].allocs = append(all[name].allocs, allocs)
	}
	if len(order) == 0 {
		return "", errors.New("there are no results of benchmarks")
	}
	var table strings.Builder
	table.WriteString("| benchmark | ns | allocations |\n|---|---|---|\n")
	for _, name := range order {
		fmt.Fprintf(&table, "| %s | %s | %s |\n",
			strings.NewReplacer("_", " ", "/", ", ").Replace(name), median(all[name].ns), median(all[name].allocs))
	}
	return table.String(), nil
}

// median is written in full where it has three digits before the point; "-" of nothing.
func median(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	slices.Sort(values)
	m := (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	if m >= 100 || m == float64(int64(m)) {
		return strconv.FormatFloat(m, 'f', 0, 64)
	}
	return strconv.FormatFloat(m, 'f', 1, 64)
}
