package collector

import (
	"fmt"
	"time"

	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

// mark is how far a boot is, and its account.
type mark struct {
	sequence uint64 // 0: nothing of it was committed
	// emitted and lost are as told last.
	emitted, lost          uint64
	counted, refused, late uint64
}

// verdict is what becomes of a batch.
type verdict string

const (
	verdictCounted   verdict = "counted"
	verdictDuplicate verdict = "duplicate"
	verdictRefused   verdict = "refused"
	verdictLate      verdict = "late"
)

// take returns the mark after a batch, and what becomes of it; refusal says why, if it is
// refused. since is when the sender's first batch came, keep how long marks are kept, forgot
// whether some were forgotten.
func (m mark) take(p *pending, since time.Time, keep time.Duration, forgot bool) (next mark, v verdict, refusal string) {
	tally := p.batch.GetTally()
	if fault.Planted("count-again") && p.sequence <= m.sequence {
		next = m
		next.counted += tally.GetCounted()
		return next, verdictCounted, ""
	}
	if p.sequence <= m.sequence {
		return m, verdictDuplicate, ""
	}
	next = m
	next.sequence = p.sequence
	if problem := m.contradiction(tally); problem != "" {
		// Its figures cannot be used. If others come, what is left out here shows as missing.
		return next, verdictRefused, "tally: " + problem
	}
	next.emitted, next.lost = tally.GetEmitted(), tally.GetLost()
	switch {
	case p.problem != "":
		next.refused += tally.GetCounted()
		v, refusal = verdictRefused, p.problem
	case p.completeTo().Before(since.Add(-keep)):
		// From a time of which marks may have been forgotten: it may have been counted then.
		next.late += tally.GetCounted()
		v = verdictLate
	default:
		next.counted += tally.GetCounted()
		v = verdictCounted
	}
	if m.sequence == 0 && p.sequence > 1 && forgot {
		next.late += next.missing() // those before may have been counted
	}
	return next, v, refusal
}

// maxEvents bounds what one boot can tell of, so that sums over all senders do not overflow.
const maxEvents = 1 << 46

// contradiction says why a tally cannot follow on the mark; empty: it can. What is declared lost
// may be too much: see account.
func (m mark) contradiction(t *telemetryv1.Tally) string {
	done := m.counted + m.refused + m.late
	switch {
	case t == nil:
		return "not set: want the sender's account, with every batch"
	case t.GetEmitted() > maxEvents || t.GetLost() > maxEvents:
		return fmt.Sprintf("emitted %d, lost %d: want at most %d", t.GetEmitted(), t.GetLost(), uint64(maxEvents))
	case t.GetEmitted() < m.emitted || t.GetLost() < m.lost:
		return fmt.Sprintf("emitted %d, lost %d: it was %d and %d before, and neither can fall during a boot",
			t.GetEmitted(), t.GetLost(), m.emitted, m.lost)
	case t.GetCounted() > t.GetEmitted() || done > t.GetEmitted()-t.GetCounted():
		return fmt.Sprintf("emitted %d: with this batch's %d it has sent %d already", t.GetEmitted(), t.GetCounted(), done+t.GetCounted())
	}
	return ""
}

// missing is what neither came nor was declared lost.
func (m mark) missing() uint64 { return m.account().Missing }

// account makes the sum come out: what a sender declares lost of what is not missing was
// declared twice, and is not believed.
func (m mark) account() Account {
	rest := m.emitted - m.counted - m.refused - m.late
	lost := min(m.lost, rest)
	return Account{Emitted: m.emitted, Counted: m.counted, Lost: lost, Refused: m.refused, Late: m.late, Missing: rest - lost}
}
