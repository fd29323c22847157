package main

import "math"

// The world: requests of users to a service, a share of which is served the treatment, second
// by second.
const (
	horizon    = 3600      // s
	users      = 1_000_000 // who come at random
	baseErrors = 0.01
	baseWrong  = 0.10 // of the model's predictions
	// Latency: log-normal, capped as a timeout caps it.
	medianLatency = 0.080 // s
	sigmaLatency  = 0.5
	// A request of the p99 fault takes slow times as long.
	slow = 5
)

// Bins of a sketch of relative accuracy 1%: bin i holds values in (gamma^(i-1), gamma^i].
const (
	gamma    = 1.01 / 0.99
	firstBin = -250 // 7 ms
	bins     = 370  // up to 11 s
)

func binOf(v float64) int {
	i := int(math.Ceil(math.Log(v)/math.Log(gamma))) - firstBin
	return min(max(i, 0), bins-1)
}

// valueOf is the middle of a bin.
func valueOf(bin int) float64 { return math.Pow(gamma, float64(bin+firstBin)) * 2 / (1 + gamma) }

// latencies is the distribution of a healthy request's latency over the bins, and the values
// of the bins.
type latencies struct {
	alias  alias
	values [bins]float64
}

func newLatencies() *latencies {
	l := &latencies{}
	var p [bins]float64
	cdf := func(v float64) float64 {
		return 0.5 * math.Erfc(-math.Log(v/medianLatency)/(sigmaLatency*math.Sqrt2))
	}
	for i := range p {
		l.values[i] = valueOf(i)
		p[i] = cdf(math.Pow(gamma, float64(i+firstBin))) - cdf(math.Pow(gamma, float64(i+firstBin-1)))
	}
	l.alias = newAlias(p[:])
	return l
}

const (
	treatment = iota
	control
)

// arm is what one variant did in a second.
type arm struct {
	exposures, newUsers int
	errors              int // as the telemetry counts them
	wrong               int
	sum, sumSquares     float64 // of latencies, s
	latency             [bins]uint64
	// harmed are the exposures since the fault began.
	harmed int
}

// scenario is a world's way.
type scenario struct {
	name string
	// traffic and errors are factors on 200 requests a second and 1% errors, of both variants,
	// at a time in seconds.
	rps     float64
	traffic func(w *world, t int) float64
	errors  func(w *world, t int) float64
	// What the treatment does once the fault is there.
	errorFactor float64
	wrongFactor float64
	slowShare   float64
	creep       float64 // s of latency more, each second, up to creepMost
	creepMost   float64
	lost        float64 // share of the treatment's subjects that never arrive
	// The fault begins at a random second of the first minute at this weight; 0: with the
	// rollout.
	faultWeight uint32
	healthy     bool
	// Errors come in episodes: a user fails again and again, once a second, for a time of this
	// mean. 0: each request by itself.
	episode float64
	dedup   dedup
}

// dedup is how the telemetry counts a user's errors.
type dedup int

const (
	dedupNone dedup = 0 // each
	// Above 0: once in so many seconds, by the clock.
	dedupShort dedup = 10
	dedupLong  dedup = 600
)

type world struct {
	*scenario
	d         draws
	latencies *latencies
	phase     [2]float64
	outage    int
	onset     int // second at which the fault begins; -1: not known yet
	arms      [2]arm
	episodes  []episode
	weight    uint32
	since     int // when the weight changed
}

// episode is a user in trouble.
type episode struct {
	hash    float64 // below the treatment's share: it is served it
	left    int     // s
	counted int     // when the newest error was counted, in units of dedup
}

func newWorld(s *scenario, l *latencies, seed, run uint64) *world {
	w := &world{scenario: s, d: newDraws(seed, run), latencies: l, onset: -1}
	w.phase = [2]float64{w.d.Float64() * 2 * math.Pi, w.d.Float64() * 2 * math.Pi}
	w.outage = 60 + w.d.IntN(300)
	if s.faultWeight == 0 {
		w.onset = 0
	}
	return w
}

// faulty says whether the treatment is worse at t.
func (w *world) faulty(t int) bool { return !w.healthy && w.onset >= 0 && t >= w.onset }

// second lets a second pass in which the treatment has the weight, of 10,000.
func (w *world) second(t int, weight uint32) *[2]arm {
	if weight != w.weight {
		w.weight, w.since = weight, t
		if w.onset < 0 && weight == w.faultWeight {
			w.onset = t + w.d.IntN(60)
		}
	}
	w.arms = [2]arm{}
	rps := w.rps
	if w.traffic != nil {
		rps *= w.traffic(w, t)
	}
	share := float64(weight) / 10_000
	n := w.d.poisson(rps)
	e := [2]int{}
	e[treatment] = w.d.binomial(n, share)
	e[control] = n - e[treatment]
	if w.faulty(t) && w.lost > 0 {
		e[treatment] = w.d.binomial(e[treatment], 1-w.lost)
	}
	unseen := math.Exp(-rps * float64(t-w.since) / users)
	errors := baseErrors
	if w.errors != nil {
		errors = min(0.95, errors*w.errors(w, t))
	}
	for i := range w.arms {
		w.serve(i, t, e[i], errors, unseen)
	}
	if w.episode > 0 {
		w.live(t, rps*errors, share)
	}
	return &w.arms
}

// serve lets a variant serve n requests.
func (w *world) serve(i, t, n int, errors, unseen float64) {
	a := &w.arms[i]
	faulty := i == treatment && w.faulty(t)
	wrong := baseWrong
	extra := 0.0
	if faulty {
		a.harmed = n
		errors *= orOne(w.errorFactor)
		wrong *= orOne(w.wrongFactor)
		extra = min(w.creep*float64(t-w.onset), w.creepMost)
	}
	a.exposures = n
	a.newUsers = w.d.binomial(n, unseen)
	if w.episode == 0 {
		a.errors = w.d.binomial(n, min(errors, 1))
	}
	a.wrong = w.d.binomial(n, wrong)
	slowOnes := 0
	if faulty && w.slowShare > 0 {
		slowOnes = w.d.binomial(n, w.slowShare)
	}
	for k := range n {
		bin := w.latencies.alias.draw(w.d)
		if k < slowOnes {
			bin = binOf(w.latencies.values[bin] * slow)
		}
		if extra > 0 {
			bin = binOf(w.latencies.values[bin] + extra)
		}
		v := w.latencies.values[bin]
		a.latency[bin]++
		a.sum += v
		a.sumSquares += v * v
	}
}

func orOne(x float64) float64 {
	if x == 0 {
		return 1
	}
	return x
}

// live lets the users in trouble try again. So many begin that the rate of errors is what it
// is in the other scenarios.
func (w *world) live(t int, errors, share float64) {
	for range w.d.poisson(errors / w.episode) {
		left := 1 + int(w.d.ExpFloat64()*(w.episode-1)+0.5)
		w.episodes = append(w.episodes, episode{hash: w.d.Float64(), left: left, counted: -1})
	}
	kept := w.episodes[:0]
	for _, e := range w.episodes {
		i := control
		if e.hash < share {
			i = treatment
		}
		block := t
		if w.dedup > 0 {
			block = t / int(w.dedup)
		}
		if e.counted != block {
			e.counted = block
			w.arms[i].errors++
		}
		if e.left--; e.left > 0 {
			kept = append(kept, e)
		}
	}
	w.episodes = kept
}

// scenarios are those that are run, in order.
func scenarios() []*scenario {
	day := func(w *world, t int) float64 { return 1 + 0.6*math.Sin(2*math.Pi*float64(t)/7200+w.phase[0]) }
	mood := func(w *world, t int) float64 { return 1 + 0.8*math.Sin(2*math.Pi*float64(t)/3600+w.phase[1]) }
	outage := func(w *world, t int) float64 {
		if t >= w.outage && t < w.outage+120 {
			return 50
		}
		return 1
	}
	const rps = 200
	return []*scenario{
		{name: "healthy", rps: rps, healthy: true},
		{name: "diurnal", rps: rps, healthy: true, traffic: day, errors: mood},
		{name: "bursty", rps: rps, healthy: true, episode: 10, dedup: dedupLong},
		{name: "both-down", rps: rps, healthy: true, errors: outage},
		{name: "x5-at-5", rps: rps, errorFactor: 5, faultWeight: 500},
		{name: "x20-at-5", rps: rps, errorFactor: 20, faultWeight: 500},
		{name: "x5-at-50", rps: rps, errorFactor: 5, faultWeight: 5000},
		{name: "p99", rps: rps, slowShare: 0.03},
		{name: "accuracy", rps: rps, wrongFactor: 1.5},
		{name: "creep", rps: rps, creep: 0.0005, creepMost: 0.3},
		{name: "2rps", rps: 2, healthy: true},
		{name: "2rps-x5", rps: 2, errorFactor: 5},
		{name: "srm", rps: rps, lost: 0.1},
		// What deduplication is for, and how long it must last.
		{name: "bursty-10s", rps: rps, healthy: true, episode: 10, dedup: dedupShort},
		{name: "bursty-raw", rps: rps, healthy: true, episode: 10, dedup: dedupNone},
		{name: "stuck", rps: rps, healthy: true, episode: 120, dedup: dedupLong},
		{name: "stuck-10s", rps: rps, healthy: true, episode: 120, dedup: dedupShort},
	}
}
