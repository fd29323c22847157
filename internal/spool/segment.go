package spool

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is a part of the queue: a file, or what is to become one.
type segment struct {
	number uint64
	// file is nil while the content is in memory, and while nobody reads it.
	file   file
	memory []byte
	inFile bool
	// size in bytes of what may be read.
	size int64
	// preface is how much of it the checkpoint takes that it begins with.
	preface int64
	// boot of the batches in it; nil: there are none. first and last are the sequences.
	boot        *boot
	first, last uint64
	// left batches were not handed out since the last Rewind, and waiting events are in them.
	left    int
	waiting uint64
	// began and newest are when its first and last batch were appended.
	began, newest time.Time
	// sealed: nothing is added. old: it is to be sealed with the next write.
	sealed, old bool
}

const extension = ".spool"

func (g *segment) name() string { return fmt.Sprintf("%016x%s", g.number, extension) }

// segmentNumber reads a file's name.
func segmentNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, extension)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil
}

// add notes a batch that was written.
func (g *segment) add(b *boot, h header, at time.Time) {
	if g.boot == nil {
		g.boot, g.first, g.began = b, h.sequence, at
	}
	g.last, g.newest = h.sequence, at
	g.left++
	g.waiting += h.counted
}

// read returns what is there from an offset on. What it returns is not written to.
func (g *segment) read(fsys files, from int64) ([]byte, error) {
	if !g.inFile {
		return g.memory[from:g.size], nil
	}
	if g.file == nil {
		f, err := fsys.Open(g.name())
		if err != nil {
			return nil, err
		}
		g.file = f
	}
	data := make([]byte, g.size-from)
	n, err := g.file.ReadAt(data, from)
	if n == len(data) || err == io.EOF { //nolint:errorlint // ReadAt returns it as it is
		err = nil
	}
	return data[:n], err
}

func (g *segment) close() error {
	if g.file == nil {
		return nil
	}
	f := g.file
	g.file = nil
	return f.Close()
}

// active is the segment that is appended to; nil: there has to be a new one.
func (s *Spool) active() *segment {
	if n := len(s.segments); n > 0 && !s.segments[n-1].sealed {
		return s.segments[n-1]
	}
	return nil
}

// segmentBytes is how large a segment gets.
func (s *Spool) segmentBytes() int64 {
	n := min(s.o.MaxBytes/32, 4<<20)
	if s.files == nil || s.failing != nil {
		n = min(n, s.o.MemoryBytes/8)
	}
	return n
}

// full tells whether another segment is to be begun. Where the checkpoint is large, half of what
// is written is something else.
func (g *segment) full(bytes int64) bool { return g.size-g.preface >= max(bytes-g.preface, g.preface) }

// bound drops the oldest segments that were never sent, until there is room.
func (s *Spool) bound() {
	var size, memory int64
	for _, g := range s.segments {
		size += g.size
		if !g.inFile {
			memory += g.size
		}
	}
	for _, g := range slices.Clone(s.segments) {
		full := size > s.o.MaxBytes || !g.inFile && memory > s.o.MemoryBytes
		if !full || g == s.active() || g.boot != nil && g.first <= g.boot.sent {
			continue
		}
		size -= g.size
		if !g.inFile {
			memory -= g.size
		}
		s.drop(g, ReasonFull)
	}
}

// expire drops the segments that are too old, whether or not they were sent.
func (s *Spool) expire(now time.Time) {
	for _, g := range slices.Clone(s.segments) {
		switch {
		case g.boot == nil || g.last <= g.boot.acked.sequence:
		case g == s.active():
			// One that is appended to for long would keep what is old.
			g.old = now.Sub(g.began) > s.o.MaxAge/24
		case now.Sub(g.newest) > s.o.MaxAge:
			s.drop(g, ReasonExpired)
		}
	}
}

// drop gives up what is in a segment.
func (s *Spool) drop(g *segment, why Reason) {
	lost := g.waiting
	for _, h := range s.underWay {
		if h.segment != g {
			continue
		}
		lost += h.counted
		s.bytes -= len(h.content)
		s.doubt(h)
	}
	s.underWay = slices.DeleteFunc(s.underWay, func(h handed) bool { return h.segment == g })
	if b := g.boot; b != nil {
		if g.first > b.sent {
			b.drop(span{g.first, g.last, lost})
		}
		s.lose(why, lost)
		s.logger.Error().Str("reason", string(why)).Str("boot", b.id).Uint64("events", lost).
			Uint64("from_sequence", g.first).Uint64("to_sequence", g.last).
			Time("newest", g.newest).Msg("telemetry was dropped: upstream has not taken it")
	}
	g.left, g.waiting = 0, 0
	s.remove(g)
}

// doubt notes that a batch which is under way can be neither sent again nor called lost.
func (s *Spool) doubt(h handed) {
	positions := []*position{&h.boot.passed}
	for i := range s.underWay {
		if u := &s.underWay[i]; u.boot == h.boot && u.after.sequence > h.after.sequence {
			positions = append(positions, &u.after)
		}
	}
	for _, p := range positions {
		p.handed, p.undeclared = sub(p.handed, h.counted), p.undeclared+h.counted
	}
}

// remove takes a segment out of the queue; its file goes once that is written.
func (s *Spool) remove(g *segment) {
	i := slices.Index(s.segments, g)
	if s.cursor.segment == g {
		s.cursor = cursor{}
		if i+1 < len(s.segments) {
			s.cursor = cursor{segment: s.segments[i+1]}
		}
	}
	s.segments = slices.Delete(s.segments, i, i+1)
	if g.inFile {
		s.garbage = append(s.garbage, g)
	}
}
