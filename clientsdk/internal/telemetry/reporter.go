package telemetry

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/tally"
)

const (
	// lingering is how long reports go on after the last rollout is gone: longer than the tally
	// keeps its counters.
	lingering = 2 * time.Minute
	// EvaluationsEvery is how often a tally is to tell what all flags served.
	EvaluationsEvery = time.Minute
	// spread is how much later than a second's end processes look, each at its own time.
	spread = 100 * time.Millisecond
)

// ReporterOptions are options of a [Reporter]. All but Logger are required.
type ReporterOptions struct {
	Environment string
	// InstanceID names this process.
	InstanceID string
	Tally      *tally.Tally
	// Rollouts tells whether there are rollouts to report of, and the revision of the environment
	// that says so.
	Rollouts func() (some bool, revision int64)
	// Tripped is told with each answer which rollouts the relay has shut by itself, and the
	// revision of the environment when it was asked. It is called on the reporter's goroutine.
	Tripped func(rollouts []string, revision int64)
	Courier Courier
	Logger  zerolog.Logger
}

// Reporter sends what a tally adds up, each second while there are rollouts, and what all flags
// served, each minute. While no relay takes it, the tally keeps what is counted, in windows
// that get longer; what flags served, which is for people, may be lost. Without rollouts
// windows end with each minute: who applies the snapshot that has some again calls Turn before. It is
// safe for concurrent use.
type Reporter struct {
	o    ReporterOptions
	boot string

	// Of the goroutine.
	batches  []*telemetryv1.Batch       // that were cut and are not settled, oldest first
	request  *telemetryv1.ReportRequest // of the first of them, once it was made
	sequence uint64
	// lostReports is how much was in messages that were refused or given up.
	lostReports uint64
	// lostTold is what messages that were answered have declared lost.
	lostTold uint64
	backoff  backoff
	retry    time.Time // when the next attempt is due
	active   time.Time // when there were rollouts last
	// asked: what the relay has shut was asked for, once there were rollouts.
	asked bool

	mu      sync.Mutex
	account account
	settled uint64    // of what the tally counted: acknowledged, or lost since
	cutTo   time.Time // all that was counted before is cut
	flushTo time.Time // somebody waits until cutTo is not before
	waiting bool      // something that was cut is not settled
	closing bool
	changed chan struct{} // closed at the next change of cutTo or waiting

	wake   chan struct{}
	ctx    context.Context // of the goroutine
	cancel context.CancelFunc
	done   chan struct{} // closed when it ends
}

// NewReporter starts a reporter, which must be closed.
func NewReporter(o ReporterOptions) *Reporter {
	r := &Reporter{
		o: o, boot: uuid.NewString(), active: time.Now(),
		changed: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	o.Tally.Turn(time.Now())
	go r.run()
	return r
}

// Wake tells that there may be rollouts now. It does not wait.
func (r *Reporter) Wake() { signal(r.wake) }

// Refuse counts n observations that made no sense, and why.
func (r *Reporter) Refuse(n int, problem string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.account.lose(LostRefused, uint64(n))
	r.account.refusal = problem
}

// Unsent counts n observations that came too late.
func (r *Reporter) Unsent(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.account.lose(LostUnsent, uint64(n))
}

// Stats tells what became of all exposures and observations, but for those of the window under
// way. What no rollout watches is not among them.
func (r *Reporter) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	counted := r.o.Tally.Account()
	s := r.account.stats()
	s.Pending = counted.Counted - r.settled
	s.Emitted += s.Pending
	for _, why := range tally.Losses() {
		if n := counted.LostBy[why]; n > 0 {
			s.Lost[why.String()] += n
			s.Emitted += n
		}
	}
	return s
}

// Flush waits until all that was counted before is acknowledged or lost: two seconds, usually.
func (r *Reporter) Flush(ctx context.Context) error {
	target := time.Now().Truncate(time.Second).Add(time.Second)
	r.mu.Lock()
	if r.flushTo.Before(target) {
		r.flushTo = target
	}
	r.mu.Unlock()
	r.Wake()
	for {
		r.mu.Lock()
		over := r.closing || !r.waiting && !r.cutTo.Before(target)
		changed := r.changed
		r.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), r.Stats().Err)
		}
	}
}

// Close sends what there is before ctx ends, and declares the rest lost. It does not close the
// courier.
func (r *Reporter) Close(ctx context.Context) {
	r.mu.Lock()
	r.closing = true
	r.changedLocked()
	r.mu.Unlock()
	r.Wake()
	select {
	case <-r.done:
	case <-ctx.Done():
	}
	r.cancel()
	<-r.done
	r.cut(time.Now().Add(time.Second)) // there was no time for it, perhaps
	unsent := r.unsent()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.account.lose(LostUnsent, unsent)
	r.settled += unsent
}

func (r *Reporter) changedLocked() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// run reports until the reporter is closed, and has sent everything or is out of time.
func (r *Reporter) run() {
	defer close(r.done)
	offset := rand.N(spread) //nolint:gosec // spreads load, keeps no secret
	for r.wait(offset) {
		now := time.Now()
		if r.unsent() > 0 {
			r.o.Tally.Turn(now)
		} else {
			r.cut(now)
			r.ask()
		}
		if !now.Before(r.retry) {
			r.send()
		}
	}
	if r.ctx.Err() != nil {
		return
	}
	r.o.Tally.Tell()
	r.cut(time.Now().Add(time.Second)) // with the second under way
	if !slices.ContainsFunc(r.batches, func(b *telemetryv1.Batch) bool {
		return b.GetTally().GetCounted() > 0 || len(b.GetEvaluations()) > 0
	}) {
		return
	}
	r.backoff.reset()
	for r.send(); r.unsent() > 0 && r.sleep(time.Until(r.retry)); r.send() {
	}
}

// unsent is how many exposures and observations were cut and are not settled.
func (r *Reporter) unsent() (n uint64) {
	for _, b := range r.batches {
		n += b.GetTally().GetCounted()
	}
	return n
}

// ask makes sure that there is something to send when there are rollouts for the first time:
// whoever starts behind a relay that has shut one is to know it at once.
func (r *Reporter) ask() {
	if some, _ := r.o.Rollouts(); !some || r.asked {
		return
	}
	r.asked = true
	if len(r.batches) == 0 {
		r.batches = append(r.batches, &telemetryv1.Batch{})
	}
}

// wait waits for the next second, or, without rollouts, until there are some or it is time to
// tell what flags served; false: the reporter is closed.
func (r *Reporter) wait(offset time.Duration) bool {
	for r.asleep() {
		telling := time.NewTimer(EvaluationsEvery + offset)
		select {
		case <-r.ctx.Done():
			telling.Stop()
			return false
		case <-r.wake:
			telling.Stop()
		case <-telling.C:
			return true
		}
	}
	next := time.Now().Truncate(time.Second).Add(time.Second + offset)
	timer := time.NewTimer(time.Until(next))
	defer timer.Stop()
	for !r.isClosing() {
		if some, _ := r.o.Rollouts(); some && !r.asked {
			return true
		}
		select {
		case <-r.ctx.Done():
			return false
		case <-r.wake:
		case <-timer.C:
			return true
		}
	}
	return false
}

// asleep tells whether there is nothing to do.
func (r *Reporter) asleep() bool {
	now := time.Now()
	if some, _ := r.o.Rollouts(); some {
		r.active = now
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.closing && len(r.batches) == 0 && !r.cutTo.Before(r.flushTo) && now.Sub(r.active) > lingering
}

func (r *Reporter) isClosing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closing
}

// sleep waits; false: the reporter is out of time.
func (r *Reporter) sleep(d time.Duration) bool {
	select {
	case <-r.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// cut takes what was counted up to a time, where nothing that counts waits, or for the last
// time.
func (r *Reporter) cut(now time.Time) {
	cut := r.o.Tally.Cut(now)
	if n := len(cut); n > 0 && cut[n-1].GetCompleteTo().AsTime().Before(now.Truncate(time.Second)) {
		cut = append(cut, r.o.Tally.Cut(now)...) // the tally had no room to end the last window
	}
	keep := 0
	if r.request != nil {
		keep = 1 // it has a sequence, and may have arrived
	}
	r.batches = append(r.batches[:keep], slices.DeleteFunc(r.batches[keep:], func(b *telemetryv1.Batch) bool {
		return b.GetTally().GetCounted() == 0
	})...)
	r.batches = append(r.batches, cut...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cutTo, r.waiting = now.Truncate(time.Second), r.unsent() > 0
	r.changedLocked()
}

// send sends what was cut, as far as it is taken.
func (r *Reporter) send() {
	for len(r.batches) > 0 {
		if r.request == nil {
			r.request = r.next(r.batches[0])
		}
		_, revision := r.o.Rollouts()
		var response *telemetryv1.ReportResponse
		err := r.o.Courier.Deliver(r.ctx, func(ctx context.Context, relay telemetryv1.TelemetryServiceClient) (err error) {
			response, err = relay.Report(ctx, r.request)
			return err
		})
		if !r.settle(err) {
			r.retry = time.Now().Add(r.backoff.next(err))
			return
		}
		r.backoff.reset()
		if err == nil {
			r.o.Tripped(response.GetTripped(), revision)
		}
	}
}

// next makes the message for a batch.
func (r *Reporter) next(b *telemetryv1.Batch) *telemetryv1.ReportRequest {
	r.sequence++
	lost := b.GetTally().GetLost() + r.lostReports
	request := &telemetryv1.ReportRequest{
		Environment: r.o.Environment,
		Sender:      &telemetryv1.Sender{InstanceId: r.o.InstanceID, BootId: r.boot, Sequence: r.sequence},
		Windows:     b.GetWindows(),
		Evaluations: b.GetEvaluations(),
		Tally:       &telemetryv1.Tally{Emitted: b.GetTally().GetEmitted(), Lost: lost, Counted: b.GetTally().GetCounted()},
		Lost:        lost - r.lostTold,
	}
	if len(request.GetWindows()) == 0 { // to hear what the relay has shut
		request.Windows = []*telemetryv1.Window{{
			BeganAt: timestamppb.New(time.Now().Truncate(time.Second).Add(-time.Second)), Length: durationpb.New(time.Second),
		}}
	}
	return request
}

// settle writes down what came of an attempt; false: there must be another one.
func (r *Reporter) settle(err error) bool {
	n := r.request.GetTally().GetCounted()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.account.tell(r.o.Logger, err)
	switch {
	case err == nil:
		r.account.acknowledged += n
		r.lostTold = r.request.GetTally().GetLost()
	case Refused(err):
		r.account.lose(LostRefused, n)
		r.account.refusal = err.Error()
		r.lostReports += n
	case errors.Is(err, ErrUnconfirmed):
		r.account.lose(LostUnconfirmed, n)
		r.lostReports += n
	default:
		return false
	}
	r.settled += n
	r.batches, r.request = r.batches[1:], nil
	r.waiting = r.unsent() > 0
	r.changedLocked()
	return true
}
