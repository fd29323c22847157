// Package spool is a relay's queue of telemetry batches on their way up: on disk, so that
// what was acknowledged to a caller survives the process and the machine, and in bounds.
//
// Batches are appended to segment files as frames with checksums, many of them with one
// sync (see frame.go for the format). They are handed out in order, the oldest boot's
// first, under the boot and sequence under which they were appended, however often the
// process starts again; and released, once upstream acknowledges them, by whole segments.
//
// Promises: when Append returns, its batch is durable, or the receipt says that it is not.
// A batch that may have been sent is not dropped for want of room. For each boot
//
//	emitted = acknowledged + lost + spooled
//
// and the tally of each batch that is handed out explains what is missing before it: a
// receiver that counts what it gets, once, finds emitted = counted + lost there. What may
// have been counted by an earlier attempt and cannot be sent again (it was damaged, or too
// old) is left out of the tally: the receiver, who knows whether it has it, declares it.
//
// Damage costs the frames that it hits. A disk that is full, or fails, makes the spool go
// on in memory, within a bound, until it can write again; a process that is killed
// meanwhile loses what was not written, and nobody can tell how much that was.
//
// Append waits for the disk, with all who append at the time. Next and Release wait for no
// disk write, but for every 128th batch while nothing is appended.
package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

const (
	// MaxBatchBytes is how large a batch may be, encoded: receivers take 1 MiB, of which sender
	// and tally need a little.
	MaxBatchBytes = 1<<20 - 1<<10
	// MaxUnderWay is how many batches may be handed out and not released.
	MaxUnderWay = 64
	// maxBytesUnderWay is how large they may be together, unless it is one.
	maxBytesUnderWay = 8 << 20
	// maxAhead is how far Next may go until the state is written again. A process that finds
	// these batches takes them for sent.
	maxAhead = 2 * MaxUnderWay
	// maxID bounds the ids of senders below, in bytes.
	maxID = 128
)

var (
	// ErrClosed says that the spool was closed.
	ErrClosed = errors.New("spool: closed")
	// ErrTooLarge says that a batch cannot be sent; nothing was appended.
	ErrTooLarge = errors.New("spool: batch is too large")
	// ErrNotSent says that a batch cannot be acknowledged that was not handed out.
	ErrNotSent = errors.New("spool: never sent")
)

// Options of a Spool.
type Options struct {
	// InstanceID of this process, stable over restarts and unique; required.
	InstanceID string
	// Dir holds the segments; it is made. One process at a time: the caller holds the lock of
	// the directory around it. Empty: memory only.
	Dir string
	// MaxBytes bounds the segments, MemoryBytes those in memory: all of them without a Dir,
	// else those that cannot be written. Default 256 MiB and 32 MiB. A bound may be passed by
	// what was sent and not acknowledged, and by a segment.
	MaxBytes, MemoryBytes int64
	// MaxAge of a batch; default 24 h. What is older is of no use, and receivers may forget
	// by then what they counted.
	MaxAge time.Duration
	// MaxMarks bounds the senders below whose messages are recognised; default 65,536.
	// MarkAge is for how long they are, after the last one; default 24 h.
	MaxMarks   int
	MarkAge    time.Duration
	Logger     zerolog.Logger
	Registerer prometheus.Registerer // may be nil
}

func (o *Options) ensureDefaults(memoryOnly bool) {
	o.MaxBytes = cmp.Or(o.MaxBytes, 256<<20)
	o.MemoryBytes = cmp.Or(o.MemoryBytes, min(32<<20, o.MaxBytes))
	o.MaxAge = cmp.Or(o.MaxAge, 24*time.Hour)
	o.MaxMarks = cmp.Or(o.MaxMarks, 65_536)
	o.MarkAge = cmp.Or(o.MarkAge, 24*time.Hour)
	if memoryOnly {
		o.MaxBytes = o.MemoryBytes
	}
}

func (o *Options) validate() error {
	switch {
	case o.InstanceID == "":
		return errors.New("spool: no instance id")
	case o.MaxBytes < 0 || o.MemoryBytes < 0:
		return errors.New("spool: a bound on bytes is negative")
	case o.MaxMarks > 1<<16:
		return errors.New("spool: at most 65,536 marks can be kept")
	case o.MaxAge < 0 || o.MarkAge < 0 || o.MaxMarks < 0:
		return errors.New("spool: a bound on age or marks is negative")
	}
	return nil
}

// Spool is safe for concurrent use; Next, Rewind and Release are for one sender.
type Spool struct {
	o      Options
	files  files // nil: memory only
	logger zerolog.Logger

	retryMin, retryMax time.Duration
	stop, done         chan struct{}

	// writing is held while something is written; it is taken before mu.
	writing sync.Mutex
	// retryAt is when the disk is tried again, after retryWait.
	retryAt   time.Time
	retryWait time.Duration

	mu sync.Mutex
	// segments in order; the last one, if it is not sealed, is appended to.
	segments []*segment
	number   uint64 // of the newest segment
	// garbage are files that are not needed once the state is written.
	garbage []*segment
	// boots that are not settled, in order; own is this process's, the last.
	boots []*boot
	own   *boot
	marks map[markKey]mark
	// group is what is written next.
	group *group
	// next is the account up to what was appended last, written or not.
	next header

	cursor   cursor
	underWay []handed
	bytes    int // of those under way
	// settled are boots of which everything was acknowledged.
	settled map[markKey]struct{}

	// failing is why the disk cannot be written; nil: it can, or there is none.
	failing error
	closed  bool
	// more signals that Next may find something.
	more   chan struct{}
	totals Totals
}

// Open reads what earlier processes left. Damage is logged and counted, and no error; nor is
// a directory that cannot be written.
func Open(o Options) (*Spool, error) {
	if o.Dir == "" {
		return open(o, nil, time.Second)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return open(o, osFiles(o.Dir), time.Second)
}

func open(o Options, fsys files, retry time.Duration) (*Spool, error) {
	o.ensureDefaults(fsys == nil)
	if err := o.validate(); err != nil {
		return nil, err
	}
	s := &Spool{
		o: o, files: fsys, logger: o.Logger,
		retryMin: retry, retryMax: 30 * retry, retryWait: retry,
		stop: make(chan struct{}), done: make(chan struct{}),
		marks: make(map[markKey]mark), settled: make(map[markKey]struct{}), group: newGroup(), more: make(chan struct{}, 1),
	}
	s.totals.Lost = make(map[Reason]uint64)
	if fsys != nil {
		if err := s.load(); err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	s.own = &boot{instance: o.InstanceID, id: uuid.NewString(), dirty: true}
	s.boots = append(s.boots, s.own)
	if err := s.register(o.Registerer); err != nil {
		return nil, err
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	go s.maintain()
	return s, nil
}

// BootID is the boot under which this process appends.
func (s *Spool) BootID() string { return s.own.id }

// Append is AppendAll of one entry.
func (s *Spool) Append(e Entry) (Receipt, error) {
	receipts, err := s.AppendAll([]Entry{e})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// AppendAll numbers the batches and stores them: all of them, or, if the process is killed
// meanwhile, perhaps none. It returns once they are durable, or in memory where that cannot be;
// then older batches may have been dropped for them. ErrTooLarge and ErrClosed say that nothing
// was done.
func (s *Spool) AppendAll(entries []Entry) ([]Receipt, error) {
	contents := make([][]byte, len(entries))
	for i, e := range entries {
		var err error
		if contents[i], err = e.encode(); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	receipts := make([]Receipt, len(entries))
	g := s.group
	for i, e := range entries {
		kind := uint32(kindPart)
		if i == len(entries)-1 {
			kind = kindBatch
		}
		s.enter(kind, &e, now)
		sender := &telemetryv1.Sender{InstanceId: s.own.instance, BootId: s.own.id, Sequence: s.next.sequence}
		receipts[i].Sender = sender
		if err := g.add(s.next, e.Batch.GetEnvironment(), contents[i], sender, e.Marks, now); err != nil {
			s.mu.Unlock()
			return nil, fmt.Errorf("spool: %w", err)
		}
	}
	s.mu.Unlock()
	s.commit(g)
	for i := range receipts {
		receipts[i].Durable = g.durable
	}
	return receipts, nil
}

// enter makes next the header of an entry; mu is held.
func (s *Spool) enter(kind uint32, e *Entry, now time.Time) {
	s.next.kind = kind
	s.next.sequence++
	s.next.emitted += e.Counted + e.Lost
	s.next.lost += e.Lost
	s.next.counted = e.Counted
	s.next.at = now.UnixMilli()
}

// Seen tells whether the sender's message is in the spool already: it was acknowledged, and
// is not to be counted again.
func (s *Spool) Seen(sender *telemetryv1.Sender) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.marks[markKey{sender.GetInstanceId(), sender.GetBootId()}]
	return ok && sender.GetSequence() <= m.sequence
}

// Mark is up to where a sender's messages are in the spool; 0: it is not known.
func (s *Spool) Mark(instance, boot string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[markKey{instance, boot}].sequence
}

// Failing is why batches are not durable at the moment; nil: they are, or there is no
// directory.
func (s *Spool) Failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing
}

// flush writes what there is to write; ErrClosed if that is nothing any more.
func (s *Spool) flush() error {
	s.mu.Lock()
	g, closed := s.group, s.closed
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	s.commit(g)
	return nil
}

// maintain writes what was acknowledged, tries again what failed, and drops what is too old,
// until the spool is closed.
func (s *Spool) maintain() {
	defer close(s.done)
	ticker := time.NewTicker(s.retryMin)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		s.expire(time.Now())
		work := s.unwritten() || s.failing != nil
		s.mu.Unlock()
		if work {
			_ = s.flush() // it tells by itself what fails
		}
	}
}

// Close writes what is not yet written. Nothing is handed out or appended any more.
func (s *Spool) Close() error {
	err := s.flush()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.signal()
	close(s.stop)
	<-s.done
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	err = errors.Join(err, s.failing)
	s.failing = ErrClosed // whoever is late
	for _, g := range append(s.segments, s.garbage...) {
		err = errors.Join(err, g.close())
	}
	return err
}

func (s *Spool) signal() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// wait returns when there may be more to hand out.
func (s *Spool) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.more:
		return nil
	}
}
