package follower

import (
	"errors"
	"math/rand/v2"
	"time"
)

// rotation says which upstream is next, and when. It knows no clock: the moment is
// given.
type rotation struct {
	upstreams []string
	min, max  time.Duration
	// at is the upstream to try next; away says until when one asked to be left alone.
	at   int
	away map[string]time.Time
	// tried is when an upstream was tried last, stale when it was last seen to have an old
	// state, and confirmed up to when that one was known to be the store's.
	tried, stale, confirmed map[string]time.Time
	// failures in a row.
	failures int
	// followed: the last of them was the end of a stream that had been welcomed.
	followed bool
	// atOnce: the next one is not to be waited for.
	atOnce bool
}

func newRotation(o Options) *rotation {
	return &rotation{
		upstreams: o.Upstreams, min: o.BackoffMin, max: o.BackoffMax,
		away: make(map[string]time.Time), tried: make(map[string]time.Time),
		stale: make(map[string]time.Time), confirmed: make(map[string]time.Time),
	}
}

// stable is how long a stream has lived that did not fail at once: after it, waits
// begin anew.
func (r *rotation) stable() time.Duration { return max(20*r.min, r.max/3) }

// next returns the upstream to try and how long to wait before. Within a round of
// upstreams that cannot be followed there is no wait: another may be well. After each
// round there is a random one, longer with each, and after a stream that was followed a
// short one: whoever else followed it comes, too. Upstreams that asked to be left alone
// are passed over, or waited for if all did, and for a random while more.
func (r *rotation) next(now time.Time) (upstream string, wait time.Duration) {
	defer func() { r.tried[upstream] = now.Add(wait) }()
	if r.atOnce {
		r.atOnce = false
		return r.upstreams[r.at], 0
	}
	if n := len(r.upstreams); r.followed || r.failures > 0 && r.failures%n == 0 {
		wait = spread(r.ceiling(r.failures / n))
	}
	best, longest := r.at, time.Duration(-1)
	for i := range r.upstreams {
		candidate := (r.at + i) % len(r.upstreams)
		left := r.away[r.upstreams[candidate]].Sub(now)
		if left <= wait {
			best, longest = candidate, wait
			break
		}
		if longest < 0 || left < longest {
			best, longest = candidate, left
		}
	}
	r.at = best
	if longest > wait {
		longest += spread(r.min)
	}
	return r.upstreams[best], longest
}

// spread is a random wait below a bound.
func spread(bound time.Duration) time.Duration {
	return rand.N(bound) + 1 //nolint:gosec // spreads load, guards nothing
}

// ceiling of the wait after so many rounds.
func (r *rotation) ceiling(rounds int) time.Duration {
	d := r.min
	for i := 1; i < rounds && d < r.max; i++ {
		d *= 2
	}
	return min(d, r.max)
}

// failed notes the end of a stream that was alive so long since its Welcome; 0: it had
// none.
func (r *rotation) failed(upstream string, err error, lived time.Duration, now time.Time) {
	if atOnce(err) {
		r.atOnce = true
		return
	}
	r.followed = lived > 0
	if lived >= r.stable() {
		r.failures = 0
	}
	r.failures++
	if backoff := requestedBackoff(err); backoff > 0 {
		r.away[upstream] = now.Add(min(backoff, r.max))
	}
	if errors.Is(err, errStale) {
		return // better has chosen
	}
	if !sameAgain(err) || r.failures > 1 {
		r.at = (r.at + 1) % len(r.upstreams)
	}
}

// staleRounds is for how many of the longest waits an upstream that was stale is not
// looked at again.
const staleRounds = 10

// better tells whether another upstream may have a younger state than the one that is
// followed, whose state is so old, and makes it the next. One that was stale is looked at
// again after a long while, one that failed after a short one; within that, only one that
// was seen to be younger is better. So where all are stale, each is looked at once a
// while, and the youngest is followed.
func (r *rotation) better(upstream string, age time.Duration, now time.Time) bool {
	r.stale[upstream], r.confirmed[upstream] = now, now.Add(-age)
	youngest := -1
	for i := 1; i < len(r.upstreams); i++ {
		at := (r.at + i) % len(r.upstreams)
		other := r.upstreams[at]
		switch {
		case r.away[other].After(now):
		case now.Sub(r.stale[other]) >= staleRounds*r.max && now.Sub(r.tried[other]) >= r.max:
			r.at = at
			return true
		case r.confirmed[other].After(r.confirmed[upstream].Add(r.min)) &&
			(youngest < 0 || r.confirmed[other].After(r.confirmed[r.upstreams[youngest]])):
			youngest = at
		}
	}
	if youngest >= 0 {
		r.at = youngest
	}
	return youngest >= 0
}
