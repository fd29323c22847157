package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidegate/tidegate/internal/judge"
)

// method is a way to decide.
type method struct {
	name, title string
	new         func() (controller, error)
}

// minDwell is the core's least time at a stage.
const minDwell = time.Minute

func methods() []method {
	baseline := func(name, title string, c func() controller) method {
		return method{name, title, func() (controller, error) { return c(), nil }}
	}
	return []method{
		baseline("static", "fixed + static", func() controller { return &static{} }),
		baseline("canary", "Kayenta-like", func() controller { return &canary{} }),
		baseline("peek", "naive peek", func() controller { return &peek{} }),
		{"core", "tidegate", func() (controller, error) { return newCore(1, minDwell, judge.GatedDwell{}) }},
		{"core-5s", "tidegate, 5 s windows", func() (controller, error) { return newCore(5, minDwell, judge.GatedDwell{}) }},
	}
}

// table prints a row for each scenario, a column for each method, and what is behind it.
type table struct {
	options options
	cells   map[*scenario][]string
	details []string
}

func newTable(o options) *table { return &table{options: o, cells: map[*scenario][]string{}} }

func (t *table) add(s *scenario, m method, rs []result) {
	o := count(rs)
	t.cells[s] = append(t.cells[s], o.cell(s))
	t.details = append(t.details, fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |", s.name, m.title,
		share(o.wrongly(s), o.runs), share(o.full, o.runs), share(o.completed, o.runs),
		times(o.detected), times(o.harmed), times(o.fulls)))
}

func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "%d runs each, seed %d.\n\n| scenario |", t.options.runs, t.options.seed)
	for _, m := range t.options.methods {
		fmt.Fprintf(w, " %s |", m.title)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---|", len(t.options.methods)))
	for _, s := range t.options.scenarios {
		fmt.Fprintf(w, "| %s | %s |\n", s.title(), strings.Join(t.cells[s], " | "))
	}
	fmt.Fprintf(w, "\nShares with their 95%% bounds (Clopper-Pearson); times in seconds and counts as median, 95th percentile.\n\n"+
		"| scenario | method | rolled back without or before a fault | reached 100%% | completed in an hour | fault to rollback | exposures to the fault | to 100%% |\n"+
		"|---|---|---|---|---|---|---|---|\n%s\n", strings.Join(t.details, "\n"))
}

// outcome adds up results.
type outcome struct {
	runs, back, before, full, completed int
	detected, harmed, fulls             []int
	why                                 map[string]int
}

func count(rs []result) outcome {
	o := outcome{runs: len(rs), why: map[string]int{}}
	for _, r := range rs {
		if r.full >= 0 {
			o.full++
			o.fulls = append(o.fulls, r.full)
		}
		switch r.state {
		case completed:
			o.completed++
		case rolledBack:
			o.back++
			o.why[r.why]++
			if r.before {
				o.before++
				break
			}
			o.detected = append(o.detected, r.detected)
			o.harmed = append(o.harmed, r.harmed)
		}
	}
	for _, v := range [][]int{o.detected, o.harmed, o.fulls} {
		slices.Sort(v)
	}
	return o
}

// wrongly is how many were rolled back though nothing was wrong (yet).
func (o *outcome) wrongly(s *scenario) int {
	if s.healthy {
		return o.back
	}
	return o.before
}

// cell is what a scenario is about.
func (o *outcome) cell(s *scenario) string {
	percent := func(n int) string { return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(o.runs)) }
	if s.healthy {
		return fmt.Sprintf("%s / %s", percent(o.back), number(o.fulls, 0.5))
	}
	early := ""
	if o.before*100 > o.runs {
		early = fmt.Sprintf(" (%s before)", percent(o.before))
	}
	return fmt.Sprintf("%s / %s / %s%s", number(o.detected, 0.5), number(o.harmed, 0.5), percent(o.full), early)
}

func (s *scenario) title() string {
	if s.healthy {
		return s.name + ": false rollbacks / s to 100%"
	}
	return s.name + ": s to rollback / exposures / reached 100%"
}

func summary(s *scenario, rs []result) string {
	o := count(rs)
	return o.cell(s) + fmt.Sprintf("  detected %s, full %s %s, %v", times(o.detected), times(o.fulls), share(o.full, o.runs), o.why)
}

func quantile(sorted []int, q float64) int {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func number(sorted []int, q float64) string {
	if len(sorted) == 0 {
		return "never"
	}
	return strconv.Itoa(quantile(sorted, q))
}

func times(sorted []int) string {
	if len(sorted) == 0 {
		return "never"
	}
	return fmt.Sprintf("%d, %d", quantile(sorted, 0.5), quantile(sorted, 0.95))
}

// share writes k of n with its exact two-sided 95% bounds.
func share(k, n int) string {
	lower, upper := clopperPearson(k, n, 0.05)
	return fmt.Sprintf("%.2f%% (%.2f to %.2f)", 100*float64(k)/float64(n), 100*lower, 100*upper)
}

// clopperPearson returns the exact bounds of a proportion of which k of n were seen (C.
// Clopper, E. Pearson, 1934), by bisection of the binomial distribution function.
func clopperPearson(k, n int, alpha float64) (lower, upper float64) {
	upper = 1
	if k > 0 {
		lower = bisect(func(p float64) bool { return 1-binomialCDF(k-1, n, p) < alpha/2 })
	}
	if k < n {
		upper = bisect(func(p float64) bool { return binomialCDF(k, n, p) >= alpha/2 })
	}
	return lower, upper
}

// bisect returns where holds turns from true to false in [0, 1].
func bisect(holds func(float64) bool) float64 {
	lo, hi := 0.0, 1.0
	for range 60 {
		if mid := (lo + hi) / 2; holds(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// binomialCDF is P(X ≤ k) of n trials.
func binomialCDF(k, n int, p float64) float64 {
	if p <= 0 {
		return 1
	}
	sum := 0.0
	logP, logQ := math.Log(p), math.Log1p(-p)
	choose := 0.0 // ln of n over i
	for i := 0; i <= k; i++ {
		if i > 0 {
			choose += math.Log(float64(n-i+1)) - math.Log(float64(i))
		}
		sum += math.Exp(choose + float64(i)*logP + float64(n-i)*logQ)
	}
	return min(1, sum)
}
