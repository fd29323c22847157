package spool

import (
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

// group is what is written with one sync.
type group struct {
	frames  []byte
	batches []written
	marks   map[markKey]mark
	done    chan struct{}
	durable bool // once done
}

// written is a batch of a group.
type written struct {
	header
	environment string
	at          time.Time
}

func newGroup() *group { return &group{marks: make(map[markKey]mark), done: make(chan struct{})} }

// Fields of Batch.
const (
	environmentField = 1
	senderField      = 2
	tallyField       = 5
)

// add adds a batch as a frame.
func (g *group) add(h header, environment string, content []byte, sender *telemetryv1.Sender, below []*telemetryv1.Sender, now time.Time) error {
	who, err := proto.Marshal(sender)
	if err != nil {
		return err
	}
	marks := make(map[markKey]mark, len(below))
	for _, m := range below {
		marks[markKey{m.GetInstanceId(), m.GetBootId()}] = mark{m.GetSequence(), now.Unix()}
	}
	payload := appendMarks(nil, marks)
	payload = append(payload, content...)
	payload = protowire.AppendTag(payload, senderField, protowire.BytesType)
	payload = protowire.AppendBytes(payload, who)
	g.frames = appendFrame(g.frames, h, payload)
	g.batches = append(g.batches, written{h, environment, now})
	for k, m := range marks {
		if g.marks[k].sequence < m.sequence {
			g.marks[k] = m
		}
	}
	return nil
}

// unwritten tells whether there is something to write beside batches.
func (s *Spool) unwritten() bool {
	if s.files == nil {
		return false
	}
	for _, b := range s.boots {
		if b.dirty {
			return true
		}
	}
	g := s.active()
	return len(s.garbage) > 0 || g != nil && g.old
}

// commit returns once the group is written: by whoever comes first, for all that are in it.
func (s *Spool) commit(g *group) {
	s.writing.Lock()
	defer s.writing.Unlock()
	select {
	case <-g.done:
		return
	default:
	}
	s.recover(time.Now())
	w := s.begin(g)
	err := s.write(w)
	s.end(w, err)
	close(g.done)
	s.signal()
}

// write is one write: of a group and of the state that has changed.
type write struct {
	*group
	segment *segment
	fresh   bool
	data    []byte
	onDisk  bool
	// boots whose state is in data, with the sequences that are reserved by it.
	boots    map[*boot]uint64
	garbage  []*segment
	replaced *segment // sealed by this write
}

// begin takes the group, and says what to write where.
func (s *Spool) begin(g *group) *write {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group = newGroup()
	w := &write{group: g, segment: s.active(), garbage: s.garbage, boots: make(map[*boot]uint64), onDisk: s.files != nil && s.failing == nil}
	s.garbage = nil
	st := state{}
	switch {
	case w.segment == nil || w.segment.boot != nil && (w.segment.old || w.segment.full(s.segmentBytes())):
		w.replaced = w.segment
		s.startLocked(w)
		s.expireMarks(time.Now())
		if s.files != nil {
			st = state{boots: s.boots, marks: s.marks}
		}
	case w.onDisk:
		for _, b := range s.boots {
			if b.dirty {
				st.boots = append(st.boots, b)
			}
		}
	}
	for _, b := range st.boots {
		b.dirty = false
		w.boots[b] = b.reservation()
	}
	switch {
	case w.fresh:
		w.checkpoint(st)
	case len(st.boots) > 0:
		w.data = appendFrame(w.data, header{kind: kindState}, encodeState(st))
	}
	w.data = append(w.data, g.frames...)
	return w
}

// startLocked makes the write go to a segment of its own.
func (s *Spool) startLocked(w *write) {
	s.number++
	w.segment, w.fresh = &segment{number: s.number, inFile: w.onDisk}, true
	w.data = append(w.data, segmentMagic...)
}

// checkpoint is what a segment begins with.
func (w *write) checkpoint(st state) {
	w.data = appendFrame(w.data, header{kind: kindCheckpoint}, encodeState(st))
	w.segment.preface = int64(len(w.data))
}

// write writes, to disk if that is where it goes.
func (s *Spool) write(w *write) error {
	if !w.onDisk || len(w.data) == 0 {
		return nil
	}
	if w.fresh {
		f, err := s.create(w.segment.name(), w.data)
		w.segment.file = f
		return err
	}
	f := w.segment.file
	_, err := f.Write(w.data)
	if err == nil {
		fault.Point(fault.SpoolBeforeSync)
		err = f.Sync()
		fault.Point(fault.SpoolAfterSync)
	}
	if err != nil {
		// What a failed sync has left is unknown; the frames go elsewhere. A frame that is in
		// two segments counts once.
		err = errors.Join(err, f.Truncate(w.segment.size))
	}
	return err
}

// create makes a file of this content.
func (s *Spool) create(name string, data []byte) (file, error) {
	f, err := s.files.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.files.SyncDir()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), ignoreNotExist(s.files.Remove(name)))
	}
	return f, nil
}

// end notes what was written; or puts it in memory, if it could not be.
func (s *Spool) end(w *write, err error) {
	s.mu.Lock()
	if err != nil {
		s.failLocked(err)
		w.onDisk = false
		if w.fresh {
			w.segment.inFile = false
		} else {
			w.segment.sealed = true
			w.data = nil
			s.startLocked(w)
			w.checkpoint(state{boots: s.boots, marks: s.marks})
			w.data = append(w.data, w.frames...)
		}
	}
	if w.replaced != nil {
		w.replaced.sealed = true
		_ = w.replaced.close() // it is synced, and opened again to be read
	}
	g := w.segment
	if w.fresh {
		s.segments = append(s.segments, g)
	}
	if !g.inFile {
		g.memory = append(g.memory, w.data...)
	}
	g.size += int64(len(w.data))
	w.durable = w.onDisk
	for b, reserved := range w.boots {
		if w.onDisk {
			b.reserved = reserved
			if b.settled && !b.dirty {
				s.boots = slices.DeleteFunc(s.boots, func(o *boot) bool { return o == b })
			}
		} else {
			b.dirty = b.dirty || s.files != nil
		}
	}
	for _, b := range w.batches {
		g.add(s.own, b.header, b.at)
		s.own.environment, s.own.last, s.own.emitted, s.own.lost = b.environment, b.sequence, b.emitted, b.lost
	}
	s.account(w.batches)
	s.addMarks(w.marks)
	s.settleSegments()
	s.bound()
	if !w.onDisk {
		w.garbage = s.keepState(w.garbage)
	}
	s.mu.Unlock()
	s.clean(w.garbage)
}

// keepState keeps the newest file, while a newer one cannot be written: the state in it is
// all that is left of it on disk. The others make room.
func (s *Spool) keepState(garbage []*segment) []*segment {
	var newest *segment
	for _, g := range slices.Concat(s.segments, garbage) {
		if g.inFile && (newest == nil || g.number > newest.number) {
			newest = g
		}
	}
	if i := slices.Index(garbage, newest); i >= 0 {
		s.garbage = append(s.garbage, newest)
		return slices.Delete(garbage, i, i+1)
	}
	return garbage
}

// account counts what was appended.
func (s *Spool) account(batches []written) {
	for _, b := range batches {
		before := s.totals.appended
		s.totals.appended = b.header
		s.totals.Emitted += b.emitted - before.emitted
		s.lose(ReasonUncounted, b.lost-before.lost)
	}
}

// clean removes files.
func (s *Spool) clean(garbage []*segment) {
	for _, g := range garbage {
		fault.Point(fault.SpoolBeforeRemove)
		s.mu.Lock()
		err := g.close()
		s.mu.Unlock()
		if err = errors.Join(err, ignoreNotExist(s.files.Remove(g.name()))); err != nil {
			s.logger.Warn().Err(err).Str("file", g.name()).Msg("a part of the telemetry spool that is not needed cannot be removed")
		}
	}
}

func (s *Spool) failLocked(err error) {
	s.totals.WriteErrors++
	if s.failing == nil {
		s.retryWait = s.retryMin
		s.logger.Error().Err(err).Int64("memory_bytes", s.o.MemoryBytes).
			Msg("telemetry cannot be written to disk: it is kept in memory, within a bound, and is lost if the process ends")
	} else {
		s.retryWait = min(2*s.retryWait, s.retryMax)
	}
	s.failing = err
	s.retryAt = time.Now().Add(s.retryWait)
}

// recover writes what is in memory to disk, where that failed a while ago. The files get the
// segments' numbers, so that the order stands.
func (s *Spool) recover(now time.Time) {
	s.mu.Lock()
	failing, due := s.failing != nil, !now.Before(s.retryAt)
	var inMemory []*segment
	for _, g := range s.segments {
		if !g.inFile {
			inMemory = append(inMemory, g)
		}
	}
	s.mu.Unlock()
	if !failing || !due {
		return
	}
	for _, g := range inMemory {
		// Only whoever holds writing adds to it.
		f, err := s.create(g.name(), g.memory[:g.size])
		s.mu.Lock()
		if err != nil {
			s.failLocked(err)
			s.mu.Unlock()
			return
		}
		g.file, g.inFile, g.memory = f, true, nil
		if !slices.Contains(s.segments, g) {
			s.garbage = append(s.garbage, g) // settled or dropped meanwhile
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = nil
	for _, b := range s.boots {
		b.dirty = true
	}
	s.logger.Info().Msg("telemetry is written to disk again")
}
