package hub

import (
	"math/rand/v2"
	"sync"
	"time"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

const (
	// maxWaiting is how many may wait for everything; there is no use in more.
	maxWaiting = 10_000
	// leastFull is what a full state counts at least.
	leastFull = 16 << 10
	// backoffPerWaiting is what each that waits adds to the time for which one that is
	// turned away is to stay away; maxBackoff is the most.
	backoffPerWaiting = 5 * time.Millisecond
	maxBackoff        = 30 * time.Second
)

// admission bounds how many bytes of full states are under way at once, over all streams.
// Who does not fit waits in line, for a while, and is then turned away. What leads from
// a known state to the newest, is not held up.
type admission struct {
	bytes int
	wait  time.Duration

	mu       sync.Mutex
	underway int
	admitted int
	line     []*ticket // in order; those who gave up stay in it until their turn
	waiting  int
}

// ticket is one that asks for a full state, and what has become of it.
type ticket struct {
	admission *admission
	bytes     int
	wake      func()
	state     ticketState
	timer     *time.Timer
	behind    int // how many waited when it was turned away
}

type ticketState uint8

const (
	ticketWaits ticketState = iota
	ticketAdmitted
	ticketRefused
	ticketOver
)

// enter asks for admission; wake is called when the answer changes.
func (a *admission) enter(bytes int, wake func()) *ticket {
	t := &ticket{admission: a, bytes: min(max(bytes, leastFull), a.bytes), wake: wake}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.waiting == 0 && a.underway+t.bytes <= a.bytes:
		a.admitLocked(t)
	case a.waiting >= maxWaiting:
		t.state, t.behind = ticketRefused, a.waiting
	default:
		t.timer = time.AfterFunc(a.wait, t.giveUp)
		a.line = append(a.line, t)
		a.waiting++
	}
	return t
}

func (a *admission) admitLocked(t *ticket) {
	t.state = ticketAdmitted
	a.underway += t.bytes
	a.admitted++
}

// status tells whether it was admitted; refused is the Goodbye if it never will be.
func (t *ticket) status() (admitted bool, refused error) {
	t.admission.mu.Lock()
	defer t.admission.mu.Unlock()
	if t.state == ticketRefused {
		return false, overloaded(t.behind)
	}
	return t.state == ticketAdmitted, nil
}

// overloaded asks to stay away for longer, the more there are; not all for equally long.
func overloaded(waiting int) error {
	away := min(time.Second+time.Duration(waiting)*backoffPerWaiting, maxBackoff)
	away += rand.N(away) //nolint:gosec // spreads load, guards nothing
	return goodbyeAfter(away, syncv1.Goodbye_CODE_OVERLOADED, "%d others wait for everything", waiting)
}

func (t *ticket) giveUp() {
	a := t.admission
	a.mu.Lock()
	if t.state != ticketWaits {
		a.mu.Unlock()
		return
	}
	t.state, t.behind = ticketRefused, a.waiting
	a.leaveLineLocked()
	next := a.nextLocked() // who came later may take less
	a.mu.Unlock()
	t.wake()
	for _, n := range next {
		n.wake()
	}
}

// leave gives up the place, whichever it is. More than once is fine.
func (t *ticket) leave() {
	a := t.admission
	a.mu.Lock()
	was := t.state
	t.state = ticketOver
	switch was {
	case ticketWaits:
		t.timer.Stop()
		a.leaveLineLocked()
	case ticketAdmitted:
		a.underway -= t.bytes
		a.admitted--
	}
	next := a.nextLocked()
	a.mu.Unlock()
	for _, n := range next {
		n.wake()
	}
}

// leaveLineLocked counts one out of the line; its ticket is skipped when its turn comes.
func (a *admission) leaveLineLocked() {
	if a.waiting--; a.waiting == 0 {
		a.line = nil
	}
}

// nextLocked admits as many as there is room for, in the order in which they came.
func (a *admission) nextLocked() []*ticket {
	var admitted []*ticket
	for len(a.line) > 0 {
		t := a.line[0]
		if t.state == ticketWaits {
			if a.underway+t.bytes > a.bytes {
				break
			}
			t.timer.Stop()
			a.admitLocked(t)
			a.waiting--
			admitted = append(admitted, t)
		}
		a.line[0] = nil
		a.line = a.line[1:]
	}
	return admitted
}

// load tells how many are admitted, and how many wait.
func (a *admission) load() (admitted, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.admitted, a.waiting
}
