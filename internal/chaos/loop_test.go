//go:build unix

package chaos

import (
	"errors"
	"testing"
	"time"

	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestLoop has two relays that name each other, one of them also the server, and takes the
// server away: they find out that they would follow themselves, and do not tell each other
// that what they have is fresh.
func TestLoop(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	srv := s.single()
	one, other := &relay{}, &relay{}
	back := s.proxy("") // to the other, whose address is not known yet
	one.Relay = bed.NewRelay(s, bin, one.front(s, srv.GRPC)+","+back.Addr(), s.folder("relay"), s.logged("relay")...)
	other.Relay = bed.NewRelay(s, bin, other.front(s, one.GRPC), s.folder("relay"), s.logged("relay")...)
	back.SetTarget(other.GRPC)
	other.hops = 2
	for _, r := range []*relay{one, other} {
		r.Start()
		s.relays = append(s.relays, r)
	}
	s.load()
	s.mustServe(s.relays, func() {
		cut := time.Now()
		one.set(proxy.Direction{Stall: true}, proxy.Direction{Stall: true})
		one.links[0].Refuse(true)
		one.links[0].Reset()
		bed.Eventually(s, "the loop is found", func() error {
			found := 0.0
			for _, r := range s.relays {
				found += s.metric(r.Process, "tidegate_hub_goodbyes_total", "LOOP")
				found += s.metric(r.Process, "tidegate_follower_disconnects_total", `"loop"`)
			}
			if found == 0 {
				return errors.New("it is not")
			}
			return nil
		})
		s.mustAge(cut.Add(time.Second), one, other)
		one.heal()
	})
	s.mustBeFresh(s.relays...)
	s.converge()
}
