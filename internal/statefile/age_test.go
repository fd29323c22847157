package statefile

import (
	"math"
	"testing"
	"time"
)

// TestAge: a clock that was set between two lives of a process makes an age wrong by no
// more than it was set by, and never less than nothing.
func TestAge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, down := range []time.Duration{0, time.Second, 10 * time.Minute, 3 * time.Hour} {
		for _, step := range []time.Duration{0, time.Second, -time.Second, time.Hour, -time.Hour} {
			got := Age(now.Add(-down), now.Add(step))
			if got < 0 || (got-down).Abs() > step.Abs() {
				t.Errorf("away for %s, the clock set by %s: an age of %s", down, step, got)
			}
		}
	}
	// What lies ahead is not new.
	if got := Age(now.Add(time.Hour), now); got != time.Hour {
		t.Errorf("confirmed in an hour: an age of %s", got)
	}
	for name, at := range map[string]time.Time{"never": {}, "ages ago": time.Unix(0, math.MinInt64), "in ages": time.Unix(0, math.MaxInt64)} {
		if got := Age(at, now); got < 100*365*24*time.Hour {
			t.Errorf("confirmed %s: an age of %s", name, got)
		}
	}
}
