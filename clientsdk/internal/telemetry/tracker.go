package telemetry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Bounds of one message, and of one event in it.
const (
	maxEvents       = 1000 // as telemetry.proto has it
	maxMessageBytes = 1 << 20
	maxEventBytes   = 64 << 10
	// eventOverhead is about what an event takes in memory besides what it says.
	eventOverhead = 256
)

// TrackerOptions are options of a [Tracker]. All but Logger are required.
type TrackerOptions struct {
	// Environment is as in TrackRequest; empty: the relay's default.
	Environment string
	// InstanceID names this process.
	InstanceID string
	// MaxEvents and MaxBytes bound what waits. What is under way, a message, comes on top.
	MaxEvents, MaxBytes int
	// Every is how long observations are collected for, unless there is a message full of them
	// before.
	Every   time.Duration
	Courier Courier
	Logger  zerolog.Logger
}

// Tracker sends observations one by one, for clients that evaluate at a relay. It is safe for
// concurrent use. Its goroutine begins with the first observation.
type Tracker struct {
	o    TrackerOptions
	boot string

	mu       sync.Mutex
	queue    queue
	number   uint64                    // of the newest entry
	flight   *telemetryv1.TrackRequest // under way; nil: none
	oldest   uint64                    // number of the oldest entry under way
	sequence uint64
	account  account
	started  bool
	closed   bool
	changed  chan struct{} // closed at the next change of what waits or is under way

	wake   chan struct{} // there is something to send
	hurry  chan struct{} // somebody waits for it
	cancel context.CancelFunc
	ctx    context.Context // of the goroutine
	done   chan struct{}   // closed when it ends
}

// NewTracker makes a tracker, which must be closed.
func NewTracker(o TrackerOptions) *Tracker {
	t := &Tracker{
		o: o, boot: uuid.NewString(),
		queue:   queue{maxEntries: o.MaxEvents, maxBytes: o.MaxBytes},
		changed: make(chan struct{}), wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), done: make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Track takes an event with one observation, which is the tracker's from now on. It never
// waits: when the queue is full, the oldest is dropped.
func (t *Tracker) Track(e *telemetryv1.Event) {
	bytes := proto.Size(e)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		t.account.lose(LostUnsent, 1)
		return
	case bytes > maxEventBytes:
		t.refuseLocked(fmt.Sprintf("the observation takes %d bytes with its context; at most %d", bytes, maxEventBytes))
		return
	}
	t.number++
	t.account.lose(LostDropped, t.queue.push(entry{event: e, bytes: bytes + eventOverhead, number: t.number}))
	if !t.started {
		t.started = true
		go t.run()
	}
	if n := t.queue.len(); n == 1 || n == maxEvents {
		signal(t.wake)
	}
}

// Refuse counts an observation that makes no sense, and why.
func (t *Tracker) Refuse(problem string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refuseLocked(problem)
}

func (t *Tracker) refuseLocked(problem string) {
	t.account.lose(LostRefused, 1)
	t.account.refusal = problem
}

// Stats tells what became of everything.
func (t *Tracker) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.account.stats()
	s.Pending = uint64(t.queue.len()) + uint64(len(t.flight.GetEvents()))
	s.Emitted += s.Pending
	return s
}

// Flush waits until all that was tracked before is acknowledged or lost.
func (t *Tracker) Flush(ctx context.Context) error {
	t.mu.Lock()
	upTo := t.number
	t.mu.Unlock()
	for {
		t.mu.Lock()
		oldest, changed := t.oldestLocked(), t.changed
		t.mu.Unlock()
		if oldest == 0 || oldest > upTo {
			return nil
		}
		signal(t.hurry)
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), t.Stats().Err)
		}
	}
}

// oldestLocked is the number of the oldest that is not settled; 0: all are.
func (t *Tracker) oldestLocked() uint64 {
	if t.flight != nil {
		return t.oldest
	}
	return t.queue.oldest()
}

// Close takes nothing more, sends what it can before ctx ends, and declares the rest lost. It
// does not close the courier.
func (t *Tracker) Close(ctx context.Context) {
	t.mu.Lock()
	t.closed = true
	started := t.started
	t.mu.Unlock()
	if started {
		signal(t.hurry)
		select {
		case <-t.done:
		case <-ctx.Done():
		}
		t.cancel()
		<-t.done
	}
	t.cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.account.lose(LostUnsent, uint64(t.queue.len())+uint64(len(t.flight.GetEvents())))
	t.queue, t.flight = queue{}, nil
	t.changedLocked()
}

func (t *Tracker) changedLocked() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// run sends until the tracker is closed, and empty or out of time.
func (t *Tracker) run() {
	defer close(t.done)
	for t.collect() {
		t.mu.Lock()
		t.oldest = t.queue.oldest()
		t.sequence++
		request := &telemetryv1.TrackRequest{
			Environment: t.o.Environment,
			Events:      t.queue.take(maxEvents, maxMessageBytes),
			Sender:      &telemetryv1.Sender{InstanceId: t.o.InstanceID, BootId: t.boot, Sequence: t.sequence},
		}
		t.flight = request
		t.mu.Unlock()
		t.deliver(request)
	}
}

// collect waits until there is something to send, and then a while for more; false: the tracker
// is closed, and there is nothing more or no time.
func (t *Tracker) collect() bool {
	var deadline <-chan time.Time
	hurried := false
	for {
		t.mu.Lock()
		waiting, closed := t.queue.len(), t.closed
		t.mu.Unlock()
		switch {
		case t.ctx.Err() != nil, closed && waiting == 0:
			return false
		case closed, waiting >= maxEvents, hurried && waiting > 0:
			return true
		case waiting > 0 && deadline == nil:
			timer := time.NewTimer(t.o.Every)
			defer timer.Stop()
			deadline = timer.C
		}
		select {
		case <-t.ctx.Done():
		case <-t.wake:
		case <-deadline:
			return true
		case <-t.hurry:
			hurried = true
		}
	}
}

// deliver sends a message until it is settled, or the goroutine is to end.
func (t *Tracker) deliver(request *telemetryv1.TrackRequest) {
	var b backoff
	for {
		var response *telemetryv1.TrackResponse
		err := t.o.Courier.Deliver(t.ctx, func(ctx context.Context, relay telemetryv1.TelemetryServiceClient) (err error) {
			response, err = relay.Track(ctx, request)
			return err
		})
		if t.settled(request, response, err) {
			return
		}
		select {
		case <-t.ctx.Done():
			return
		case <-time.After(b.next(err)):
		case <-t.hurry:
			b.reset()
		}
	}
}

// settled writes down what came of an attempt; false: there must be another one.
func (t *Tracker) settled(request *telemetryv1.TrackRequest, response *telemetryv1.TrackResponse, err error) bool {
	n := uint64(len(request.GetEvents()))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.account.tell(t.o.Logger, err)
	switch {
	case err == nil:
		refused := min(uint64(len(response.GetRefusals())), n)
		t.account.acknowledged += n - refused
		t.account.lose(LostRefused, refused)
		if refused > 0 {
			t.account.refusal = response.GetRefusals()[0].GetMessage()
		}
	case Refused(err):
		t.account.lose(LostRefused, n)
		t.account.refusal = err.Error()
	case errors.Is(err, ErrUnconfirmed):
		t.account.lose(LostUnconfirmed, n)
	default:
		return false
	}
	t.flight = nil
	t.changedLocked()
	return true
}

// signal wakes who waits for c, now or later.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
