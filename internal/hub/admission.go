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
	// connectionBytes of full states are under way on one connection. gRPC sends a piece of
	// each stream in turn: if all were under way, each would be as slow as the last, and look
	// as if nobody read it.
	connectionBytes = 1 << 20
)

// admission bounds how many bytes of full states are under way at once, over all streams
// and on each connection. Who does not fit waits in line, for a while, and is then turned
// away. What leads from a known state to the newest, is not held up.
type admission struct {
	bytes int
	wait  time.Duration

	mu          sync.Mutex
	underway    int
	admitted    int
	line        []*ticket // in order; those who gave up stay in it until their turn
	waiting     int       // in any line
	connections map[string]*connection
}

// connection has a line of its own, before the one of all.
type connection struct {
	name  string
	limit int
	bytes int // under way, or in the line of all
	line  []*ticket
}

// ticket is one that asks for a full state, and what has become of it.
type ticket struct {
	admission  *admission
	connection *connection
	// through: it has passed the line of its connection.
	through bool
	bytes   int
	wake    func()
	state   ticketState
	timer   *time.Timer
	behind  int // how many waited when it was turned away
}

type ticketState uint8

const (
	ticketWaits ticketState = iota
	ticketAdmitted
	ticketRefused
	ticketOver
)

// enter asks for admission on a connection, "" if it is not known on which; wake is called
// when the answer changes.
func (a *admission) enter(bytes int, on string, wake func()) *ticket {
	t := &ticket{admission: a, bytes: min(max(bytes, leastFull), a.bytes), wake: wake}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting >= maxWaiting {
		t.state, t.behind = ticketRefused, a.waiting
		return t
	}
	a.waiting++
	t.connection = a.connectionLocked(on)
	t.connection.line = append(t.connection.line, t)
	if a.advanceLocked(t.connection); t.state == ticketWaits {
		t.timer = time.AfterFunc(a.wait, t.giveUp)
	}
	return t
}

func (a *admission) connectionLocked(name string) *connection {
	c := a.connections[name]
	if c == nil {
		c = &connection{name: name, limit: connectionBytes}
		if name == "" {
			c.limit = a.bytes
		}
		if a.connections == nil {
			a.connections = make(map[string]*connection)
		}
		a.connections[name] = c
	}
	return c
}

// advanceLocked lets those through for whom there is room, first of the connection, then of all,
// in the order in which they came. It returns who was admitted.
func (a *admission) advanceLocked(c *connection) (admitted []*ticket) {
	for len(c.line) > 0 {
		t := c.line[0]
		if t.state == ticketWaits {
			if c.bytes > 0 && c.bytes+t.bytes > c.limit {
				break
			}
			t.through = true
			c.bytes += t.bytes
			a.line = append(a.line, t)
		}
		c.line[0] = nil
		c.line = c.line[1:]
	}
	if c.bytes == 0 && len(c.line) == 0 {
		delete(a.connections, c.name)
	}
	for len(a.line) > 0 {
		t := a.line[0]
		if t.state == ticketWaits {
			if a.underway+t.bytes > a.bytes {
				break
			}
			t.state = ticketAdmitted
			a.underway += t.bytes
			a.admitted++
			a.waiting--
			if t.timer != nil {
				t.timer.Stop()
			}
			admitted = append(admitted, t)
		}
		a.line[0] = nil
		a.line = a.line[1:]
	}
	return admitted
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
	t.behind = a.waiting
	next := t.endLocked(ticketRefused)
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
	next := t.endLocked(ticketOver)
	a.mu.Unlock()
	for _, n := range next {
		n.wake()
	}
}

// endLocked gives back what the ticket has, and returns who is admitted instead: who came
// later may take less.
func (t *ticket) endLocked(end ticketState) (admitted []*ticket) {
	a, was := t.admission, t.state
	t.state = end
	switch was {
	case ticketWaits:
		t.timer.Stop()
		a.waiting--
	case ticketAdmitted:
		a.underway -= t.bytes
		a.admitted--
	default:
		return nil
	}
	if t.through {
		t.connection.bytes -= t.bytes
	}
	return a.advanceLocked(t.connection)
}

// load tells how many are admitted, and how many wait.
func (a *admission) load() (admitted, waiting int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.admitted, a.waiting
}
