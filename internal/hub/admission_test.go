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

// TestAdmission: whatever comes and goes, no more is under way than is allowed, of all and on
// each connection, nobody is overtaken on its connection, nobody waits while there is room or
// for longer than allowed, and what was taken is given back.
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
	a := &admission{bytes: 4 * connectionBytes, wait: time.Second}
	var all []customer // that did not leave, in the order in which they came
	defer func() {
		for _, c := range all {
			c.leave()
		}
		if problem == "" && (a.underway != 0 || a.waiting != 0 || len(a.line) != 0 || len(a.connections) != 0) {
			problem = fmt.Sprintf("%d bytes and %d waiting are left", a.underway, a.waiting)
		}
	}()
	for range rapid.IntRange(1, 60).Draw(rt, "steps") {
		switch rapid.IntRange(0, 3).Draw(rt, "action") {
		case 0, 1:
			size := rapid.IntRange(0, 6).Draw(rt, "size") * connectionBytes
			on := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "connection")
			all = append(all, customer{a.enter(size/rapid.IntRange(1, 8).Draw(rt, "part"), on, func() {}), time.Now()})
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
	underway, admitted := 0, 0
	on := map[string]int{} // under way on each connection
	first := map[string]customer{}
	waiting := 0
	for _, c := range all {
		in, refused := c.status()
		switch age := time.Since(c.since); {
		case refused != nil && age < a.wait:
			return "it was turned away too early"
		case refused != nil:
		case in && first[c.connection.name].ticket != nil:
			return "somebody was overtaken"
		case in:
			if on[c.connection.name] += c.bytes; on[c.connection.name] > max(c.bytes, c.connection.limit) {
				return "too much is under way on a connection"
			}
			underway += c.bytes
			admitted++
		case age > a.wait:
			return "it waits for too long"
		default:
			if first[c.connection.name].ticket == nil {
				first[c.connection.name] = c
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
	next, fit := 0, 0
	for name, c := range first {
		if on[name] > 0 && on[name]+c.bytes > c.connection.limit {
			continue // its connection is busy
		}
		if next++; underway+c.bytes <= a.bytes {
			fit++
		}
	}
	if next > 0 && fit == next {
		return "all that are first in line wait, though there is room"
	}
	return ""
}

// TestAdmissionIsBounded: who cannot even wait is told at once, to stay away for longer.
func TestAdmissionIsBounded(t *testing.T) {
	a := &admission{bytes: leastFull, wait: time.Hour}
	first := a.enter(1, "", nil)
	defer first.leave()
	for range maxWaiting {
		defer a.enter(1, "", func() {}).leave()
	}
	_, refused := a.enter(1, "", nil).status()
	var p *parting
	if !errors.As(refused, &p) || p.message.GetCode() != syncv1.Goodbye_CODE_OVERLOADED || p.message.GetBackoff().AsDuration() < maxBackoff {
		t.Errorf("refused: %v", refused)
	}
}
