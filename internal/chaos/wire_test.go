//go:build unix

package chaos

import (
	"fmt"
	"testing"

	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestBitFlipsOnTheWire flips bits between server and relay, both ways: none of them is
// ever shown, nothing goes unanswered, and in the end all agree.
func TestBitFlipsOnTheWire(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.single()
	edge := s.relay(srv.GRPC)
	s.relay(edge.GRPC)
	s.load()
	s.mustServe(s.relays, func() {
		flips := proxy.Direction{CorruptEvery: 5_000}
		edge.set(flips, flips)
		bed.Eventually(s, "some bits are flipped", func() error {
			if n := edge.links[0].Stats().Flipped; n < 6 {
				return fmt.Errorf("%d are", n)
			}
			return nil
		})
		edge.heal()
	})
	s.mustBeFresh(s.relays...)
	s.converge()
}

// TestResetsAndCuts breaks connections in the middle of messages, at random lengths.
func TestResetsAndCuts(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.single()
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
