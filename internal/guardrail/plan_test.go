package guardrail

import (
	"errors"
	"math"
	"testing"
)

// TestDetect runs the average of what is expected through the breaker: it takes about as
// many exposures as was said.
func TestDetect(t *testing.T) {
	t.Parallel()
	const alpha = 0.004
	for _, c := range []struct {
		d     Direction
		r0    float64
		ratio float64
	}{{Increase, 1, 5}, {Increase, 1.05, 2.1}, {Decrease, 0.9, 0.3}} {
		b := breaker(t, c.d, c.r0, Schedule{Horizon: 360})
		traffic := Traffic{RateT: 0.02 * c.ratio, RateC: 0.02, Share: 0.2}
		d := must[Detection](t)(b.Detect(traffic, alpha))
		near(t, "treatment's share", d.TreatmentExposures, d.Exposures*0.2, 1e-12)
		const size = 10000
		window := Counts{
			ExposuresT: size * 0.2, ExposuresC: size * 0.8,
			EventsT: int64(size * 0.2 * traffic.RateT), EventsC: size * 0.8 * 0.02,
		}
		var s RateBreakerState
		windows := 0.0
		for ; s.LogE() < LogThreshold(alpha); windows++ {
			if err := b.Observe(&s, window); err != nil {
				t.Fatal(err)
			}
		}
		if got := windows * size; got < d.Exposures*0.5 || got > d.Exposures*1.5+size {
			t.Errorf("%v %v: took %v exposures, %v were expected", c.d, c.ratio, got, d.Exposures)
		}
		ratio := must[float64](t)(b.DetectableRatio(0.02, 0.2, d.Exposures, alpha))
		near(t, "detectable ratio", ratio, c.ratio, 1e-9)
	}
}

func TestDetectNothing(t *testing.T) {
	t.Parallel()
	up, down := breaker(t, Increase, 1.05, Schedule{Horizon: 360}), breaker(t, Decrease, 0.9, Schedule{Horizon: 360})
	for _, x := range []struct {
		b *RateBreaker
		t Traffic
	}{
		{up, Traffic{RateT: 0.0105, RateC: 0.01, Share: 0.5}},
		{up, Traffic{RateT: 0.005, RateC: 0.01, Share: 0.5}},
		{up, Traffic{Share: 0.5}},
		{down, Traffic{RateT: 0.01, RateC: 0.01, Share: 0.5}},
	} {
		if d := must[Detection](t)(x.b.Detect(x.t, 0.01)); !math.IsInf(d.Exposures, 1) || !math.IsInf(d.Events, 1) {
			t.Errorf("%+v: %+v", x.t, d)
		}
	}
	// All of the events are treatment's.
	if d := must[Detection](t)(up.Detect(Traffic{RateT: 0.01, Share: 0.5}, 0.01)); !positive(d.Exposures) {
		t.Errorf("%+v", d)
	}
	if r := must[float64](t)(up.DetectableRatio(0.01, 0.5, 1, 0.01)); !math.IsInf(r, 1) {
		t.Errorf("one exposure detects %v", r)
	}
	if r := must[float64](t)(down.DetectableRatio(0.01, 0.5, 1, 0.01)); r != 0 {
		t.Errorf("one exposure detects %v", r)
	}
}

func TestBadTraffic(t *testing.T) {
	t.Parallel()
	b := breaker(t, Increase, 1.05, Schedule{Horizon: 360})
	g := must[*RateGate](t)(NewRateGate(RateGateOptions{Ratio: 2}))
	nan := math.NaN()
	for _, x := range []Traffic{
		{RateT: -0.1, Share: 0.5},
		{RateC: 1.1, Share: 0.5},
		{RateT: nan, Share: 0.5},
		{RateC: nan, Share: 0.5},
		{},
		{Share: 1},
		{Share: nan},
	} {
		_, detect := b.Detect(x, 0.01)
		_, pass := g.ExposuresToPass(&RateGateState{}, x, 3)
		_, ratio := b.DetectableRatio(x.RateC, x.Share, 100, 0.01)
		if !errors.Is(detect, ErrOptions) || !errors.Is(pass, ErrOptions) || x.RateT == 0 && !errors.Is(ratio, ErrOptions) {
			t.Errorf("%+v: %v, %v, %v, want ErrOptions", x, detect, pass, ratio)
		}
	}
	_, alpha := b.Detect(Traffic{Share: 0.5}, 0)
	_, ratio := b.DetectableRatio(0.01, 0.5, 100, 1)
	if !errors.Is(alpha, ErrOptions) || !errors.Is(ratio, ErrOptions) {
		t.Errorf("%v, %v, want ErrOptions", alpha, ratio)
	}
}

// TestExposuresToPass runs the average of what is expected through the gate, from the
// beginning and from halfway.
func TestExposuresToPass(t *testing.T) {
	t.Parallel()
	threshold := LogThreshold(0.05)
	for _, c := range []struct {
		d     Direction
		r1    float64
		ratio float64
	}{{Increase, 3, 1}, {Increase, 1.5, 0.5}, {Decrease, 0.5, 1}} {
		g := must[*RateGate](t)(NewRateGate(RateGateOptions{Direction: c.d, Ratio: c.r1}))
		traffic := Traffic{RateT: 0.02 * c.ratio, RateC: 0.02, Share: 0.2}
		const size = 500
		window := Counts{
			ExposuresT: size * 0.2, ExposuresC: size * 0.8,
			EventsT: int64(size * 0.2 * traffic.RateT), EventsC: size * 0.8 * 0.02,
		}
		var s RateGateState
		first := must[float64](t)(g.ExposuresToPass(&s, traffic, threshold))
		windows := 0.0
		for ; s.LogE() < threshold; windows++ {
			left := must[float64](t)(g.ExposuresToPass(&s, traffic, threshold))
			if want := first - windows*size; math.Abs(left-want) > first/100 {
				t.Errorf("%+v: after %v exposures %v are left, of %v", c, windows*size, left, first)
			}
			if err := g.Observe(&s, window); err != nil {
				t.Fatal(err)
			}
		}
		if got := windows * size; got < first*0.5 || got > first+size {
			t.Errorf("%+v: took %v exposures, %v were expected", c, got, first)
		}
		if left := must[float64](t)(g.ExposuresToPass(&s, traffic, threshold)); left != 0 {
			t.Errorf("%+v: passed, and %v are left", c, left)
		}
		bad := Traffic{RateT: 0.02 * c.r1, RateC: 0.02, Share: 0.2}
		if left := must[float64](t)(g.ExposuresToPass(&RateGateState{}, bad, threshold)); !math.IsInf(left, 1) {
			t.Errorf("%+v: as bad as what must be ruled out, and %v are left", c, left)
		}
	}
}
