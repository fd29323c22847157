package follower

import (
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
	// failures in a row.
	failures int
	// followed: the last of them was the end of a stream that had been welcomed.
	followed bool
}

func newRotation(o Options) *rotation {
	return &rotation{upstreams: o.Upstreams, min: o.BackoffMin, max: o.BackoffMax, away: make(map[string]time.Time)}
}

// stable is how long a stream has lived that did not fail at once: after it, waits
// begin anew.
func (r *rotation) stable() time.Duration { return max(20*r.min, r.max/3) }

// next returns the upstream to try and how long to wait before. Within a round of
// upstreams that cannot be followed there is no wait: another may be well. After each
// round there is a random one, longer with each, and after a stream that was followed a
// short one: whoever else followed it comes, too. Upstreams that asked to be left alone
// are passed over, or waited for if all did, and for a random while more.
func (r *rotation) next(now time.Time) (string, time.Duration) {
	wait := time.Duration(0)
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

// failed notes the end of a stream that lived so long since its Welcome; 0: it had none.
func (r *rotation) failed(upstream string, err error, lived time.Duration, now time.Time) {
	r.followed = lived > 0
	if lived >= r.stable() {
		r.failures = 0
	}
	r.failures++
	if backoff := requestedBackoff(err); backoff > 0 {
		r.away[upstream] = now.Add(min(backoff, r.max))
	}
	if !sameAgain(err) || r.failures > 1 {
		r.at = (r.at + 1) % len(r.upstreams)
	}
}
