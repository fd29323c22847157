package chaos

import (
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/chaos/proxy"
)

// TestBitFlipsOnTheWire flips bits between server and relay, both ways: none of them is
// ever shown, nothing goes unanswered, and in the end all agree.
func TestBitFlipsOnTheWire(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.embedded()
	edge := s.relay(srv.GRPC)
	s.relay(edge.GRPC)
	s.load()
	s.mustServe(s.relays, func() {
		flips := proxy.Direction{CorruptEvery: 5_000}
		edge.set(flips, flips)
		for start := time.Now(); time.Since(start) < 8*time.Second; time.Sleep(100 * time.Millisecond) {
			// A stream that a flip did not break would hide the next.
			if edge.links[0].Stats().Open == 0 {
				s.mustWrite("between streams", s.writers[0])
			}
		}
		edge.heal()
	})
	if n := edge.links[0].Stats().Flipped; n == 0 {
		t.Error("no bit was flipped")
	} else {
		t.Logf("%d bits were flipped", n)
	}
	s.mustBeFresh(s.relays...)
	s.converge()
}

// TestResetsAndCuts breaks connections in the middle of messages, at random lengths.
func TestResetsAndCuts(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.embedded()
	edge := s.relay(srv.GRPC)
	s.relay(edge.GRPC)
	s.load()
	s.mustServe(s.relays, func() {
		for range 8 {
			edge.set(proxy.Direction{}, proxy.Direction{CutAfter: 1 + s.random.Int64N(8<<10)})
			s.mustWrite("while connections are cut", s.writers[0])
			edge.links[0].Reset()
		}
		edge.heal()
	})
	s.mustBeFresh(s.relays...)
	s.converge()
}
