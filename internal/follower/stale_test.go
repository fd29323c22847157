package follower

import (
	"fmt"
	"testing"
	"time"
)

// fleet is what a rotation looks at in these tests: upstreams whose states were confirmed
// at some moment, or are confirmed all the time.
type fleet map[string]*upstreamState

type upstreamState struct {
	confirmed time.Time
	fresh     bool
	down      bool
}

func (u *upstreamState) age(now time.Time) time.Duration {
	if u.fresh {
		return 0
	}
	return now.Sub(u.confirmed)
}

const staleAfter = 15 * time.Second

// follow lets a rotation follow the fleet for a time, as the follower does: heartbeats
// come every 5 s, and are judged once the stream has lasted for staleAfter. It returns
// how often each upstream was followed, and the last.
func (fl fleet) follow(r *rotation, now time.Time, during time.Duration, change func(now time.Time)) (counts map[string]int, last string) {
	counts = make(map[string]int)
	end := now.Add(during)
	for now.Before(end) {
		upstream, wait := r.next(now)
		now = now.Add(wait)
		u := fl[upstream]
		if u.down {
			r.failed(upstream, errAny, 0, now)
			continue
		}
		counts[upstream]++
		last = upstream
		begun, err := now, error(nil)
		for err == nil && now.Before(end) {
			now = now.Add(5 * time.Second)
			change(now)
			if age := u.age(now); u.down {
				err = errAny
			} else if age > staleAfter && now.Sub(begun) >= staleAfter && r.better(upstream, age, now) {
				err = fmt.Errorf("%w: old", errStale)
			}
		}
		if err != nil {
			r.failed(upstream, err, now.Sub(begun), now)
		}
	}
	return counts, last
}

func TestStaleUpstreams(t *testing.T) {
	start := time.Now()
	ago := func(d time.Duration) time.Time { return start.Add(-d) }
	for name, c := range map[string]struct {
		fleet fleet
		order []string
		last  string
		// most is how often an upstream may be followed within an hour.
		most map[string]int
	}{
		"one fresh": {
			fleet: fleet{"a": {confirmed: ago(0)}, "b": {fresh: true}}, order: []string{"a", "b"},
			last: "b", most: map[string]int{"a": 1, "b": 1},
		},
		"alone": {
			fleet: fleet{"a": {confirmed: ago(time.Hour)}}, order: []string{"a"},
			last: "a", most: map[string]int{"a": 1},
		},
		"the last of three is fresh": {
			fleet: fleet{"a": {confirmed: ago(0)}, "b": {confirmed: ago(0)}, "c": {fresh: true}}, order: []string{"a", "b", "c"},
			last: "c", most: map[string]int{"a": 1, "b": 1, "c": 1},
		},
		// Each is looked at once in 5 minutes; then it goes back to the youngest.
		"all stale, the first is the youngest": {
			fleet: fleet{"a": {confirmed: ago(0)}, "b": {confirmed: ago(time.Hour)}, "c": {confirmed: ago(time.Minute)}},
			order: []string{"a", "b", "c"}, last: "a", most: map[string]int{"a": 14, "b": 13, "c": 13},
		},
		"all stale, the last is the youngest": {
			fleet: fleet{"a": {confirmed: ago(time.Hour)}, "b": {confirmed: ago(time.Minute)}, "c": {confirmed: ago(0)}},
			order: []string{"a", "b", "c"}, last: "c", most: map[string]int{"a": 14, "b": 14, "c": 14},
		},
		"all stale since the same moment": {
			fleet: fleet{"a": {confirmed: ago(0)}, "b": {confirmed: ago(0)}}, order: []string{"a", "b"},
			most: map[string]int{"a": 14, "b": 14},
		},
		// Looked for again after the longest wait: it costs a moment's pause of nothing new.
		"the other is down": {
			fleet: fleet{"a": {confirmed: ago(0)}, "b": {down: true}}, order: []string{"a", "b"},
			last: "a", most: map[string]int{"a": 121},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // waits are random
				counts, last := c.fleet.follow(rotationOf(c.order...), start, time.Hour-time.Minute, func(time.Time) {})
				if c.last != "" && last != c.last {
					t.Errorf("ends at %s, want %s", last, c.last)
				}
				for u, n := range counts {
					if n > c.most[u] {
						t.Errorf("%s was followed %d times, want at most %d", u, n, c.most[u])
					}
				}
			}
		})
	}
}

// TestStaleUntilOneIsFresh: one that was stale, or down, and gets something new, is found
// while the follower sits on one that does not.
func TestStaleUntilOneIsFresh(t *testing.T) {
	start := time.Now()
	for name, c := range map[string]struct {
		down   bool
		within time.Duration
	}{"stale": {false, 6 * time.Minute}, "down": {true, 2 * time.Minute}} {
		fl := fleet{"a": {confirmed: start}, "b": {confirmed: start.Add(-time.Minute), down: c.down}}
		mended := start.Add(20 * time.Minute)
		_, last := fl.follow(rotationOf("a", "b"), start, 20*time.Minute+c.within, func(now time.Time) {
			if now.After(mended) {
				fl["b"].fresh, fl["b"].down = true, false
			}
		})
		if last != "b" {
			t.Errorf("%s: %s after the other was mended, %s is followed", name, c.within, last)
		}
	}
}
