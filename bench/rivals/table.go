package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Tables are in Markdown.

func header[C any](w io.Writer, what string, entrants []entrant[C], ratios ...string) {
	columns := make([]string, 0, 1+len(entrants)+len(ratios))
	columns = append(columns, what)
	for _, e := range entrants {
		columns = append(columns, e.name)
	}
	columns = append(columns, ratios...)
	line(w, columns)
	fmt.Fprintln(w, strings.Repeat("|---", len(columns))+"|")
}

func row(w io.Writer, name string, figures []figure, ratios ...string) {
	cells := make([]string, 0, 1+len(figures)+len(ratios))
	cells = append(cells, name)
	for _, f := range figures {
		cells = append(cells, f.String())
	}
	line(w, append(cells, ratios...))
}

func line(w io.Writer, cells []string) { fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |") }

// String is the time and, in brackets, the allocations.
func (f figure) String() string {
	if f.none() {
		return "-"
	}
	return fmt.Sprintf("%s (%.0f)", short(f.ns), f.allocs)
}

// short leaves three digits, and what is before the point.
func short(x float64) string {
	switch {
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// geometricMean is of the ratios that it was asked for.
type geometricMean struct{ logs, n float64 }

// ratio returns f / other and remembers it.
func (g *geometricMean) ratio(f, other figure) string {
	if f.none() || other.none() {
		return "-"
	}
	g.logs, g.n = g.logs+math.Log(f.ns/other.ns), g.n+1
	return ratio(f.ns / other.ns)
}

func (g *geometricMean) String() string { return ratio(math.Exp(g.logs / g.n)) }

func ratio(x float64) string {
	if x < 1 {
		return strconv.FormatFloat(x, 'f', 3, 64)
	}
	return short(x)
}
