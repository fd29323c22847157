//go:build unix

package chaos

import (
	"testing"
	"time"
)

// TestHalfDown has the only server dead for half of the time, as long as -duration says:
// every evaluation at its relays is answered, and tells an age that is not too low.
func TestHalfDown(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.embedded(s.folder("server"))
	s.relay(s.relay(srv.GRPC).GRPC)
	s.load()
	s.mustWrite("at first", s.writers...)

	longest := int64(min(20*time.Second, *duration/3))
	start := time.Now()
	var down time.Duration
	deaths, asked := 0, 0
	// every lets all relays tell their ages until then.
	every := func(until time.Time, demand func(*relay)) {
		for ; time.Now().Before(until); time.Sleep(pause) {
			for _, r := range s.relays {
				demand(r)
				asked++
			}
		}
	}
	s.mustServe(s.relays, func() {
		for ; time.Since(start) < *duration; deaths++ {
			srv.Kill()
			died := time.Now()
			every(died.Add(time.Duration(s.random.Int64N(longest))), func(r *relay) { s.mustBeAged(died, r) })
			srv.Start()
			dead := time.Since(died)
			down += dead
			rest := time.Now().Add(dead)
			s.mustWrite("between two deaths", s.writers...)
			every(rest, func(r *relay) { s.age(r, r.fresh()) })
		}
	})
	elapsed := time.Since(start)
	answers := int64(asked)
	for _, r := range s.relays {
		for _, reader := range r.readers.All() {
			answers += reader.Answers.Load()
		}
	}
	s.converge()
	t.Logf("the server died %d times and was down for %v of %v; %d evaluations, all answered, each with its age",
		deaths, down.Round(time.Second), elapsed.Round(time.Second), answers)
}
