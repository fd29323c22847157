//go:build unix

package chaos

import (
	"testing"
	"time"
)

// TestFrozenServer stops the server as it is for 20 s: the relays notice within 15 s,
// answer everything meanwhile, tell honestly how old that is, and go on after.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.single()
	edge := s.relay(srv.GRPC)
	behind := s.relay(edge.GRPC)
	s.load()
	s.mustServe(s.relays, func() {
		srv.Freeze()
		frozen := time.Now()
		s.mustAge(frozen, edge, behind)
		s.mustNotice(frozen, edge)
		srv.Thaw()
	})
	s.mustWrite("after the thaw", s.writers...)
	s.mustBeFresh(s.relays...)
	s.converge()
}

// TestFrozenRelay stops a relay as it is: the one behind it notices within 15 s and takes
// its other upstream; the frozen one goes on after.
func TestFrozenRelay(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	s.delays()
	srv := s.single()
	edge := s.relay(srv.GRPC)
	behind := s.relay(edge.GRPC, srv.GRPC)
	s.load()
	s.mustServe([]*relay{behind}, func() {
		direct := behind.links[1].Stats().Accepted
		edge.Freeze()
		frozen := time.Now()
		s.mustTake(behind, 1, direct, frozen.Add(deadAfter+slack))
		s.mustBeFresh(behind)
		edge.Thaw()
	})
	s.mustBeFresh(edge)
	s.converge()
}
