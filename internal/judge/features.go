package judge

import (
	"math"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// Features is the observation as numbers of about unit size, for policies that are learned:
//
//	 0- 3  the stage, one-hot; the fourth stands for all beyond
//	    4  dwell / least dwell, at most 4
//	    5  time since the rollout began, in hours, at most 4
//	 6- 9  evidence of harm / threshold of the first four guardrails, -1 to 1
//	10-12  ln of the ratio of the first three that compare rates or quantiles, -3 to 3
//	13-15  ln of their upper bounds, -3 to 3
//	16-17  the first mean's difference and its upper bound, in margins, -3 to 3
//	   18  log10 of the exposures a second / 5
//	   19  evidence of a sample ratio mismatch / threshold, -1 to 1
//	   20  1 if control is in trouble
//	   21  1 if every gate is passed
//
// Guardrails that there are not, and what is not known, are 0; an upper bound that is not
// known is 3. It finds roots: tens of microseconds.
func (o *Observation) Features() [22]float64 {
	var v [22]float64
	s := o.state
	v[min(o.Stage, 3)] = 1
	v[4] = clamp(o.Dwell.Seconds()/max(o.MinDwell.Seconds(), 1), 0, 4)
	v[5] = clamp(o.Elapsed.Hours(), 0, 4)
	ratios, means := 0, 0
	for i, plan := range s.plan.guards {
		g := &s.guards[i]
		if i < 4 {
			harm, _ := g.harm(plan, stakesOf(s.step))
			v[6+i] = clamp(harm/plan.logThreshold, -1, 1) //nolint:gosec // i is below 4: 9 at most
		}
		switch plan.kind {
		case kindCounts, kindQuantile:
			if ratios < 3 {
				v[10+ratios], v[13+ratios] = g.logRatio()
				ratios++
			}
		case kindMean:
			if means == 0 {
				v[16], v[17] = g.meanFeatures(plan)
				means++
			}
		}
	}
	v[18] = ln(1+s.traffic(s.exposures[treatment]+s.exposures[control])) / ln(1e5)
	v[19] = clamp(s.ratio.logE()/guardrail.LogThreshold(sampleRatioAlpha), -1, 1)
	v[21] = 1
	for _, w := range o.Waits {
		switch w.Reason {
		case ReasonControl:
			v[20] = 1
		case ReasonGate:
			v[21] = 0
		}
	}
	return v
}

func clamp(x, lo, hi float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return min(max(x, lo), hi)
}

func (g *guardState) logRatio() (estimate, upper float64) {
	const most = 3
	ratio, ok := g.ratio()
	if !ok {
		return 0, most
	}
	return clamp(ln(ratio.Estimate), -most, most), clamp(ln(ratio.Upper), -most, most)
}

func (g *guardState) meanFeatures(plan *guard) (estimate, upper float64) {
	const most = 3
	unit := plan.harmless(&g.scale.control)
	if unit == 0 || g.contrast.test == nil {
		return 0, most
	}
	i, err := g.contrast.test.OneSided(&g.contrast.difference, gateAlpha)
	if err != nil {
		return 0, most
	}
	if plan.direction == guardrail.Decrease {
		i.Estimate, i.Upper = -i.Estimate, -i.Lower
	}
	return clamp(i.Estimate/unit, -most, most), clamp(i.Upper/unit, -most, most)
}

// ln is the logarithm that has the same bits everywhere.
func ln(x float64) float64 { return -guardrail.LogThreshold(x) }
