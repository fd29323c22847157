package spool

import (
	"fmt"
	"testing"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// TestTogether cuts what was written at every byte: of entries that were appended together all
// are there, with their marks, or none. Else who was not answered would send again what a part
// of counts already.
func TestTogether(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	o := small()
	s := openMem(t, o, m)
	mark := func(sequence uint64) *telemetryv1.Sender {
		return &telemetryv1.Sender{InstanceId: "sdk", BootId: "1", Sequence: sequence}
	}
	add(t, s, 1, 0, 10, mark(1))
	name := s.active().name()
	before := len(m.Names[name].Data)
	syncs := m.Syncs
	receipts, err := s.AppendAll([]Entry{
		{Batch: batch(10, 40), Counted: 10},
		{Batch: batch(100, 40), Counted: 100, Lost: 3, Marks: []*telemetryv1.Sender{mark(1)}},
		{Batch: batch(1000, 40), Counted: 1000, Marks: []*telemetryv1.Sender{mark(2)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Syncs != syncs+1 {
		t.Errorf("%d syncs for what was appended together", m.Syncs-syncs)
	}
	for i, r := range receipts {
		if !r.Durable || r.Sender.GetSequence() != uint64(i+2) {
			t.Errorf("receipt %d: %+v", i, r)
		}
	}
	data := m.Names[name].Data
	for size := before; size <= len(data); size++ {
		left := newMemFiles()
		left.Names[name] = &inode{Data: data[:size:size]}
		s := openMem(t, o, left)
		balanced(t, s)
		want := uint64(1)
		if size == len(data) {
			want = 1111
		}
		if seen := s.Seen(mark(2)); seen != (want > 1) {
			t.Fatalf("%d of %d bytes: the mark is there: %t", size, len(data), seen)
		}
		add(t, s, 5, 0, 10)
		r := newReceiver(t)
		r.drain(s)
		r.explained()
		if l := r.from[receipts[0].Sender.GetBootId()]; l == nil || l.counted != want {
			t.Fatalf("%d of %d bytes: %+v, want %d counted", size, len(data), l, want)
		}
		if total := s.Totals(); total.Lost[ReasonDamaged] > 0 {
			t.Fatalf("%d of %d bytes: %d are called damaged", size, len(data), total.Lost[ReasonDamaged])
		}
	}
}

// TestTogetherRefused: one that cannot be appended leaves nothing of the others.
func TestTogetherRefused(t *testing.T) {
	t.Parallel()
	s := openMem(t, small(), newMemFiles())
	if _, err := s.AppendAll([]Entry{{Batch: batch(1, 10), Counted: 1}, {Batch: batch(2, MaxBatchBytes), Counted: 2}}); err == nil {
		t.Error("a batch that cannot be sent was appended")
	}
	if r := add(t, s, 4, 0, 10); r.Sender.GetSequence() != 1 || s.Totals().Emitted != 4 {
		t.Errorf("%v, %+v", r.Sender, s.Totals())
	}
}

// TestManyMarks: a segment begins with all marks, however many they are; that is not what fills
// it, or each append would begin another one.
func TestManyMarks(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	o := small()
	o.MaxBytes = 1 << 20 // segments of 32 KiB
	s := openMem(t, o, m)
	var marks []*telemetryv1.Sender
	for i := range 4000 { // 100 KiB of them
		marks = append(marks, &telemetryv1.Sender{InstanceId: fmt.Sprintf("sdk-%012d", i), BootId: "1", Sequence: 1})
	}
	add(t, s, 1, 0, 10, marks...)
	for range 40 {
		add(t, s, 1, 0, 1000)
	}
	if s.number > 4 {
		t.Errorf("40 batches of a kibibyte are in %d segments", s.number)
	}
}
