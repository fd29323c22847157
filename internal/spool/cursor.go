package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Outgoing is a batch to send.
type Outgoing struct {
	InstanceID, BootID string
	Sequence           uint64
	// Batch is encoded, in pieces: concatenated, they are a telemetry.v1.Batch. They are
	// shared, and must not be modified.
	Batch [2][]byte
}

// cursor is where the next batch is read.
type cursor struct {
	segment *segment // nil: the first one's beginning
	// base is the offset of the first byte of the reader's data.
	base   int64
	reader frameReader
}

// back makes the frame that was read last the next one.
func (c *cursor) back(h header) { c.reader.at -= headerSize + int(h.length) }

// handed is a batch that is under way.
type handed struct {
	boot  *boot
	after position
	// segment and offset of the frame; nil for a closing batch.
	segment *segment
	offset  int64
	counted uint64
	content []byte
}

// Next returns the next batch to send, and waits until there is one, and fewer than
// MaxUnderWay are under way. Errors: that of ctx, and ErrClosed.
func (s *Spool) Next(ctx context.Context) (Outgoing, error) {
	for {
		s.mu.Lock()
		out, got, reserve := s.nextLocked()
		closed := s.closed
		s.mu.Unlock()
		switch {
		case closed:
			return Outgoing{}, ErrClosed
		case got:
			return out, nil
		case reserve:
			if err := s.flush(); err != nil {
				return Outgoing{}, err
			}
		default:
			if err := s.wait(ctx); err != nil {
				return Outgoing{}, err
			}
		}
	}
}

// nextLocked hands out the next batch, if there is one; reserve: the state has to be
// written before.
func (s *Spool) nextLocked() (out Outgoing, got, reserve bool) {
	for len(s.underWay) < MaxUnderWay && s.bytes < maxBytesUnderWay {
		h, content, found := s.read()
		limit := len(s.boots)
		if found {
			limit = slices.Index(s.boots, s.cursor.segment.boot)
		}
		if b := s.unclosed(limit); b != nil {
			if found {
				s.cursor.back(h)
			}
			if out, got = s.hand(b, b.closing(), nil, nil); got {
				return out, true, false
			}
			continue
		}
		if !found {
			return out, false, false
		}
		g := s.cursor.segment
		b := g.boot
		if h.sequence > b.reserved && h.sequence > b.ahead && s.files != nil && s.failing == nil {
			s.cursor.back(h)
			b.wanted, b.dirty = h.sequence, true
			return out, false, true
		}
		if out, got = s.hand(b, h, g, content); got {
			return out, true, false
		}
	}
	return out, false, false
}

// unclosed is the first of so many boots that ends with batches which are gone, and were not
// declared; nil: none. It is asked for when the cursor is behind these boots.
func (s *Spool) unclosed(n int) *boot {
	for _, b := range s.boots[:n] {
		if b.over && b.passed.sequence < b.last {
			return b
		}
	}
	return nil
}

// closing is a batch that stands for the last ones of a boot, which are gone: it tells so.
func (b *boot) closing() header {
	return header{kind: kindBatch, sequence: b.last, emitted: b.emitted, lost: b.lost}
}

// hand makes a batch the next to send; false: it was acknowledged already.
func (s *Spool) hand(b *boot, h header, g *segment, content []byte) (Outgoing, bool) {
	before := b.passed
	b.passed = b.pass(h.sequence, h.counted, h.total())
	if missing := b.passed.undeclared - before.undeclared; missing > 0 {
		s.logger.Warn().Str("boot", b.id).Uint64("events", missing).
			Uint64("after_sequence", before.sequence).Uint64("before_sequence", h.sequence).
			Msg("telemetry that may have been sent cannot be sent again: whoever counts it finds what is missing")
	}
	if g != nil {
		g.left, g.waiting = max(g.left-1, 0), sub(g.waiting, h.counted)
	}
	if h.sequence <= b.ahead {
		s.totals.Acknowledged += h.counted
		b.settle(b.passed)
		s.settleBoot(b)
		s.settleSegments()
		return Outgoing{}, false
	}
	if h.sequence <= b.sent {
		s.totals.Resent++
	}
	b.sent = max(b.sent, h.sequence)
	if g == nil {
		content = closingContent(b)
	}
	u := handed{boot: b, after: b.passed, segment: g, counted: h.counted, content: content}
	if g != nil {
		u.offset = s.cursor.base + int64(s.cursor.reader.at) - int64(headerSize) - int64(h.length)
	}
	s.underWay = append(s.underWay, u)
	s.bytes += len(content)
	// What is neither in this batch, nor in an earlier one, nor undeclared, is lost.
	lost := sub(h.emitted, h.counted+before.handed+b.passed.undeclared)
	return Outgoing{
		InstanceID: b.instance, BootID: b.id, Sequence: h.sequence,
		Batch: [2][]byte{content, encodedTally(h.emitted, lost, h.counted)},
	}, true
}

func encodedTally(emitted, lost, counted uint64) []byte {
	var t []byte
	for i, n := range []uint64{emitted, lost, counted} {
		t = protowire.AppendTag(t, protowire.Number(i+1), protowire.VarintType)
		t = protowire.AppendVarint(t, n)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, tallyField, protowire.BytesType), t)
}

func closingContent(b *boot) []byte {
	content := protowire.AppendTag(nil, environmentField, protowire.BytesType)
	content = protowire.AppendString(content, b.environment)
	var sender []byte
	sender = protowire.AppendString(protowire.AppendTag(sender, 1, protowire.BytesType), b.instance)
	sender = protowire.AppendString(protowire.AppendTag(sender, 2, protowire.BytesType), b.id)
	sender = protowire.AppendVarint(protowire.AppendTag(sender, 3, protowire.VarintType), b.last)
	return protowire.AppendBytes(protowire.AppendTag(content, senderField, protowire.BytesType), sender)
}

// read reads the next batch that was not passed; false: there is none. The cursor is behind
// it, and its segment the one that it is in.
func (s *Spool) read() (header, []byte, bool) {
	for {
		c := &s.cursor
		if c.segment == nil {
			if len(s.segments) == 0 {
				return header{}, nil, false
			}
			*c = cursor{segment: s.segments[0]}
		}
		if c.base == 0 {
			c.base = int64(magicSize)
		}
		h, payload, err := c.reader.next()
		switch {
		case err == nil && h.batch() && c.segment.boot != nil && h.sequence > c.segment.boot.passed.sequence:
			if _, content, err := readBatch(payload); err == nil {
				return h, content, true
			}
		case errors.Is(err, errDamaged):
			s.logger.Error().Err(err).Str("file", c.segment.name()).Msg("a part of the telemetry spool is damaged")
		case err != nil && !s.advance():
			return header{}, nil, false
		}
	}
}

// advance reads on in the segment, or goes to the next one; false: there is no more.
func (s *Spool) advance() bool {
	c := &s.cursor
	from := c.base + int64(len(c.reader.data))
	if from < c.segment.size {
		data, err := c.segment.read(s.files, from)
		if err == nil && len(data) == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			c.base, c.reader = from, frameReader{data: data}
			return true
		}
		s.logger.Error().Err(err).Str("file", c.segment.name()).Msg("a part of the telemetry spool cannot be read")
		c.base, c.reader = c.segment.size, frameReader{}
	}
	i := slices.Index(s.segments, c.segment)
	if !c.segment.sealed || i+1 == len(s.segments) {
		return false
	}
	g := c.segment
	*c = cursor{segment: s.segments[i+1]}
	if s.active() != g && g.file != nil {
		_ = g.close() // it was only read
	}
	s.lose(ReasonDamaged, g.waiting)
	g.left, g.waiting = 0, 0
	s.settleSegments()
	return true
}

// Rewind makes Next begin again with the oldest batch that is not released: those that are
// under way go out again. It must not run beside Next.
func (s *Spool) Rewind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	placed := false
	for _, u := range s.underWay {
		if u.segment == nil {
			continue
		}
		u.segment.left++
		u.segment.waiting += u.counted
		if !placed {
			s.cursor, placed = cursor{segment: u.segment, base: u.offset}, true
		}
	}
	s.underWay, s.bytes = nil, 0
	for _, b := range s.boots {
		b.passed = b.acked
	}
	s.signal()
}

// Release notes that the sender's batches up to the sequence were acknowledged, and returns
// how many of those under way that were. ErrNotSent: there is nothing of that sender, or it
// was not handed out.
func (s *Spool) Release(sender *telemetryv1.Sender) (int, error) {
	return s.release(sender, false)
}

// Refuse is Release, but that the batch with this very sequence was not counted: its events are
// lost.
func (s *Spool) Refuse(sender *telemetryv1.Sender) (int, error) {
	return s.release(sender, true)
}

func (s *Spool) release(sender *telemetryv1.Sender, refused bool) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, sequence := markKey{sender.GetInstanceId(), sender.GetBootId()}, sender.GetSequence()
	i := slices.IndexFunc(s.boots, func(b *boot) bool { return b.instance == key.instance && b.id == key.boot })
	if i < 0 {
		if _, ok := s.settled[key]; ok {
			return 0, nil
		}
		return 0, fmt.Errorf("%w: instance %q, boot %q", ErrNotSent, key.instance, key.boot)
	}
	b := s.boots[i]
	if b.over && sequence > 0 {
		// Its process may have sent what it never got to disk.
		sequence = min(sequence, b.last)
	} else if sequence > b.sent || sequence == 0 {
		return 0, fmt.Errorf("%w: batch %d of boot %q, of which %d is the last", ErrNotSent, sequence, key.boot, b.sent)
	}
	n := 0
	kept := s.underWay[:0]
	for _, u := range s.underWay {
		if u.boot != b || u.after.sequence > sequence {
			kept = append(kept, u)
			continue
		}
		n++
		s.bytes -= len(u.content)
		if refused && u.after.sequence == sequence {
			b.refused += u.counted
			s.lose(ReasonRefused, u.counted)
		} else {
			s.totals.Acknowledged += u.counted
		}
		b.settle(u.after)
	}
	clear(s.underWay[len(kept):])
	s.underWay = kept
	b.ahead = max(b.ahead, sequence)
	s.settleBoot(b)
	s.settleSegments()
	s.signal()
	return n, nil
}

// settleBoot notes whether everything of a boot is acknowledged.
func (s *Spool) settleBoot(b *boot) {
	if b.over && b.acked.sequence >= b.last {
		b.settled = true
		s.settled[markKey{b.instance, b.id}] = struct{}{}
	}
}

// settleSegments frees those of which nothing is needed any more.
func (s *Spool) settleSegments() {
	for _, g := range slices.Clone(s.segments) {
		if g.sealed && g.left == 0 && !slices.ContainsFunc(s.underWay, func(u handed) bool { return u.segment == g }) {
			s.remove(g)
		}
	}
}
