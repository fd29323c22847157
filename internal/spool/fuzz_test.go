package spool

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// FuzzLoad opens what may be anything, sends what is in it, and appends: the accounts are
// balanced, and the tallies never claim more than was emitted.
func FuzzLoad(f *testing.F) {
	m := newMemFiles()
	o := small()
	o.MaxBytes = 1 << 20
	s := openMem(f, o, m)
	for i := range uint64(4) {
		add(f, s, i, 1, 10, &telemetryv1.Sender{InstanceId: "sdk", BootId: "1", Sequence: i})
	}
	whole := m.Names[s.segments[0].name()].Data
	f.Add(whole, []byte(segmentMagic))
	f.Add(whole[:len(whole)-5], whole)
	f.Add(whole[:200], whole[100:])
	f.Add([]byte(segmentMagic), []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		left := newMemFiles()
		left.Names["0000000000000001.spool"] = &inode{Data: first}
		left.Names["0000000000000002.spool"] = &inode{Data: second}
		s, err := open(small(), left, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		balanced(t, s)
		add(t, s, 3, 0, 10)
		for range 1000 {
			s.mu.Lock()
			out, got, _ := s.nextLocked()
			s.mu.Unlock()
			if !got {
				break
			}
			b := &telemetryv1.Batch{}
			if proto.Unmarshal(append(append([]byte(nil), out.Batch[0]...), out.Batch[1]...), b) != nil {
				continue // the checksum is right: somebody wrote it so
			}
			if tally := b.GetTally(); tally.GetCounted()+tally.GetLost() > tally.GetEmitted() {
				t.Fatalf("tally %v", tally)
			}
			if _, err := s.Release(&telemetryv1.Sender{InstanceId: out.InstanceID, BootId: out.BootID, Sequence: out.Sequence}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzFrames reads what may be anything: it ends, and stays within the data.
func FuzzFrames(f *testing.F) {
	whole := appendFrame(nil, header{kind: kindBatch, sequence: 1, emitted: 2, counted: 2}, []byte("payload"))
	f.Add(whole)
	f.Add(append(whole[:20:20], whole...))
	f.Add(whole[:30])
	f.Fuzz(func(t *testing.T, data []byte) {
		r := frameReader{data: data}
		for {
			at := r.at
			_, payload, err := r.next()
			if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
				return
			}
			if err != nil && !errors.Is(err, errDamaged) || r.at <= at || r.at > len(data) || len(payload) > len(data) {
				t.Fatalf("from %d to %d of %d, with %d bytes: %v", at, r.at, len(data), len(payload), err)
			}
		}
	})
}

// FuzzState goes behind the checksums, which a fuzzer does not get right.
func FuzzState(f *testing.F) {
	f.Add(encodeState(state{
		boots: []*boot{{instance: "a", id: "b", last: 9, emitted: 9, acked: position{sequence: 2, total: 2, handed: 1}, dropped: []span{{3, 4, 2}}}},
		marks: map[markKey]mark{{"sdk", "1"}: {7, 1}},
	}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		st, err := readState(payload)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		again, err := readState(encodeState(st))
		if err != nil || len(again.boots) != len(st.boots) || len(again.marks) != len(st.marks) {
			t.Fatalf("read, written, read again: %v", err)
		}
		s := &Spool{marks: make(map[markKey]mark), logger: zerolog.Nop()}
		for _, b := range st.boots {
			s.restore(b)
		}
		if _, _, err := readBatch(payload); err != nil && !errors.Is(err, errDamaged) {
			t.Fatal(err)
		}
	})
}
