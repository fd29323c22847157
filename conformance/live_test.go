//go:build conformance

package conformance

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// promptly is how soon a provider answers by a change, from before the write on.
const promptly = time.Second

// TestChange writes while all providers are connected: each has to answer by the change in
// time, those with a cache too, and those with events have to name the flag.
func TestChange(t *testing.T) {
	b := newBed(t)
	b.load(t)
	all := targets(b)
	flags := make([]string, len(all)) // one for each, so that nobody else's change is seen
	for i, to := range all {
		flags[i] = "live-" + strings.ReplaceAll(to.String(), " ", "-")
	}
	b.copy(t, "live", flags)
	for i, p := range startAll(t, all, request{Cache: true, BackoffMS: 1000}) {
		t.Run(p.String(), func(t *testing.T) {
			eventually(t, "the first answer", p.answers(t, flags[i], "before"))
			if p.mode == "rpc" {
				eventually(t, "an answer from the cache", func() error {
					if a := p.evaluate(t, flags[i], "string", "-", nil); a.Reason != "CACHED" {
						return fmt.Errorf("reason %s", a.Reason)
					}
					return nil
				})
			}
			begun := time.Now()
			b.serveIn(t, p.environment(), flags[i], "after")
			if p.mode != "ofrep" { // a provider of OFREP on a server has no events
				// One with a cache may keep for good what it asked for before the event.
				eventually(t, "PROVIDER_CONFIGURATION_CHANGED", p.saw(flags[i]))
			}
			eventually(t, "the new answer", p.answers(t, flags[i], "after"))
			took := time.Since(begun)
			t.Logf("%v from before the write to the answer", took.Round(time.Millisecond))
			if took > promptly {
				t.Errorf("the change took %v, more than %v", took, promptly)
			}
		})
	}
}

// saw is nil when an event has named the flag as changed.
func (p *program) saw(flag string) func() error {
	return func() error {
		events := p.seen()
		if slices.ContainsFunc(events, func(e answer) bool {
			return e.Event == "PROVIDER_CONFIGURATION_CHANGED" && slices.Contains(e.Flags, flag)
		}) {
			return nil
		}
		return fmt.Errorf("no event of %s among %+v", flag, events)
	}
}

// TestRestart ends the relay under all providers, by SIGKILL and in an orderly way, and
// starts it again on the same ports: those in process answer all the while, and all work
// again without help.
func TestRestart(t *testing.T) {
	b := newBed(t)
	b.load(t)
	programs := startAll(t, targets(b), request{BackoffMS: 1000})
	for _, ending := range []struct {
		name string
		end  func()
	}{{"killed", b.relay.kill}, {"stopped", b.relay.stop}} {
		t.Run(ending.name, func(t *testing.T) {
			b.serve(t, "live", "before")
			awaitAll(t, programs, "before", "since the write")
			already := map[*program]int{}
			for _, p := range programs {
				already[p] = len(p.seen())
			}
			ending.end()
			for _, p := range programs {
				if !p.remote() {
					p.isCutOff(t, already[p])
				}
			}
			b.serve(t, "live", "restarted") // while nobody can see it
			b.relay.start()
			awaitAll(t, programs, "restarted", "since the relay was ready again")
			// The streams are back too, not only the answers.
			b.serve(t, "live", "last")
			awaitAll(t, programs, "last", "since a change afterwards")
		})
	}
}

// isCutOff requires that a provider in process says so, and answers as before.
func (p *program) isCutOff(t *testing.T, already int) {
	t.Helper()
	eventually(t, p.String()+" tells that it is cut off", func() error {
		if slices.ContainsFunc(p.seen()[already:], func(e answer) bool {
			return e.Event == "PROVIDER_STALE" || e.Event == "PROVIDER_ERROR"
		}) {
			return nil
		}
		return fmt.Errorf("events: %+v", p.seen()[already:])
	})
	if err := p.answers(t, "live", "before")(); err != nil {
		t.Errorf("%s while the relay is down: %v", p, err)
	}
}

// awaitAll waits until all programs answer 'live' with the variant, and logs how long each
// takes.
func awaitAll(t *testing.T, programs []*program, variant, since string) {
	t.Helper()
	begun := time.Now()
	var all sync.WaitGroup
	for _, p := range programs {
		all.Go(func() {
			err := p.answers(t, "live", variant)()
			for ; err != nil && time.Since(begun) < patience; err = p.answers(t, "live", variant)() {
				time.Sleep(10 * time.Millisecond)
			}
			if err != nil {
				t.Errorf("%s: not within %v: %v", p, patience, err)
				return
			}
			t.Logf("%s: %v %s", p, time.Since(begun).Round(time.Millisecond), since)
		})
	}
	all.Wait()
}

// startAll connects a program for every target; they start at once.
func startAll(t *testing.T, all []target, options request) []*program {
	t.Helper()
	programs := make([]*program, len(all))
	var starting sync.WaitGroup
	for i, to := range all {
		starting.Go(func() { programs[i] = start(t, to, options) })
	}
	starting.Wait()
	if t.Failed() || slices.Contains(programs, nil) {
		t.FailNow()
	}
	return programs
}

// answers is nil when the string flag has the variant.
func (p *program) answers(t *testing.T, flag, variant string) func() error {
	return func() error {
		a, err := p.call(t.Context(), request{Op: "evaluate", Flag: flag, Type: "string", Fallback: "-"})
		if err != nil {
			return err
		}
		if a.Variant != variant {
			return fmt.Errorf("%s: got %q (%s %s %s), want %q", flag, a.Variant, a.Reason, a.ErrorCode, a.ErrorMessage, variant)
		}
		return nil
	}
}
