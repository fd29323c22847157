package hub

import (
	"sync"
	"time"
)

// stuckAfter is how long a worker may be at one turn and still count as one that works.
const stuckAfter = 2 * time.Millisecond

// senders runs the streams that have something to do. Its workers are goroutines that
// come with the work and go when there is none left: so a stream that is idle has none,
// and what is sent to thousands is sent from a few stacks that have grown. A worker whose
// stream does not take what it is sent, is replaced: nobody waits for a slow follower.
type senders struct {
	// atOnce is how many workers are wanted that are not stuck.
	atOnce int
	// overdue is told, now and then, who is at work; it returns when to be told again.
	overdue func([]*worker) time.Duration

	mu          sync.Mutex
	first, last *stream // have something to do, in order
	workers     []*worker
	stuck       int
	// wanted is atOnce, and twice as many with each look at which all are stuck: many
	// followers stop reading at once.
	wanted int
	timer  *time.Timer // nil while there are no workers
}

func newSenders(atOnce int, overdue func([]*worker) time.Duration) *senders {
	return &senders{atOnce: atOnce, wanted: atOnce, overdue: overdue}
}

// worker is one goroutine.
type worker struct {
	stream *stream
	began  time.Time // this turn
	stuck  bool
	index  int // among the workers
}

// push has a stream take a turn. It does not wait.
func (p *senders) push(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.appendLocked(s)
	p.hireLocked()
}

func (p *senders) appendLocked(s *stream) {
	if p.first == nil {
		p.first = s
		if p.timer != nil {
			p.timer.Reset(stuckAfter)
		}
	} else {
		p.last.next = s
	}
	p.last = s
}

func (p *senders) takeLocked() *stream {
	s := p.first
	if s != nil {
		p.first, s.next = s.next, nil
	}
	return s
}

// hireLocked starts a worker if there is work for it.
func (p *senders) hireLocked() {
	if p.first == nil || len(p.workers)-p.stuck >= p.wanted {
		return
	}
	w := &worker{index: len(p.workers), stream: p.takeLocked(), began: time.Now()}
	p.workers = append(p.workers, w)
	if p.timer == nil {
		p.timer = time.AfterFunc(stuckAfter, p.look)
	}
	go p.work(w)
}

func (p *senders) work(w *worker) {
	for s := w.stream; s != nil; {
		again := s.turn()
		s = p.next(w, again)
	}
}

// next returns the stream whose turn it is; nil: the worker is not needed any more.
func (p *senders) next(w *worker, again bool) *stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	if again {
		p.appendLocked(w.stream)
	}
	if w.stuck {
		w.stuck = false
		p.stuck--
	}
	if len(p.workers)-p.stuck > p.wanted || p.first == nil {
		p.dismissLocked(w)
		return nil
	}
	w.stream, w.began = p.takeLocked(), time.Now()
	return w.stream
}

func (p *senders) dismissLocked(w *worker) {
	last := len(p.workers) - 1
	p.workers[w.index] = p.workers[last]
	p.workers[w.index].index = w.index
	p.workers[last] = nil
	p.workers = p.workers[:last]
	if last == 0 {
		p.timer.Stop()
		p.timer = nil
	}
}

// look finds the workers that are stuck, replaces them, and says who is overdue.
func (p *senders) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil {
		return
	}
	now := time.Now()
	for _, w := range p.workers {
		if !w.stuck && now.Sub(w.began) >= stuckAfter {
			w.stuck = true
			p.stuck++
		}
	}
	wait := p.overdue(p.workers)
	if p.stuck == len(p.workers) && p.first != nil {
		p.wanted *= 2
	} else {
		p.wanted = p.atOnce
	}
	for p.first != nil && len(p.workers)-p.stuck < p.wanted {
		p.hireLocked()
	}
	if p.first != nil {
		wait = stuckAfter
	}
	p.timer.Reset(wait)
}

// lookSoon is for when who is overdue may have changed.
func (p *senders) lookSoon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Reset(time.Millisecond)
	}
}
