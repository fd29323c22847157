package spool

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// found is a batch on disk.
type found struct {
	header
	segment *segment
	boot    *boot
	damaged bool
}

// load reads what is in the directory. What it logs costs what was damaged, and nothing else.
func (s *Spool) load() error {
	sizes, err := s.files.List()
	if err != nil {
		return err
	}
	var all []found
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		number, ok := segmentNumber(name)
		if !ok {
			continue
		}
		s.number = max(s.number, number)
		g := &segment{number: number, inFile: true, size: sizes[name], sealed: true}
		batches, err := s.loadSegment(g)
		if err != nil {
			s.putAside(name, err)
			continue
		}
		s.segments = append(s.segments, g)
		all = append(all, batches...)
	}
	s.place(all, time.Now())
	s.logLoaded()
	return nil
}

// putAside renames a file that cannot be used, for people to look at.
func (s *Spool) putAside(name string, why error) {
	aside := name + ".corrupt"
	err := s.files.Rename(name, aside)
	s.logger.Error().Err(why).AnErr("rename_error", err).Str("file", name).Str("set_aside_as", aside).
		Msg("a part of the telemetry spool cannot be used and was set aside")
}

// loadSegment reads a segment, takes the state that it holds, and returns its batches.
func (s *Spool) loadSegment(g *segment) ([]found, error) {
	data, err := g.read(s.files, 0)
	if err = errors.Join(err, g.close()); err != nil {
		return nil, err
	}
	if err := checkMagic(data); err != nil {
		if errors.Is(err, errTorn) {
			return nil, nil // its process was killed when it began it
		}
		return nil, err
	}
	var batches []found
	var owner *boot
	r := frameReader{data: whole(data)}
	g.size = int64(magicSize + len(r.data))
	for {
		h, payload, err := r.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			break
		}
		f := found{header: h, segment: g, damaged: err != nil}
		if err == nil {
			f.boot, err = s.take(h, payload)
		}
		if err != nil {
			s.logger.Error().Err(err).Str("file", g.name()).Msg("a part of the telemetry spool is damaged")
			f.damaged = true
		}
		if f.boot != nil {
			owner = f.boot
		}
		if h.batch() {
			batches = append(batches, f)
		}
	}
	if owner == nil {
		return nil, nil // nobody knows whose it is; what is missing shows in the others
	}
	for i := range batches {
		batches[i].boot = owner
		if h := batches[i].header; h.sequence > owner.last {
			owner.last, owner.emitted, owner.lost = h.sequence, h.emitted, h.lost
		}
	}
	return batches, nil
}

// whole is the frames of a segment, but for those at its end that were appended together with
// others which are not there: their process was killed meanwhile, and had not answered.
func whole(data []byte) []byte {
	r := frameReader{data: data[magicSize:]}
	end, open := len(r.data), false
	for {
		at := r.at
		h, _, err := r.next()
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, errTorn):
			return r.data[:end]
		case h.kind == kindPart && !open:
			end, open = at, true
		case h.kind != kindPart && h.kind != 0: // 0: it is damaged, and might be one
			end, open = len(r.data), false
		}
	}
}

// take takes what a frame holds; it returns the boot of a batch.
func (s *Spool) take(h header, payload []byte) (*boot, error) {
	if !h.batch() {
		st, err := readState(payload)
		if err != nil {
			return nil, err
		}
		for _, b := range st.boots {
			s.restore(b)
		}
		if h.kind == kindCheckpoint {
			s.settleOthers(st.boots)
		}
		s.addMarks(st.marks)
		return nil, nil
	}
	marks, content, err := readBatch(payload)
	if err != nil {
		return nil, err
	}
	environment, sender, err := Identify(content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	s.addMarks(marks)
	b := s.bootOf(sender.GetInstanceId(), sender.GetBootId())
	b.environment = environment
	return b, nil
}

// bootOf finds a boot, or adds it.
func (s *Spool) bootOf(instance, id string) *boot {
	for _, b := range s.boots {
		if b.instance == instance && b.id == id {
			return b
		}
	}
	b := &boot{instance: instance, id: id}
	s.boots = append(s.boots, b)
	return b
}

// settleOthers notes that all boots but these are settled: older state may say otherwise.
func (s *Spool) settleOthers(open []*boot) {
	for _, b := range s.boots {
		if !slices.ContainsFunc(open, func(o *boot) bool { return o.instance == b.instance && o.id == b.id }) {
			b.acked = position{sequence: b.last, total: b.total(), handed: b.total()}
			b.dropped = nil
		}
	}
}

// restore takes a boot's account, unless a later one is known.
func (s *Spool) restore(from *boot) {
	b := s.bootOf(from.instance, from.id)
	b.reserved, b.refused = max(b.reserved, from.reserved), max(b.refused, from.refused)
	if from.last > b.last {
		b.last, b.emitted, b.lost, b.environment = from.last, from.emitted, from.lost, from.environment
	}
	if from.acked.sequence >= b.acked.sequence {
		b.acked, b.dropped = from.acked, from.dropped
	}
}

// place puts the batches that are not settled into their segments, and finds what is
// missing.
func (s *Spool) place(all []found, now time.Time) {
	for _, b := range s.boots {
		b.over = true
		b.passed = b.acked
		b.sent = min(b.reserved, b.last)
	}
	waiting, placed := make(map[*boot]uint64), make(map[*boot]uint64)
	for _, f := range all {
		if f.damaged || f.sequence <= max(f.boot.acked.sequence, placed[f.boot]) {
			continue
		}
		// What comes from the wall clock becomes an age here, once: steps of the clock while
		// the process runs do not matter.
		f.segment.add(f.boot, f.header, now.Add(-max(now.Sub(f.time()), 0)))
		placed[f.boot] = f.sequence
		waiting[f.boot] += f.counted
	}
	for _, b := range s.boots {
		missing := sub(b.total(), b.acked.total+waiting[b])
		for _, d := range b.dropped {
			missing = sub(missing, d.counted)
		}
		s.totals.Emitted += waiting[b] + missing
		s.lose(ReasonDamaged, missing)
	}
	for _, f := range all {
		if f.damaged && f.sequence > f.boot.sent {
			f.boot.insert(span{f.sequence, f.sequence, f.counted})
		}
	}
	s.boots = slices.DeleteFunc(s.boots, func(b *boot) bool { return b.last <= b.acked.sequence })
	for _, g := range slices.Clone(s.segments) {
		if g.boot == nil {
			s.remove(g)
		}
	}
}

func (s *Spool) logLoaded() {
	left := s.Totals()
	if left.Batches == 0 && left.Lost[ReasonDamaged] == 0 {
		return
	}
	s.logger.Info().Int("batches", left.Batches).Uint64("events", left.Spooled).Uint64("damaged_events", left.Lost[ReasonDamaged]).
		Int("boots", len(s.boots)).Int64("bytes", left.Bytes).Msg("telemetry of earlier processes waits to be sent")
}

// Identify finds an encoded batch's environment and sender without decoding the rest.
func Identify(batch []byte) (environment string, sender *telemetryv1.Sender, err error) {
	sender = &telemetryv1.Sender{}
	for len(batch) > 0 {
		number, kind, n := protowire.ConsumeTag(batch)
		if n < 0 {
			return "", nil, fmt.Errorf("batch: %w", protowire.ParseError(n))
		}
		batch = batch[n:]
		if n = protowire.ConsumeFieldValue(number, kind, batch); n < 0 {
			return "", nil, fmt.Errorf("batch: %w", protowire.ParseError(n))
		}
		if kind == protowire.BytesType {
			switch value, _ := protowire.ConsumeBytes(batch); number {
			case environmentField:
				environment = string(value)
			case senderField:
				if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(value, sender); err != nil {
					return "", nil, fmt.Errorf("batch: sender: %w", err)
				}
			}
		}
		batch = batch[n:]
	}
	return environment, sender, nil
}
