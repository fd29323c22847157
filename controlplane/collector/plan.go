package collector

import (
	"time"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

const (
	// maxTxnBytes leaves some of what the store takes for its own encoding.
	maxTxnBytes = store.MaxTxnBytes - 128<<10
	// The ledger's share of a transaction: the rest is the judge's. A single batch is counted in
	// any case.
	maxLedgerOps   = 80
	maxLedgerBytes = 700 << 10
	// rowBytes is about what a sender takes of its shard's columns.
	rowBytes = 32
)

// row is what a sender's row becomes.
type row struct {
	mark mark
	seen uint64
}

// plan is one commit of the ledger.
type plan struct {
	ledger *ledger
	now    time.Time
	keep   time.Duration

	rows  map[*sender]row
	fresh map[senderID]*sender
	// By shard: senders that are added, whether its marks and its list are written.
	added         [shards][]*sender
	marks, listed [shards]bool
	removed       map[*sender]bool
	forgotten     Account // of those that are removed
	ops, bytes    int     // estimates
	// done are the batches that this is about, in order.
	done    []*pending
	counted []*telemetryv1.Batch
}

func newPlan(l *ledger, now time.Time, keep time.Duration) *plan {
	return &plan{
		ledger: l, now: now, keep: keep, ops: 1,
		rows: make(map[*sender]row), fresh: make(map[senderID]*sender), removed: make(map[*sender]bool),
	}
}

// add takes a batch in; false: there is no room for it. Those of its sender that come before
// it must have been taken in.
func (p *plan) add(b *pending) bool {
	s := p.ledger.byID[b.id]
	if s == nil {
		s = p.fresh[b.id]
	}
	isNew := s == nil
	shard := b.id.shard()
	if !p.reserve(shard, isNew, len(b.id.instance)+len(b.id.boot)) {
		return false
	}
	if isNew {
		s = &sender{id: b.id, since: minutes(p.now)}
		p.fresh[b.id] = s
		p.added[shard] = append(p.added[shard], s)
	}
	was, changed := p.rows[s]
	if !changed {
		was = row{mark: s.mark, seen: s.seen}
	}
	var next mark
	next, b.verdict, b.refusal = was.mark.take(b, s.sinceTime(), p.keep, p.ledger.forgotten.Emitted > 0)
	p.done = append(p.done, b)
	if b.verdict == verdictCounted {
		p.counted = append(p.counted, b.batch)
	}
	if b.verdict != verdictDuplicate {
		p.rows[s] = row{mark: next, seen: max(was.seen, minutes(p.now))}
	}
	return true
}

// reserve makes room for a change of a shard.
func (p *plan) reserve(shard int, isNew bool, idBytes int) bool {
	ops, bytes := 0, 0
	at := &p.ledger.shards[shard]
	if !p.marks[shard] {
		ops++
		bytes += at.marksBytes
	}
	if isNew {
		if !p.listed[shard] {
			ops++
			bytes += at.sendersBytes
		}
		bytes += idBytes + 2*rowBytes
	}
	if len(p.done) > 0 && (p.ops+ops > maxLedgerOps || p.bytes+bytes > maxLedgerBytes) {
		return false
	}
	p.ops += ops
	p.bytes += bytes
	p.marks[shard] = true
	p.listed[shard] = p.listed[shard] || isNew
	return true
}

// forget removes senders of a shard that were silent for so long that their marks are not
// kept, unless something of them waits.
func (p *plan) forget(shard int, waits func(senderID) bool) {
	oldest := minutes(p.now.Add(-p.keep))
	for _, s := range p.ledger.shards[shard].senders {
		if s.seen < oldest && !waits(s.id) {
			p.removed[s] = true
			p.forgotten.add(s.mark.account())
		}
	}
	if len(p.removed) > 0 {
		p.reserve(shard, true, 0)
	}
}

func (p *plan) empty() bool { return len(p.rows) == 0 && len(p.removed) == 0 }

// senders of a shard, as they will be.
func (p *plan) senders(shard int) []*sender {
	was, added := p.ledger.shards[shard].senders, p.added[shard]
	list := make([]*sender, 0, len(was)+len(added))
	for _, s := range was {
		if !p.removed[s] {
			list = append(list, s)
		}
	}
	return append(list, added...)
}

// encoded is a plan as the store gets it.
type encoded struct {
	ops []store.Op
	// Sizes by shard, of what is written.
	marksBytes, sendersBytes map[int]int
}

// encode writes the ledger as it will be.
func (p *plan) encode() (encoded, error) {
	e := encoded{marksBytes: make(map[int]int), sendersBytes: make(map[int]int)}
	forgotten := p.ledger.forgotten
	forgotten.add(p.forgotten)
	head, err := encode(&telemetryv1.LedgerHead{Commits: p.ledger.commits + 1, Forgotten: forgotten.message()})
	if err != nil {
		return e, err
	}
	e.ops = append(e.ops, store.Put(headKey, head))
	for i := range shards {
		if !p.marks[i] {
			continue
		}
		list := p.senders(i)
		rows := make([]row, len(list))
		for j, s := range list {
			var changed bool
			if rows[j], changed = p.rows[s]; !changed {
				rows[j] = row{mark: s.mark, seen: s.seen}
			}
		}
		marks, err := encodeMarks(rows)
		if err != nil {
			return e, err
		}
		e.ops, e.marksBytes[i] = append(e.ops, store.Put(marksKey(i), marks)), len(marks)
		if !p.listed[i] {
			continue
		}
		senders, err := encodeSenders(list)
		if err != nil {
			return e, err
		}
		e.ops, e.sendersBytes[i] = append(e.ops, store.Put(sendersKey(i), senders)), len(senders)
	}
	return e, nil
}

// guards are what must hold for the plan to be carried out.
func (p *plan) guards(term leader.Term) []store.Compare {
	return []store.Compare{term.Fence(), store.Unchanged(headKey, p.ledger.revision)}
}

// applyLocked makes the ledger what was committed.
func (p *plan) applyLocked(e encoded, revision int64) {
	l := p.ledger
	for i := range shards {
		if len(p.added[i]) > 0 || p.listed[i] {
			l.shards[i].senders = p.senders(i)
		}
	}
	for i, n := range e.marksBytes {
		l.shards[i].marksBytes = n
	}
	for i, n := range e.sendersBytes {
		l.shards[i].sendersBytes = n
	}
	for id, s := range p.fresh {
		l.byID[id] = s
	}
	for s := range p.removed {
		delete(l.byID, s.id)
	}
	for s, r := range p.rows {
		s.mark, s.seen = r.mark, r.seen
	}
	l.forgotten.add(p.forgotten)
	l.revision, l.commits = revision, l.commits+1
}
