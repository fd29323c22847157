package judge

import (
	"testing"

	"github.com/tidegate/tidegate/internal/guardrail"
)

// population are subjects by their hash, who come to each step of a rollout, in their order, and
// at each of them to all who count.
type population []uint32

func (w world) population(n int) population {
	p := make(population, n)
	for i := range p {
		p[i] = w.Uint32N(fullWeight)
	}
	return p
}

// walk shows the ratio all subjects at each weight, and tells whether it was ever held, and
// ever shut for a lack, by looking often.
func (p population) walk(weights []uint32, counters int, budget float64) (held, shut bool) {
	const looks = 8
	var stages []stage
	for _, weight := range weights {
		stages = append(stages, stage{weight: weight})
	}
	for _, weight := range weights {
		r := ratio{weight: weight}
		for range counters {
			var met [2]bool
			for i, hash := range p {
				arm := control
				if hash < weight {
					arm = treatment
				}
				if r.subjects[arm]++; !met[arm] {
					met[arm] = true
					r.counters[arm]++
				}
				if (i+1)%(len(p)/looks) == 0 {
					held = held || r.logE() >= guardrail.LogThreshold(sampleRatioAlpha)
					shut = shut || r.lacks(budget*sampleRatioShare, stages)
				}
			}
		}
	}
	return held, shut
}

// TestSampleRatioOfThoseWhoReturn: subjects who come again, at the next step, at another relay or
// to one that was restarted, are no further evidence: what chance has given a variant too much
// or too little stays what it was.
func TestSampleRatioOfThoseWhoReturn(t *testing.T) {
	t.Parallel()
	var fine []uint32
	for i := range uint32(32) {
		fine = append(fine, 1000+250*i)
	}
	coarse := []uint32{100, 500, 2000, 5000, 9800}
	for name, c := range map[string]struct {
		weights  []uint32
		counters int
	}{
		"five steps":                  {coarse, 1},
		"thirty-two steps":            {fine, 1},
		"five who count, or restarts": {coarse, 5},
		"twenty who count":            {coarse[3:4], 20},
	} {
		const runs = 400
		w := newWorld(31)
		held, shut := 0, 0
		for range runs {
			h, s := w.population(2000).walk(c.weights, c.counters, defaultBudget)
			if h {
				held++
			}
			if s {
				shut++
			}
		}
		// Of a step 0.4 and 0.04 are to be expected at most; of many with the same subjects, little more.
		if held > 4 || shut > 1 {
			t.Errorf("%s: of %d good rollouts %d were held, and %d shut", name, runs, held, shut)
		}
	}
}
