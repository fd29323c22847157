package main

import (
	"slices"
	"testing"
	"time"
)

// figure is what one call of a contender takes; zero where it cannot express the case.
type figure struct{ ns, allocs float64 }

func (f figure) none() bool { return f.ns == 0 }

// measurement says how long to measure.
type measurement struct {
	rounds int
	each   time.Duration // for one contender in one round
}

// figures times the contenders in turn, so that whatever else the machine does falls on
// all of them.
func (m measurement) figures(contenders []contender) []figure {
	times := make([][]float64, len(contenders))
	for range m.rounds {
		for i, c := range contenders {
			if c.decide != nil {
				times[i] = append(times[i], nsPerCall(c.decide, m.each))
			}
		}
	}
	figures := make([]figure, len(contenders))
	for i, c := range contenders {
		if c.decide != nil {
			figures[i] = figure{median(times[i]), testing.AllocsPerRun(10, func() { c.decide() })}
		}
	}
	return figures
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func nsPerCall(f func() bool, atLeast time.Duration) float64 {
	const largest = 1000
	start, calls := time.Now(), 0
	for batch := 1; ; batch = min(2*batch, largest) {
		for range batch {
			f()
		}
		calls += batch
		if elapsed := time.Since(start); elapsed >= atLeast {
			return float64(elapsed.Nanoseconds()) / float64(calls)
		}
	}
}
