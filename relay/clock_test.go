package relay

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/statefile"
)

// TestClockSteps: a clock that is set by an hour while a relay is down makes the age of
// what it starts with wrong by that hour at most, neither negative nor new; the revision
// does not move.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, production)
			p.put(production, boolFlag("a"))
			upstream, stopUpstream := p.serve()
			o := options(upstream, production)
			o.StateDir = t.TempDir()
			_, stop := startReady(t, o, p.revision)
			stop()
			stopUpstream()
			// The clock is set by step, so what was written lies as far from now.
			setConfirmed(t, o.StateDir, time.Now().Add(-step))

			o.Registry, o.Upstreams = nil, []string{freeAddr(t)}
			r, _ := start(t, o)
			a, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a"})
			if err != nil {
				t.Fatal(err)
			}
			age := a.GetAge().AsDuration()
			if age < time.Hour-time.Minute || age > time.Hour+time.Minute || a.GetEnvironmentRevision() != p.revision {
				t.Errorf("revision %d, age %s; want %d, and an hour", a.GetEnvironmentRevision(), age, p.revision)
			}
		})
	}
}

// setConfirmed writes when the state in a directory was confirmed.
func setConfirmed(t *testing.T, dir string, at time.Time) {
	t.Helper()
	d, err := statefile.Open(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := d.Load(production)
	if err == nil {
		err = d.Confirm(s, at)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
