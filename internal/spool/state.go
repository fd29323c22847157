package spool

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"
)

// boot is the account of one boot, which is this process or an earlier one.
type boot struct {
	instance, id string
	// environment of its last batch.
	environment string
	// last is its newest batch, and the two beside are its account up to that one: lost is
	// what was lost before it came into the spool.
	last, emitted, lost uint64
	// acked is the position up to which everything is settled, passed how far Next has come,
	// and ahead up to where an acknowledgement came for what Next did not return yet.
	acked, passed position
	ahead         uint64
	// refused events were taken, and not counted.
	refused uint64
	// sent is the highest sequence that may have been sent, now or by an earlier process;
	// reserved is what it may come to until the state is written again, wanted the sequence
	// for which that is to be done.
	sent, reserved, wanted uint64
	// dropped are spans behind acked that were never sent and never will be, in order.
	dropped []span
	// over: nothing is added to it any more.
	over bool
	// dirty: acked or dropped have changed since they were written. settled: everything is
	// acknowledged; it is forgotten once that is written.
	dirty, settled bool
}

// position is a place in the sequence of a boot's batches.
type position struct {
	sequence uint64
	// total is how many events the batches up to it stand for, handed how many of these were
	// in batches that Next returned.
	total, handed uint64
	// undeclared is how many of those that it did not return may have been counted by an
	// earlier attempt: they are left to the receiver, who knows.
	undeclared uint64
}

// span is batches that were dropped.
type span struct{ from, to, counted uint64 }

// total is how many events all of its batches stand for.
func (b *boot) total() uint64 { return b.emitted - b.lost }

// reservation is up to where batches may be sent once the state is written.
func (b *boot) reservation() uint64 { return max(b.passed.sequence, b.wanted) + maxAhead }

// drop notes that batches which were never sent are gone.
func (b *boot) drop(s span) {
	if n := len(b.dropped); n > 0 && b.dropped[n-1].to+1 == s.from {
		b.dropped[n-1].to, b.dropped[n-1].counted = s.to, b.dropped[n-1].counted+s.counted
	} else {
		b.dropped = append(b.dropped, s)
	}
	b.dirty = true
}

// insert is drop, where later ones may have been dropped before.
func (b *boot) insert(s span) {
	i := 0
	for i < len(b.dropped) && b.dropped[i].from < s.from {
		i++
	}
	if i > 0 && b.dropped[i-1].to >= s.from {
		return
	}
	b.dropped = slices.Insert(b.dropped, i, s)
	b.dirty = true
}

// pass is the position at a batch of so many events, with so many up to and with it. What
// is missing before it was dropped, or is undeclared.
func (b *boot) pass(sequence, counted, total uint64) position {
	p := b.passed
	missing := sub(total, p.total+counted)
	for _, d := range b.dropped {
		if d.from > p.sequence && d.to <= sequence {
			missing = sub(missing, d.counted)
		}
	}
	return position{sequence: sequence, total: total, handed: p.handed + counted, undeclared: p.undeclared + missing}
}

// settle notes that everything up to the position is acknowledged.
func (b *boot) settle(p position) {
	b.acked, b.dirty = p, true
	for len(b.dropped) > 0 && b.dropped[0].to <= p.sequence {
		b.dropped = b.dropped[1:]
	}
}

// sub is a-b, at least 0: figures from disk may contradict each other.
func sub(a, b uint64) uint64 { return a - min(a, b) }

// markKey names a sender below.
type markKey struct{ instance, boot string }

// mark is up to where its messages are in the spool.
type mark struct {
	sequence uint64
	at       int64 // seconds since 1970
}

// state is what a payload of kindState holds.
type state struct {
	boots []*boot
	marks map[markKey]mark
}

func encodeState(s state) []byte {
	b := binary.AppendUvarint(nil, uint64(len(s.boots)))
	for _, o := range s.boots {
		b = appendText(b, o.instance)
		b = appendText(b, o.id)
		b = appendText(b, o.environment)
		for _, n := range []uint64{
			o.last, o.emitted, o.lost, o.reservation(), o.refused,
			o.acked.sequence, o.acked.total, o.acked.handed, o.acked.undeclared, uint64(len(o.dropped)),
		} {
			b = binary.AppendUvarint(b, n)
		}
		for _, d := range o.dropped {
			b = binary.AppendUvarint(b, d.from)
			b = binary.AppendUvarint(b, d.to)
			b = binary.AppendUvarint(b, d.counted)
		}
	}
	return appendMarks(b, s.marks)
}

func appendMarks(b []byte, marks map[markKey]mark) []byte {
	b = binary.AppendUvarint(b, uint64(len(marks)))
	for k, m := range marks {
		b = appendText(b, k.instance)
		b = appendText(b, k.boot)
		b = binary.AppendUvarint(b, m.sequence)
		b = binary.AppendUvarint(b, uint64(max(m.at, 0)))
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// stateReader reads what encodeState has written. After an error it reads zeros.
type stateReader struct {
	rest []byte
	err  error
}

func (r *stateReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *stateReader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

// count reads how many of something follow, of which each has at least one byte.
func (r *stateReader) count() int {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *stateReader) fail() {
	r.rest = nil
	if r.err == nil {
		r.err = fmt.Errorf("%w: a record is not what this program writes", errDamaged)
	}
}

func (r *stateReader) marks() map[markKey]mark {
	n := r.count()
	if n == 0 {
		return nil
	}
	marks := make(map[markKey]mark)
	for range n {
		k := markKey{r.text(), r.text()}
		m := mark{r.number(), int64(min(r.number(), 1<<40))}
		if r.err == nil {
			marks[k] = m
		}
	}
	return marks
}

func (r *stateReader) boot() *boot {
	b := &boot{instance: r.text(), id: r.text(), environment: r.text()}
	for _, n := range []*uint64{
		&b.last, &b.emitted, &b.lost, &b.reserved, &b.refused,
		&b.acked.sequence, &b.acked.total, &b.acked.handed, &b.acked.undeclared,
	} {
		*n = r.number()
	}
	for range r.count() {
		b.dropped = append(b.dropped, span{r.number(), r.number(), r.number()})
	}
	if b.lost > b.emitted || b.acked.sequence > b.last {
		r.fail()
	}
	return b
}

func readState(payload []byte) (state, error) {
	r := &stateReader{rest: payload}
	var s state
	for range r.count() {
		s.boots = append(s.boots, r.boot())
	}
	s.marks = r.marks()
	if r.err == nil && len(r.rest) > 0 {
		r.fail()
	}
	return s, r.err
}

// readBatch splits the payload of a batch.
func readBatch(payload []byte) (marks map[markKey]mark, content []byte, err error) {
	r := &stateReader{rest: payload}
	marks = r.marks()
	return marks, r.rest, r.err
}

// addMarks takes the higher ones.
func (s *Spool) addMarks(marks map[markKey]mark) {
	for k, m := range marks {
		if old, ok := s.marks[k]; !ok || old.sequence < m.sequence {
			s.marks[k] = m
		}
	}
}

// expireMarks forgets those that are too old, and the oldest where there are too many.
func (s *Spool) expireMarks(now time.Time) {
	oldest := now.Add(-s.o.MarkAge).Unix()
	for k, m := range s.marks {
		if m.at < oldest {
			delete(s.marks, k)
		}
	}
	if len(s.marks) <= s.o.MaxMarks {
		return
	}
	keys := slices.SortedFunc(maps.Keys(s.marks), func(a, b markKey) int {
		return cmp.Compare(s.marks[a].at, s.marks[b].at)
	})
	for _, k := range keys[:len(keys)-s.o.MaxMarks*7/8] {
		delete(s.marks, k)
	}
}
