package hub

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// customer is a ticket, and when it was asked for.
type customer struct {
	*ticket
	since time.Time
}

// TestAdmission: whatever comes and goes, no more is under way than is allowed, nobody is
// overtaken, nobody waits while there is room or for longer than allowed, and what was taken
// is given back.
func TestAdmission(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var problem string
		synctest.Test(t, func(*testing.T) { problem = comeAndGo(rt) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func comeAndGo(rt *rapid.T) (problem string) {
	a := &admission{bytes: 10 * leastFull, wait: time.Second}
	var all []customer // that did not leave, in the order in which they came
	defer func() {
		for _, c := range all {
			c.leave()
		}
		if problem == "" && (a.underway != 0 || a.waiting != 0 || len(a.line) != 0) {
			problem = fmt.Sprintf("%d bytes and %d waiting are left", a.underway, a.waiting)
		}
	}()
	for range rapid.IntRange(1, 60).Draw(rt, "steps") {
		switch rapid.IntRange(0, 3).Draw(rt, "action") {
		case 0, 1:
			size := rapid.IntRange(0, 15*leastFull).Draw(rt, "bytes")
			all = append(all, customer{a.enter(size, func() {}), time.Now()})
		case 2:
			if len(all) > 0 {
				i := rapid.IntRange(0, len(all)-1).Draw(rt, "who")
				all[i].leave()
				all[i].leave()
				all = append(all[:i:i], all[i+1:]...)
			}
		case 3:
			time.Sleep(time.Duration(rapid.IntRange(1, 400).Draw(rt, "ms")) * time.Millisecond)
			synctest.Wait()
		}
		if problem := a.check(all); problem != "" {
			return problem
		}
	}
	return ""
}

func (a *admission) check(all []customer) string {
	underway, admitted, waiting, first := 0, 0, 0, 0
	for _, c := range all {
		in, refused := c.status()
		switch age := time.Since(c.since); {
		case refused != nil && age < a.wait:
			return "it was turned away too early"
		case refused != nil:
		case in && waiting > 0:
			return "somebody was overtaken"
		case in:
			underway += c.bytes
			admitted++
		case age > a.wait:
			return "it waits for too long"
		default:
			if waiting == 0 {
				first = c.bytes
			}
			waiting++
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if underway > a.bytes || a.underway != underway || a.admitted != admitted || a.waiting != waiting {
		return fmt.Sprintf("%d bytes of %d are under way (counted: %d), %d admitted (%d), %d wait (%d)",
			underway, a.bytes, a.underway, admitted, a.admitted, waiting, a.waiting)
	}
	if waiting > 0 && underway+first <= a.bytes {
		return "the first in line waits, though there is room"
	}
	return ""
}

// TestAdmissionIsBounded: who cannot even wait is told at once, to stay away for longer.
func TestAdmissionIsBounded(t *testing.T) {
	a := &admission{bytes: leastFull, wait: time.Hour}
	first := a.enter(1, nil)
	defer first.leave()
	for range maxWaiting {
		defer a.enter(1, func() {}).leave()
	}
	_, refused := a.enter(1, nil).status()
	var p *parting
	if !errors.As(refused, &p) || p.message.GetCode() != syncv1.Goodbye_CODE_OVERLOADED || p.message.GetBackoff().AsDuration() < maxBackoff {
		t.Errorf("refused: %v", refused)
	}
}
