package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestPartition: a relay that is cut off shuts a rollout that is bad for its users, for those
// and for nobody else; after healing exactly one decision stands, and the audit trail has the
// relay's trip and the decision.
func TestPartition(t *testing.T) {
	t.Run("the relay trips alone", func(t *testing.T) {
		t.Parallel()
		p := newPartition(t)
		p.start("checkout-1")
		p.everybodyServes("on")

		// What is on its way arrives after the cut, as with a cable that is put in again.
		p.link.Set(proxy.Direction{Stall: true}, proxy.Direction{Stall: true})
		p.users.badAway.Store(true)
		p.relayServes(p.away, "off")
		p.tellsTrip("checkout-1", saysTrip)
		p.sdkServes("off")
		staysShut := p.watchVictim()
		p.clientServes(p.newClient(), "off") // one that starts now
		if got := p.variantAt(p.near); got != "on" {
			t.Errorf("the relay that is connected serves %q", got)
		}
		if out := p.ok("rollout", "status", "checkout-1"); !strings.Contains(out, "checkout-1 is running") {
			t.Errorf("the control plane has decided without hearing of it:\n%s", out)
		}

		p.away.Kill()
		p.away.Start()
		if got := p.variantAt(p.away); got != "off" {
			t.Errorf("after a restart %q is served", got)
		}
		p.tellsTrip("checkout-1", saysAgain)
		p.sdkServes("off")

		// Somebody who does not know of it changes what does not matter to it.
		p.ok("rollout", "pause", "checkout-1", "--reason", "lunch")
		p.ok("rollout", "resume", "checkout-1", "--reason", "back")
		p.link.Heal()
		p.ends("checkout-1")
		p.everybodyServes("off")
		p.tellsNoTrip()
		staysShut()
		p.users.badAway.Store(false)
		p.oneDecision("checkout-1")
		p.trail("checkout-1")
		p.goesOn("checkout-2")
	})
	t.Run("the control plane is first", func(t *testing.T) {
		t.Parallel()
		p := newPartition(t)
		p.start("checkout-1")
		p.everybodyServes("on")

		p.link.Refuse(true)
		p.link.Reset()
		p.users.badNear.Store(true)
		p.ends("checkout-1")
		p.relayServes(p.near, "off")
		if got := p.variantAt(p.away); got != "on" {
			t.Errorf("the relay that is cut off serves %q, and nobody told it", got)
		}
		p.users.badAway.Store(true)
		p.relayServes(p.away, "off")
		p.tellsTrip("checkout-1", saysTrip)

		p.link.Heal()
		p.tellsNoTrip()
		p.everybodyServes("off")
		p.users.badAway.Store(false)
		p.users.badNear.Store(false)
		p.oneDecision("checkout-1")
		p.trail("checkout-1")
		p.goesOn("checkout-2")
	})
}

// start starts a rollout of the flag to half of the subjects, which nothing widens.
func (p *partition) start(key string) {
	p.t.Helper()
	p.ok("rollout", "start", key, "--flag", "checkout", "--from", "off", "--to", "on", "--stages", "50%,100%", "--dwell", "1h",
		"--guardrail", "errors: rate < +50% relative", "--edge-after", "6s", "--reason", "test")
	if p.victim == "" {
		p.findVictim()
	}
}

// ends waits until the control plane has shut the rollout.
func (p *partition) ends(key string) {
	p.t.Helper()
	bed.Eventually(p.t, key+" is shut", func() error {
		if out := p.ok("rollout", "status", key); !strings.Contains(out, key+" is rolled back") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

const (
	saysTrip  = "this relay is cut off, and a guardrail is violated: it serves the control"
	saysAgain = "this relay had shut the rollout when it ended: it goes on to serve the control"
)

// tellsTrip demands that the relay which is cut off says what it did, and why.
func (p *partition) tellsTrip(key, log string) {
	p.t.Helper()
	p.awaitTrips(1)
	ready, err := p.away.Get("/readyz")
	if err != nil || !strings.Contains(string(ready), `"rollout": "`+key+`"`) {
		p.t.Errorf("/readyz: %v, %s", err, ready)
	}
	if all := p.away.Log(); !strings.Contains(all, log) {
		p.t.Errorf("its log does not say %q:\n%s", log, all)
	}
}

// tellsNoTrip waits until the relay goes by the control plane alone.
func (p *partition) tellsNoTrip() {
	p.t.Helper()
	p.awaitTrips(0)
}

func (p *partition) awaitTrips(want float64) {
	p.t.Helper()
	bed.Eventually(p.t, fmt.Sprintf("a metric tells of %v trips", want), func() error {
		n, err := p.away.Metric("tidegate_relay_tripped_rollouts", "")
		if err == nil && n != want {
			err = fmt.Errorf("it tells of %v", n)
		}
		return err
	})
}

// oneDecision demands that exactly one decision changed what is served, that it says so in
// words, and that it follows from its inputs.
func (p *partition) oneDecision(key string) {
	p.t.Helper()
	number := ""
	list := p.ok("rollout", "decisions", key)
	for line := range strings.Lines(list) {
		switch fields := strings.Fields(line); {
		case strings.Contains(line, "rollback"):
			if number != "" {
				p.t.Fatalf("there are two:\n%s", list)
			}
			number = fields[0]
		case !strings.Contains(line, "hold") && !strings.Contains(line, "VERDICT"):
			p.t.Errorf("a decision is neither to hold nor to shut:\n%s", list)
		}
	}
	if number == "" {
		p.t.Fatalf("there is none:\n%s", list)
	}
	explained := p.ok("rollout", "explain", key, number)
	for _, part := range []string{key + ", decision " + number + ": rollback, 50% -> 0%", "errors"} {
		if !strings.Contains(explained, part) {
			p.t.Errorf("it does not say %q:\n%s", part, explained)
		}
	}
	if replayed := p.ok("rollout", "replay", key, "--all"); strings.Count(replayed, ": identical") != strings.Count(list, "\n")-1 || !strings.Contains(replayed, "is whole") {
		p.t.Errorf("replay:\n%s", replayed)
	}
	p.t.Logf("%s\n%s", list, explained)
}

// trail waits until the audit trail has both: what the relay did, with its name, when and on
// which evidence, and that it does so no more; and what the control plane decided.
func (p *partition) trail(key string) {
	p.t.Helper()
	var history string
	bed.Eventually(p.t, "the audit trail tells both", func() error {
		history = p.ok("rollout", "history", key)
		for what, n := range map[string]int{
			"tripped by " + awayID + ": Cut off, it serves the control since ":       1,
			"tripped by " + awayID + ": Since ":                                      1,
			"it goes by the control plane again; cut off, it had served the control": 1,
			"rolled back by decider: ":                                               1,
		} {
			if got := strings.Count(history, what); got != n {
				return fmt.Errorf("%d times %q, want %d:\n%s", got, what, n, history)
			}
		}
		return nil
	})
	for _, part := range []string{"errors violated, ", "at step 1", " against "} {
		if !strings.Contains(history, part) {
			p.t.Errorf("the trail does not say %q:\n%s", part, history)
		}
	}
	p.t.Log(history)
}

// goesOn starts the next rollout: nothing of the last one is in its way, at any relay.
func (p *partition) goesOn(key string) {
	p.t.Helper()
	p.start(key)
	p.everybodyServes("on")
	p.tellsNoTrip()
}
