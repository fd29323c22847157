package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/batchcheck"
	"github.com/tidegate/tidegate/internal/fault"
)

const (
	// maxUnderWay is how many batches of one sender wait at most: as many as it may have under
	// way.
	maxUnderWay = 64
	// pendingBytes is about what a batch that waits takes beside what it says.
	pendingBytes = 1 << 10
)

// Stream is what batches come on, and answers go. gRPC's server streams are ones. Recv and Send
// are each called by one goroutine; Recv may be blocked when Push has returned, until the
// stream's context ends.
type Stream interface {
	Context() context.Context
	Recv() (*telemetryv1.PushRequest, error)
	Send(*telemetryv1.PushResponse) error
}

// Allow says whether who sends may tell of an environment. A problem has the batch refused; an
// error ends the stream.
type Allow func(environment string) (problem string, err error)

// pending is a batch that waits for its commit.
type pending struct {
	id       senderID
	sequence uint64
	// batch, of which only the sender and the tally are left if there is a problem.
	batch *telemetryv1.Batch
	// problem is why it makes no sense; empty: it does.
	problem string
	size    int64
	came    time.Time
	// waiters are the streams that it came on.
	waiters []*session
	// What becomes of it, if the commit does that is under way.
	verdict verdict
	refusal string
}

// completeTo is the time of the newest that is in the batch, by its sender's clock.
func (p *pending) completeTo() time.Time {
	if t := p.batch.GetCompleteTo(); t != nil {
		return t.AsTime()
	}
	var newest time.Time
	for _, w := range p.batch.GetWindows() {
		if end := w.GetBeganAt().AsTime().Add(w.GetLength().AsDuration()); end.After(newest) {
			newest = end
		}
	}
	if newest.IsZero() {
		return time.Now() // there is nothing in it
	}
	return newest
}

// inbox holds what waits of one sender, by sequence.
type inbox struct {
	id      senderID
	waiting []*pending
}

func (b *inbox) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(b.waiting, sequence, func(p *pending, q uint64) int {
		switch {
		case p.sequence < q:
			return -1
		case p.sequence > q:
			return 1
		}
		return 0
	})
}

// Push takes what comes on a stream, and answers each batch once it is committed. It returns
// when the stream ends: nil if the other side has closed its half and everything was answered.
//
// Errors: ErrNotLeading, ErrNoSender, ErrTooManySenders, and those of the stream.
func (c *Collector) Push(stream Stream, allow Allow) error {
	c.mu.Lock()
	t := c.term
	c.mu.Unlock()
	if t == nil {
		return ErrNotLeading
	}
	c.metrics.streams.Inc()
	defer c.metrics.streams.Dec()
	// The context ends what receive waits for here; only Recv waits for the stream's own end.
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	s := newSession()
	received := make(chan error, 1)
	go func() { received <- c.receive(ctx, t, s, stream, allow) }()

	closed := false
	for !closed || !s.settled() {
		select {
		case <-s.news:
			for _, answer := range s.take() {
				fault.Point(fault.CollectorBeforeAck)
				if err := stream.Send(answer); err != nil {
					return err
				}
			}
		case err := <-received:
			if err != nil {
				return err
			}
			closed = true
		case <-t.over:
			return ErrNotLeading
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// receive reads the stream until the other side closes its half of it.
func (c *Collector) receive(ctx context.Context, t *tenure, s *session, stream Stream, allow Allow) error {
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		b := m.GetBatch()
		if err := batchcheck.Sender(b.GetSender()); err != nil {
			return fmt.Errorf("%w: sender: %w", ErrNoSender, err)
		}
		problem, err := allow(b.GetEnvironment())
		if err != nil {
			return err
		}
		if err := c.admit(ctx, t, s, newPending(b, problem)); err != nil {
			return err
		}
	}
}

// newPending looks at what a batch says; problem is what is known to be wrong with it already.
// What makes no sense is not kept.
func newPending(b *telemetryv1.Batch, problem string) *pending {
	p := &pending{
		id: idOf(b.GetSender()), sequence: b.GetSender().GetSequence(), batch: b,
		problem: problem, came: time.Now(),
	}
	size := proto.Size(b)
	if size > batchcheck.MaxBytes {
		p.problem = fmt.Sprintf("%d bytes: want at most %d", size, batchcheck.MaxBytes)
	} else if err := batchcheck.Batch(b); err != nil {
		p.problem = err.Error()
	} else if told, n := b.GetTally().GetCounted(), batchcheck.Counted(b); told != n && b.GetTally() != nil {
		p.problem = fmt.Sprintf("tally: counted %d: the windows hold %d exposures and observations", told, n)
	}
	if p.problem != "" {
		p.batch = &telemetryv1.Batch{Sender: b.GetSender(), Tally: b.GetTally()}
		size = proto.Size(p.batch) + len(p.problem)
	}
	p.size = int64(size + pendingBytes)
	return p
}

// admit lets a batch wait for its commit. It blocks while there is no room.
func (c *Collector) admit(ctx context.Context, t *tenure, s *session, p *pending) error {
	if err := s.room(ctx); err != nil {
		return err
	}
	if err := c.memory.Acquire(ctx, p.size); err != nil {
		return err
	}
	for {
		kept, progress, err := c.place(t, s, p)
		if err != nil || !kept && progress == nil {
			c.memory.Release(p.size)
			return err
		}
		if kept {
			select {
			case c.arrived <- struct{}{}:
			default:
			}
			return nil
		}
		select {
		case <-progress:
		case <-ctx.Done():
			c.memory.Release(p.size)
			return ctx.Err()
		}
	}
}

// place puts a batch where it waits; if there is no room for it, it returns what is closed
// when there may be. One that is known already is not kept.
func (c *Collector) place(t *tenure, s *session, p *pending) (kept bool, progress <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.term != t {
		return false, nil, ErrNotLeading
	}
	if p.sequence <= c.ledger.sequence(p.id) && !fault.Planted("count-again") {
		c.metrics.batches.WithLabelValues(string(verdictDuplicate)).Inc()
		s.acknowledge(p)
		return false, nil, nil
	}
	box := c.inboxes[p.id]
	if box == nil {
		if c.ledger.byID[p.id] == nil && c.bootsLocked(p.id.instance) >= maxBoots {
			p.refusal = fmt.Sprintf("instance %q has begun %d times in %v: no more of its boots are kept account of before one was silent for that long",
				p.id.instance, maxBoots, c.o.Forget)
			c.metrics.batches.WithLabelValues(string(verdictRefused)).Inc()
			s.acknowledge(p)
			return false, nil, nil
		}
		if c.ledger.byID[p.id] == nil && c.crowdedLocked(p.id.shard()) {
			return false, nil, fmt.Errorf("%w: there are %d whose ids fall together with instance %q: none is added before one was silent for %v",
				ErrTooManySenders, maxShard, p.id.instance, c.o.Forget)
		}
		box = &inbox{id: p.id}
	}
	i, there := box.find(p.sequence)
	if there {
		c.metrics.batches.WithLabelValues(string(verdictDuplicate)).Inc()
		if first := box.waiting[i]; !slices.Contains(first.waiters, s) {
			first.waiters = append(first.waiters, s)
			s.expect()
		}
		return false, nil, nil
	}
	if len(box.waiting) >= maxUnderWay {
		return false, c.progress, nil
	}
	if len(box.waiting) == 0 {
		c.inboxes[p.id] = box
		c.order = append(c.order, box)
	}
	p.waiters = append(p.waiters, s)
	s.expect()
	box.waiting = slices.Insert(box.waiting, i, p)
	c.metrics.pending.Add(float64(p.size))
	return true, nil, nil
}

// bootsLocked is how many boots of an instance are known, those that wait included.
func (c *Collector) bootsLocked(instance string) (n int) {
	for _, s := range c.ledger.shards[senderID{instance: instance}.shard()].senders {
		if s.id.instance == instance {
			n++
		}
	}
	for id := range c.inboxes {
		if id.instance == instance && c.ledger.byID[id] == nil {
			n++
		}
	}
	return n
}

// crowdedLocked tells whether a shard takes no more senders, those that wait included.
func (c *Collector) crowdedLocked(shard int) bool {
	n := len(c.ledger.shards[shard].senders)
	if n+len(c.inboxes) < maxShard {
		return false // however they are spread
	}
	for id := range c.inboxes {
		if id.shard() == shard && c.ledger.byID[id] == nil {
			n++
		}
	}
	return n >= maxShard
}

// waits tells whether there is something to commit.
func (c *Collector) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.order) > 0
}

// finishLocked is done with batches that are committed: nothing of them is here any more but the
// answers.
func (c *Collector) finishLocked(done []*pending) {
	if len(done) == 0 {
		return
	}
	gone := make(map[*pending]struct{}, len(done))
	for _, p := range done {
		gone[p] = struct{}{}
		c.memory.Release(p.size)
		c.metrics.pending.Sub(float64(p.size))
		c.metrics.batches.WithLabelValues(string(p.verdict)).Inc()
		for _, s := range p.waiters {
			s.acknowledge(p)
			s.done()
		}
		if p.verdict == verdictRefused {
			c.refusals.Warn().Str("instance", p.id.instance).Str("boot", p.id.boot).Uint64("sequence", p.sequence).
				Str("why", p.refusal).Msg("a batch of telemetry makes no sense; its events are lost")
		}
	}
	c.order = slices.DeleteFunc(c.order, func(box *inbox) bool {
		box.waiting = slices.DeleteFunc(box.waiting, func(p *pending) bool { _, is := gone[p]; return is })
		if len(box.waiting) == 0 {
			delete(c.inboxes, box.id)
		}
		return len(box.waiting) == 0
	})
	c.advanceLocked()
}
