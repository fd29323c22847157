package follower

import (
	"testing"
	"time"
)

// herd is many followers of one upstream, by their rotations, in virtual time.
type herd struct {
	rotations []*rotation
	attempts  []time.Duration // since the upstream went away, in no order
}

// lose takes the upstream away from all at once, with an error, for a time; they try
// again until it is back. It returns when the last one is back.
func (h *herd) lose(err error, away time.Duration) (back time.Duration) {
	now := time.Now()
	for _, r := range h.rotations {
		at := time.Duration(0)
		r.failed("a", err, time.Hour, now)
		for {
			_, wait := r.next(now.Add(at))
			at += wait
			h.attempts = append(h.attempts, at)
			if at >= away {
				break
			}
			r.failed("a", errAny, 0, now.Add(at))
		}
		back = max(back, at)
	}
	return back
}

// busiest is the highest number of attempts in any part of the time from a moment on.
func (h *herd) busiest(from, part time.Duration) int {
	parts, most := make(map[time.Duration]int), 0
	for _, at := range h.attempts {
		if at >= from {
			parts[at/part]++
			most = max(most, parts[at/part])
		}
	}
	return most
}

// TestHerd: 8,000 followers of a server that dies. What it meets when it comes back is
// spread, evenly where it was away for long, and all are back within the longest wait; of
// a server that asks for it, none is back early.
func TestHerd(t *testing.T) {
	const followers = 8000
	for name, c := range map[string]struct {
		err  error
		away time.Duration
		// within is when all are back after it is back.
		within time.Duration
		// none comes earlier; in no 100 ms from then on, and in none a minute later, more.
		none          time.Duration
		early, steady int
	}{
		// The shortest wait is half a second: a fifth of all in each tenth, and while it is
		// away the second attempts of the first of them.
		"dies and is back at once": {err: errAny, within: 500 * time.Millisecond, early: followers / 5},
		"dies for a minute":        {err: errAny, away: time.Minute, within: 30 * time.Second, early: followers * 3 / 10},
		// 15 s in the middle: 1/150 of all in each 100 ms.
		"dies for five minutes": {err: errAny, away: 5 * time.Minute, within: 30 * time.Second, early: followers * 3 / 10, steady: followers / 150},
		"drains, back in 5 s": {
			err: away(5 * time.Second), away: 5 * time.Second, within: time.Second,
			none: 5 * time.Second, early: followers / 5,
		},
		"drains for an hour, it says": {
			err: away(time.Hour), away: 30 * time.Second, within: time.Second,
			none: 30 * time.Second, early: followers / 5,
		},
	} {
		h := &herd{}
		for range followers {
			h.rotations = append(h.rotations, rotationOf("a"))
		}
		back := h.lose(c.err, c.away)
		if back-c.away > c.within {
			t.Errorf("%s: the last is back %s after the server", name, back-c.away)
		}
		for _, at := range h.attempts {
			if at < c.none {
				t.Fatalf("%s: an attempt after %s, none wanted before %s", name, at, c.none)
			}
		}
		// Chance has its part: a tenth more at the beginning, a half where there are few.
		if got := h.busiest(0, 100*time.Millisecond); got > c.early*11/10 {
			t.Errorf("%s: %d attempts in 100 ms, want about %d", name, got, c.early)
		}
		if got := h.busiest(time.Minute, 100*time.Millisecond); c.steady > 0 && got > c.steady*2 {
			t.Errorf("%s: %d attempts in 100 ms after a minute, want about %d", name, got, c.steady)
		}
	}
}
