package statefile

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func FuzzLoad(f *testing.F) {
	steps := history(f, testEpoch, 3)
	m := newMemFiles()
	d := open(m, lockless{}, zerolog.Nop(), time.Hour)
	appendAll(f, d, steps)
	if err := d.Close(); err != nil {
		f.Fatal(err)
	}
	snap, log := m.Names["production.snapshot"].Data, m.Names["production.log"].Data
	f.Add(snap, log)
	f.Add(snap, log[:len(log)-3])
	f.Add(snap, []byte(logMagic))
	f.Add([]byte(snapshotMagic), log)
	f.Fuzz(func(t *testing.T, snap, log []byte) {
		s, err := readSnapshot(bytes.NewReader(snap), production)
		if err != nil {
			if !errors.Is(err, errDamaged) && !errors.Is(err, errTorn) {
				t.Fatalf("a reader that cannot fail: %v", err)
			}
			return
		}
		before := s.snapshot.Cursor()
		_ = replayLog(bytes.NewReader(log), production, s) // its error is about the rest
		if after := s.snapshot.Cursor(); after.Epoch == before.Epoch && after.Revision < before.Revision {
			t.Fatalf("the log took the state from %s back to %s", before, after)
		}
		if s.end > int64(len(log)) {
			t.Fatalf("%d bytes of a log of %d were used", s.end, len(log))
		}
		again := newMemFiles()
		d := open(again, lockless{}, zerolog.Nop(), time.Hour)
		if err := errors.Join(d.Append(s.snapshot, s.snapshot.Full()), d.Close()); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		got, err := readSnapshot(bytes.NewReader(again.Names["production.snapshot"].Data), production)
		if err != nil || got.snapshot.Cursor() != s.snapshot.Cursor() {
			t.Fatalf("read %s, wrote it, read %v, %v", s.snapshot.Cursor(), got, err)
		}
	})
}

// FuzzRecords goes behind the checksums, which a fuzzer does not get right.
func FuzzRecords(f *testing.F) {
	steps := history(f, testEpoch, 2)
	for _, s := range steps[1:] {
		frames, err := appendDelta(nil, s.delta)
		if err != nil {
			f.Fatal(err)
		}
		m := mark{cursor: s.state.Cursor(), confirmed: time.Unix(1, 0)}
		f.Add(frames[frameHeaderSize:], m.encode(recordMark))
	}
	f.Add([]byte{recordUpdate}, []byte{recordHeader})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		s := &state{snapshot: steps[0].state}
		for i, payload := range [][]byte{first, second} {
			before := s.snapshot.Cursor()
			err := s.add(payload, int64(i+1))
			after := s.snapshot.Cursor()
			if err != nil && (!errors.Is(err, errDamaged) || after != before) {
				t.Fatalf("%v: the state went from %s to %s", err, before, after)
			}
			if after.Epoch == before.Epoch && after.Revision < before.Revision {
				t.Fatalf("the state went back from %s to %s", before, after)
			}
		}
	})
}

// lockless stands for the directory's lock.
type lockless struct{}

func (lockless) Close() error { return nil }
