package spool

import (
	"fmt"
	"maps"
	"testing"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// clone is the receiver as it is now.
func (r *receiver) clone(t testing.TB) *receiver {
	c := &receiver{t: t, from: make(map[string]*ledger), counted: maps.Clone(r.counted)}
	for id, l := range r.from {
		copied := *l
		c.from[id] = &copied
	}
	return c
}

// scenario appends and sends, over several segments, and returns the durable batches.
func scenario(t *testing.T, s *Spool, r *receiver, sdk *uint64) (durable map[string]uint64) {
	durable = make(map[string]uint64)
	for i := range uint64(24) {
		receipt := add(t, s, i+1, 0, 300, &telemetryv1.Sender{InstanceId: "sdk", BootId: "1", Sequence: i + 1})
		if receipt.Durable {
			durable[key(receipt.Sender)], *sdk = i+1, i+1
		}
		if i%3 != 2 {
			continue
		}
		b, ok := next(t, s)
		if !ok {
			continue
		}
		ack := r.take(b)
		if i%2 == 0 { // else it gets lost
			if _, err := s.Release(ack); err != nil {
				t.Fatal(err)
			}
		}
		if i == 11 {
			s.Rewind()
		}
	}
	return durable
}

// TestCrashAtEveryWrite kills the process, or the machine, at every operation on the file
// system: what was durable is counted once, whatever was sent before.
func TestCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	whole := newMemFiles()
	whole.Operations = 1 << 20
	var sdk uint64
	scenario(t, openMem(t, small(), whole), newReceiver(t), &sdk)
	operations := 1<<20 - whole.Operations
	if operations < 60 || len(whole.Names) < 2 {
		t.Fatalf("%d operations, %d files: the scenario does not write", operations, len(whole.Names))
	}
	for n := range operations {
		m := newMemFiles()
		m.Operations = n
		upstream := newReceiver(t)
		sdk = 0
		durable := scenario(t, openMem(t, small(), m), upstream, &sdk)
		check := func(how string, left memFiles) {
			t.Helper()
			r := upstream.clone(t)
			s := openMem(t, small(), left)
			if sdk > 0 && !s.Seen(&telemetryv1.Sender{InstanceId: "sdk", BootId: "1", Sequence: sdk}) {
				t.Errorf("killed at operation %d, %s: mark %d is gone", n, how, sdk)
			}
			balanced(t, s)
			add(t, s, 100, 0, 300)
			r.drain(s)
			balanced(t, s)
			r.explained()
			for k, events := range durable {
				if r.counted[k] != events {
					t.Errorf("killed at operation %d, %s: batch %s counts %d, want %d", n, how, k, r.counted[k], events)
				}
			}
			if len(s.Accounts()) != 1 {
				t.Errorf("killed at operation %d, %s: not everything is settled: %+v", n, how, s.Accounts())
			}
			if total := s.Totals(); total.Lost[ReasonDamaged] > 0 {
				t.Errorf("killed at operation %d, %s: %d events are called damaged", n, how, total.Lost[ReasonDamaged])
			}
		}
		check("process", m.afterKill())
		for _, part := range []float64{0, 0.5, 1} {
			check(fmt.Sprintf("power, %v of the data", part), m.afterPowerCut(false, part))
			check(fmt.Sprintf("power, named, %v of the data", part), m.afterPowerCut(true, part))
		}
	}
}

// TestFlippedBit damages every byte of a segment in turn: it costs what was in the frame that
// was hit, and the receiver learns how much that was.
func TestFlippedBit(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	o := small()
	o.MaxBytes = 1 << 20 // in one segment
	dead := openMem(t, o, m)
	for i := range uint64(8) {
		add(t, dead, i+1, 0, 20)
	}
	name := dead.segments[0].name()
	size := len(m.Names[name].Data)
	if len(dead.segments) != 1 {
		t.Fatalf("%d segments", len(dead.segments))
	}
	lost := 0
	for at := magicSize; at < size; at++ {
		left := m.afterKill()
		left.Flip(name, 8*at+at%8)
		s := openMem(t, o, left)
		balanced(t, s)
		r := newReceiver(t)
		r.drain(s)
		balanced(t, s)
		l := r.from[dead.BootID()]
		if l == nil || l.counted < 36-8 || l.emitted == 36 && l.counted+l.lost+l.here != 36 {
			t.Fatalf("byte %d: ledger %+v", at, l)
		}
		if l.counted < 36 {
			lost++
		}
		if s.Totals().Acknowledged != l.counted {
			t.Fatalf("byte %d: acknowledged %d, counted %d", at, s.Totals().Acknowledged, l.counted)
		}
	}
	if lost < size/2 {
		t.Errorf("of %d bytes, %d matter", size, lost)
	}
}

// TestOtherFiles: what is no segment is left alone, what is one of another version is set
// aside.
func TestOtherFiles(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	add(t, openMem(t, small(), m), 7, 0, 10)
	m = m.afterKill()
	for name, content := range map[string]string{
		"notes.txt": "hello", "0000000000000007.spool": "TGSPOL\x00\x09 and so on",
		"0000000000000008.spool": "garbage, and not a little", "0000000000000009.spool": "TGS", "zz.spool": "",
	} {
		m.Names[name] = &inode{Data: []byte(content)}
	}
	s := openMem(t, small(), m)
	for name, there := range map[string]bool{
		"notes.txt": true, "zz.spool": true, "0000000000000007.spool.corrupt": true, "0000000000000008.spool.corrupt": true,
		"0000000000000007.spool": false, "0000000000000009.spool": false, "000000000000000a.spool": true,
	} {
		if _, ok := m.Names[name]; ok != there {
			t.Errorf("%s is there: %t", name, ok)
		}
	}
	r := newReceiver(t)
	r.drain(s)
	if len(r.counted) != 1 {
		t.Errorf("counted %v", r.counted)
	}
}
