package main

import (
	"math"
	"slices"
)

// stageTime is how long the baselines stay at a stage; what they look at is told below. They
// end at 100%, without a control.
const stageTime = 300

// totals are sums of seconds.
type totals struct {
	exposures, errors, wrong float64
	sum, sumSquares          float64
	latency                  [bins]float64
}

func (s *totals) add(a *arm) {
	s.exposures += float64(a.exposures)
	s.errors += float64(a.errors)
	s.wrong += float64(a.wrong)
	s.sum += a.sum
	s.sumSquares += a.sumSquares
	for i, n := range &a.latency {
		s.latency[i] += float64(n)
	}
}

// quantileBin is the bin of the q-quantile of the latencies.
func (s *totals) quantileBin(q float64) int {
	rank := q * s.exposures
	for i, n := range &s.latency {
		if rank -= n; rank <= 0 {
			return i
		}
	}
	return bins - 1
}

func (s *totals) above(bin int) float64 {
	n := 0.0
	for _, c := range s.latency[bin+1:] {
		n += c
	}
	return n
}

// ladder climbs the stages, one each time.
type ladder struct {
	stage, since int
}

// climb leaves the stage if its time is over at the end of second t.
func (l *ladder) climb(t, time int) (uint32, state, bool) {
	left := t+1-l.since >= time
	if left {
		l.stage, l.since = l.stage+1, t+1
	}
	if l.stage == len(weights)-1 {
		return weights[l.stage], completed, left
	}
	return weights[l.stage], running, left
}

// static is the usual alert: each 30 s the treatment's last 30 s are held against thresholds
// that someone chose, twice what is usual for errors. Three failures in a row roll back.
type static struct {
	ladder
	window totals
	failed int
}

const (
	staticWindow  = 30
	staticFails   = 3
	staticErrors  = 2 * baseErrors
	staticWrong   = 0.16
	staticLatency = 0.2 // s, of the mean
	staticP99     = 0.5 // s
)

func (c *static) observe(t int, arms *[2]arm) (uint32, state) {
	c.window.add(&arms[treatment])
	if (t+1)%staticWindow == 0 {
		w := &c.window
		bad := w.errors > staticErrors*w.exposures || w.wrong > staticWrong*w.exposures ||
			w.sum > staticLatency*w.exposures || w.above(binOf(staticP99)) > 0.01*w.exposures && w.exposures >= 100
		c.failed++
		if !bad {
			c.failed = 0
		}
		c.window = totals{}
		if c.failed >= staticFails {
			return 0, rolledBack
		}
	}
	weight, s, _ := c.climb(t, stageTime)
	return weight, s
}

// canary judges as Kayenta's NetflixACAJudge does: a Mann-Whitney test of both variants'
// series of one point a minute, for each metric; a metric is high if the 98% confidence
// interval of the Hodges-Lehmann shift is above a quarter of the shift. It sees no labels, as
// they come from no metrics store. It judges once, at the end of a stage of ten points (its
// documentation asks for 50); any metric that is high rolls back.
type canary struct {
	ladder
	minute [2]totals
	series [2][3][]float64
}

const canaryPoints = 10

func (c *canary) observe(t int, arms *[2]arm) (uint32, state) {
	for i := range arms {
		c.minute[i].add(&arms[i])
	}
	if (t+1-c.since)%60 == 0 {
		for i := range c.minute {
			if m := &c.minute[i]; m.exposures > 0 {
				for j, v := range [...]float64{m.errors / m.exposures, m.sum / m.exposures, valueOf(m.quantileBin(0.99))} {
					c.series[i][j] = append(c.series[i][j], v)
				}
			}
			c.minute[i] = totals{}
		}
	}
	weight, s, left := c.climb(t, canaryPoints*60)
	if !left {
		return weight, s
	}
	for j := range c.series[0] {
		if high(c.series[treatment][j], c.series[control][j]) {
			return 0, rolledBack
		}
	}
	c.series = [2][3][]float64{}
	return weight, s
}

// high says whether x is above y, with 98% confidence, by a quarter of the shift or more.
func high(x, y []float64) bool {
	if len(x) == 0 || len(y) == 0 {
		return false
	}
	var shifts []float64
	for _, a := range x {
		for _, b := range y {
			shifts = append(shifts, a-b)
		}
	}
	slices.Sort(shifts)
	n := len(shifts)
	estimate := (shifts[(n-1)/2] + shifts[n/2]) / 2
	lower := shifts[max(1, mannWhitneyQuantile(len(x), len(y), 0.01))-1]
	return lower > 0.25*math.Abs(estimate)
}

// mannWhitneyQuantile is the least u with P(U ≤ u) ≥ p, for U of samples of m and n without
// ties.
func mannWhitneyQuantile(m, n int, p float64) int {
	// The number of orders with U = u satisfies ways(i,j,u) = ways(i-1,j,u-j) + ways(i,j-1,u):
	// the largest is an x, above all j y's, or a y.
	most := m * n
	ways := make([][]float64, m+1) // at j y's
	for i := range ways {
		ways[i] = make([]float64, most+1)
		ways[i][0] = 1
	}
	for j := 1; j <= n; j++ {
		for i := 1; i <= m; i++ {
			next := make([]float64, most+1)
			copy(next, ways[i])
			for u := j; u <= most; u++ {
				next[u] += ways[i-1][u-j]
			}
			ways[i] = next
		}
	}
	total, sum := 0.0, 0.0
	for _, w := range ways[m] {
		total += w
	}
	for u, w := range ways[m] {
		if sum += w; sum >= p*total {
			return u
		}
	}
	return most
}

// peek tests the sums of the stage every 5 s, one-sided at 1%, as if it were the only look:
// errors, mispredictions, values above control's p99, and the mean latency.
type peek struct {
	ladder
	stage [2]totals
}

const (
	peekEvery = 5
	peekLeast = 30 // exposures of each
)

func (c *peek) observe(t int, arms *[2]arm) (uint32, state) {
	for i := range arms {
		c.stage[i].add(&arms[i])
	}
	if (t+1)%peekEvery == 0 && c.worse() {
		return 0, rolledBack
	}
	weight, s, left := c.climb(t, stageTime)
	if left {
		c.stage = [2]totals{}
	}
	return weight, s
}

func (c *peek) worse() bool {
	x, y := &c.stage[treatment], &c.stage[control]
	if min(x.exposures, y.exposures) < peekLeast {
		return false
	}
	const z = 2.326
	edge := y.quantileBin(0.99)
	for _, n := range [...][2]float64{{x.errors, y.errors}, {x.wrong, y.wrong}, {x.above(edge), y.above(edge)}} {
		pooled := (n[0] + n[1]) / (x.exposures + y.exposures)
		se := math.Sqrt(pooled * (1 - pooled) * (1/x.exposures + 1/y.exposures))
		if n[0]/x.exposures-n[1]/y.exposures > z*se && se > 0 {
			return true
		}
	}
	variance := func(s *totals) float64 {
		mean := s.sum / s.exposures
		return (s.sumSquares/s.exposures - mean*mean) / s.exposures
	}
	return x.sum/x.exposures-y.sum/y.exposures > z*math.Sqrt(variance(x)+variance(y))
}
