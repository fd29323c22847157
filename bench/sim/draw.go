package main

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// draws are random numbers of the distributions that the world is made of.
type draws struct{ *rand.Rand }

func newDraws(seed, run uint64) draws {
	return draws{rand.New(rand.NewPCG(seed, run))} //nolint:gosec // a world that can be repeated, no secrets
}

// poisson draws from a Poisson distribution: by products of uniform numbers up to a mean of
// 30, above as a sum of ones below (of which the sum is one again).
func (d draws) poisson(mean float64) int {
	n := 0
	for mean > 30 {
		n += d.poisson(30)
		mean -= 30
	}
	if mean <= 0 {
		return n
	}
	limit := math.Exp(-mean)
	for p := d.Float64(); p > limit; p *= d.Float64() {
		n++
	}
	return n
}

// binomial draws the number of successes of n trials. Rare ones are found by the (geometric)
// waiting times between them; p = 1/2 by counting bits; others one by one.
func (d draws) binomial(n int, p float64) int {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case p > 0.5:
		return n - d.binomial(n, 1-p)
	case p == 0.5:
		k := 0
		for ; n >= 64; n -= 64 {
			k += bits.OnesCount64(d.Uint64())
		}
		return k + bits.OnesCount64(d.Uint64()&(1<<n-1))
	case p > 0.25:
		k := 0
		for range n {
			if d.Float64() < p {
				k++
			}
		}
		return k
	}
	k, at, scale := 0, 0, math.Log1p(-p)
	for {
		at += int(math.Log(1-d.Float64())/scale) + 1
		if at > n {
			return k
		}
		k++
	}
}

// alias draws from a discrete distribution in constant time (A. Walker, 1977).
type alias struct {
	keep  []float64
	other []int
}

func newAlias(weights []float64) alias {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	n := len(weights)
	a := alias{keep: make([]float64, n), other: make([]int, n)}
	var small, large []int
	for i, w := range weights {
		a.keep[i] = w / sum * float64(n)
		if a.keep[i] < 1 {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.other[s] = l
		a.keep[l] -= 1 - a.keep[s]
		if a.keep[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) {
		a.keep[i], a.other[i] = 1, i
	}
	return a
}

func (a alias) draw(d draws) int {
	x := d.Float64() * float64(len(a.keep))
	i := int(x)
	if x-float64(i) < a.keep[i] {
		return i
	}
	return a.other[i]
}
