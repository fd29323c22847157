package proxy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	// pieceBytes is how much is read at once, and queue how many such pieces may be under
	// way in one direction: what a slow network holds of a connection.
	pieceBytes = 16 << 10
	queue      = 64
	// paces a second a throttled direction is written in.
	paces = 50
)

// connection is one client's, and the one to the target that belongs to it.
type connection struct {
	proxy          *Proxy
	client, target *net.TCPConn
	ctx            context.Context // ends with the connection
	cancel         context.CancelFunc
	once           sync.Once
	up, down       *half
}

// half is one direction of a connection.
type half struct {
	c        *connection
	way      *way
	from, to *net.TCPConn
	random   *rand.Rand // of the writing goroutine
	jitter   *rand.Rand // of the reading goroutine
	pieces   chan piece

	// Of the writing goroutine: how much went through, since when the setting counts, the
	// next bit to flip, and whether something was swallowed.
	passed, base, flipAt int64
	seen                 *Direction
	lost                 bool
}

// piece is bytes, and when they may go on.
type piece struct {
	data []byte
	due  time.Time
}

func newConnection(p *Proxy, client, target *net.TCPConn, number uint64) *connection {
	c := &connection{proxy: p, client: client, target: target}
	c.ctx, c.cancel = context.WithCancel(p.ctx)
	c.up = c.half(&p.up, client, target, 4*number)
	c.down = c.half(&p.down, target, client, 4*number+2)
	return c
}

func (c *connection) half(w *way, from, to *net.TCPConn, stream uint64) *half {
	return &half{
		c: c, way: w, from: from, to: to, pieces: make(chan piece, queue),
		random: rand.New(rand.NewPCG(c.proxy.seed, stream)),   //nolint:gosec // to be repeated, not to be secret
		jitter: rand.New(rand.NewPCG(c.proxy.seed, stream+1)), //nolint:gosec // as above
	}
}

// run forwards until both directions have ended, or the connection was reset.
func (c *connection) run() {
	stop := context.AfterFunc(c.ctx, c.abort)
	var halves sync.WaitGroup
	for _, h := range []*half{c.up, c.down} {
		halves.Go(h.read)
		halves.Go(h.write)
	}
	halves.Wait()
	if stop(); c.ctx.Err() != nil {
		c.abort() // before an orderly close can be
	}
}

// reset ends the connection with RST to both sides.
func (c *connection) reset() {
	c.once.Do(func() { c.proxy.resets.Add(1) })
	c.cancel()
}

func (c *connection) abort() {
	abort(c.client)
	abort(c.target)
}

// read takes what the sender sends, unless that is stalled.
func (h *half) read() {
	defer close(h.pieces)
	for due := (time.Time{}); ; {
		s := h.settle()
		if s == nil {
			return
		}
		buffer := make([]byte, pieceBytes)
		n, err := h.from.Read(buffer)
		if n > 0 {
			s, _ = h.way.get() // it may be another than before the wait for bytes
			at := time.Now().Add(s.Delay)
			if s.Jitter > 0 {
				at = at.Add(time.Duration(h.jitter.Int64N(int64(s.Jitter))))
			}
			if at.After(due) {
				due = at
			}
			select {
			case h.pieces <- piece{buffer[:n], due}:
			case <-h.c.ctx.Done():
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				h.c.cancel()
			}
			return
		}
	}
}

// settle waits while the direction is stalled; nil: the connection has ended.
func (h *half) settle() *Direction {
	for {
		s, changed := h.way.get()
		if h.c.ctx.Err() != nil {
			return nil
		}
		if !s.Stall {
			return s
		}
		select {
		case <-changed:
		case <-h.c.ctx.Done():
			return nil
		}
	}
}

// write passes on what was read, and does to it what it is told.
func (h *half) write() {
	for p := range h.pieces {
		if !h.sleep(time.Until(p.due)) {
			return
		}
		for data := p.data; len(data) > 0; {
			n := h.pass(data)
			if n == 0 {
				return
			}
			data = data[n:]
		}
	}
	if h.c.ctx.Err() == nil { // else it is to be a reset
		_ = h.to.CloseWrite()
	}
}

// pass passes on the beginning of some bytes and returns how many are done with; 0: the
// connection has ended.
func (h *half) pass(data []byte) int {
	s := h.settle()
	if s == nil {
		return 0
	}
	if s != h.seen {
		h.seen, h.base = s, h.passed
		h.flipAt = h.nextFlip(h.passed)
	}
	if s.Rate > 0 {
		data = data[:min(len(data), max(s.Rate/paces, 1))]
	}
	if s.CutAfter > 0 {
		data = data[:min(int64(len(data)), max(s.CutAfter-(h.passed-h.base), 0))]
		if len(data) == 0 {
			h.c.reset()
			return 0
		}
	}
	if s.Swallow {
		h.lost = true
		h.way.swallowed.Add(int64(len(data)))
		return len(data)
	}
	if h.lost {
		h.c.reset()
		return 0
	}
	h.corrupt(data)
	n, err := h.to.Write(data)
	h.passed += int64(n)
	h.way.bytes.Add(int64(n))
	if err != nil {
		h.c.cancel()
		return 0
	}
	if s.Rate > 0 && !h.sleep(time.Duration(n)*time.Second/time.Duration(s.Rate)) {
		return 0
	}
	return n
}

// corrupt flips the bits that are due in what goes on next.
func (h *half) corrupt(data []byte) {
	for h.flipAt >= 0 && h.flipAt < h.passed+int64(len(data)) {
		data[h.flipAt-h.passed] ^= 1 << h.random.IntN(8)
		h.way.flipped.Add(1)
		h.flipAt = h.nextFlip(h.flipAt + 1)
	}
}

// nextFlip draws the position of the next flip from some position on; -1: none.
func (h *half) nextFlip(from int64) int64 {
	if h.seen.CorruptEvery <= 0 {
		return -1
	}
	return from + h.random.Int64N(2*int64(h.seen.CorruptEvery))
}

// sleep waits; false: the connection has ended.
func (h *half) sleep(d time.Duration) bool {
	if d <= 0 {
		return h.c.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-h.c.ctx.Done():
		return false
	}
}
