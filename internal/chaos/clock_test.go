//go:build unix

package chaos

import (
	"testing"

	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/fault"
)

// TestClock sets the wall clocks of server and relays an hour ahead or back while they
// run: nothing goes back, and ages stay what they are. Over a restart without a server,
// where only the wall clock is left, an age may be told too high, and is never negative.
func TestClock(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.options.ClocksSet = true
	srv := s.single()
	ahead, back := s.relay(srv.GRPC), s.relay(srv.GRPC)
	s.load()
	restart := func(r *relay, clock string) {
		r.Kill()
		r.SetEnv(fault.Variable + "=clock=" + clock)
		r.Start()
	}
	srv.Kill()
	srv.SetEnv(fault.Variable + "=clock=+1h:2s")
	srv.Start()
	restart(ahead, "+1h:2s")
	restart(back, "-1h:2s")
	s.mustServe(s.relays, func() {
		for range 4 {
			s.mustWrite("while the clocks are set", s.writers...)
			s.mustBeFresh(s.relays...)
		}
	})
	for _, r := range s.relays {
		r.set(proxy.Direction{Stall: true}, proxy.Direction{Stall: true})
	}
	restart(ahead, "+1h")
	restart(back, "-1h")
	for _, r := range s.relays {
		if age := s.age(r, r.fresh()); age < 0 {
			t.Errorf("started from disk, the relay tells an age of %v", age)
		}
		r.heal()
		r.links[0].Reset()
	}
	s.mustBeFresh(s.relays...)
	s.converge()
}
