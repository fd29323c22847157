//go:build unix

package chaos

import (
	"context"
	"testing"

	"github.com/tidegate/tidegate/internal/fault"
)

// TestTelemetryKilledAtEveryPoint has the leader and a relay kill themselves at each failpoint
// that telemetry passes, at a random one of its passages: everything that was emitted meanwhile
// is counted once, or declared lost.
func TestTelemetryKilledAtEveryPoint(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	c := newCounting(s, 2)
	c.sources(1<<30, 1500)
	emitting, stop := context.WithCancel(s.ctx)
	defer stop()
	done := c.emit(emitting)
	for _, point := range fault.TelemetryPoints {
		hit := 1 + s.random.IntN(8)
		if point == fault.SpoolBeforeRemove {
			hit = 1 // segments are long: the first one goes when the next process has begun another
		}
		for _, r := range s.relays[:2] {
			c.dieAt(r.Process, point, hit)
		}
	}
	for _, point := range fault.CollectorPoints {
		for _, srv := range s.servers {
			srv.Kill()
		}
		c.dieAt(s.servers[0].Process, point, 1+s.random.IntN(4)) // it leads: nobody else is there
		s.servers[1].Start()
	}
	stop()
	<-done
	c.drained()
	c.mustBeConserved()
}
