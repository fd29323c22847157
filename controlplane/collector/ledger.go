package collector

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// Keys of the ledger; see ledger.proto.
const (
	headKey       = "/tidegate/v1/t/head"
	marksPrefix   = "/tidegate/v1/t/m/"
	sendersPrefix = "/tidegate/v1/t/s/"
)

const (
	// shards may not be changed: it decides where a sender's mark is looked for.
	shards = 64
	// maxShard is how many senders a shard takes: with the longest ids it still fits a
	// transaction.
	maxShard = 2048
	// maxBoots is how many of them may be boots of one instance: one that is started again and
	// again must not take the place of others.
	maxBoots = maxShard / 2
)

// senderID is one boot of one instance.
type senderID struct{ instance, boot string }

func idOf(s *telemetryv1.Sender) senderID { return senderID{s.GetInstanceId(), s.GetBootId()} }

func (id senderID) shard() int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id.instance)) // never fails
	return int(h.Sum64() % shards)
}

// sender is what the ledger has of one boot.
type sender struct {
	id          senderID
	since, seen uint64 // minutes since 1970
	mark        mark
}

// ledger is what the store holds, decoded.
type ledger struct {
	revision  int64 // of the head; 0: there is none yet
	commits   uint64
	forgotten Account
	shards    [shards]shard
	byID      map[senderID]*sender
}

// shard lists senders in the order of their columns.
type shard struct {
	senders []*sender
	// Encoded sizes in the store.
	marksBytes, sendersBytes int
}

func (l *ledger) account() Account {
	sum := l.forgotten
	for _, s := range l.byID {
		sum.add(s.mark.account())
	}
	return sum
}

// sequence is the highest of a sender that was committed; 0: it is not known.
func (l *ledger) sequence(id senderID) uint64 {
	if s := l.byID[id]; s != nil {
		return s.mark.sequence
	}
	return 0
}

func marksKey(shard int) string   { return marksPrefix + shardName(shard) }
func sendersKey(shard int) string { return sendersPrefix + shardName(shard) }
func shardName(shard int) string  { return fmt.Sprintf("%02x", shard) }

// ledgerRanges are what readLedger wants.
func ledgerRanges() []store.Range {
	return []store.Range{store.Key(headKey), store.Prefix(sendersPrefix), store.Prefix(marksPrefix)}
}

// readLedger decodes what the store has in ledgerRanges at one revision. ErrCorrupt if that
// is not a ledger: to begin a new one would count everything again that comes twice.
func readLedger(results []store.Result) (*ledger, error) {
	l := &ledger{byID: make(map[senderID]*sender)}
	for _, kv := range results[0].KVs {
		var head telemetryv1.LedgerHead
		if err := decode(kv, &head); err != nil {
			return nil, err
		}
		l.revision, l.commits, l.forgotten = kv.ModRevision, head.GetCommits(), accountOf(head.GetForgotten())
	}
	for _, kv := range results[1].KVs {
		i, err := shardOf(kv.Key, sendersPrefix)
		if err != nil {
			return nil, err
		}
		if err := l.readSenders(i, kv); err != nil {
			return nil, err
		}
	}
	read := make(map[int]bool)
	for _, kv := range results[2].KVs {
		i, err := shardOf(kv.Key, marksPrefix)
		if err != nil {
			return nil, err
		}
		if err := l.shards[i].readMarks(kv); err != nil {
			return nil, err
		}
		read[i] = true
	}
	for i := range l.shards {
		if len(l.shards[i].senders) > 0 && !read[i] {
			return nil, fmt.Errorf("%w: %s is not there", ErrCorrupt, marksKey(i))
		}
	}
	return l, nil
}

func decode(kv store.KV, m proto.Message) error {
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, kv.Key, err)
	}
	return nil
}

func shardOf(key, prefix string) (int, error) {
	i, err := strconv.ParseUint(strings.TrimPrefix(key, prefix), 16, 8)
	if err != nil || i >= shards {
		return 0, fmt.Errorf("%w: %s: want 00 to %s", ErrCorrupt, key, shardName(shards-1))
	}
	return int(i), nil
}

func (l *ledger) readSenders(i int, kv store.KV) error {
	var m telemetryv1.LedgerSenders
	if err := decode(kv, &m); err != nil {
		return err
	}
	to := &l.shards[i]
	to.sendersBytes = len(kv.Value)
	for _, s := range m.GetSenders() {
		one := &sender{id: senderID{s.GetInstanceId(), s.GetBootId()}, since: s.GetSince()}
		if one.id.shard() != i || l.byID[one.id] != nil {
			return fmt.Errorf("%w: %s: instance %q is twice there, or belongs elsewhere", ErrCorrupt, kv.Key, one.id.instance)
		}
		l.byID[one.id] = one
		to.senders = append(to.senders, one)
	}
	return nil
}

func (s *shard) readMarks(kv store.KV) error {
	var m telemetryv1.LedgerMarks
	if err := decode(kv, &m); err != nil {
		return err
	}
	s.marksBytes = len(kv.Value)
	columns := [][]uint64{m.GetSequence(), m.GetEmitted(), m.GetLost(), m.GetCounted(), m.GetRefused(), m.GetLate(), m.GetSeen()}
	for i, c := range columns {
		if len(c) != len(s.senders) {
			return fmt.Errorf("%w: %s: column %d has %d rows for %d senders", ErrCorrupt, kv.Key, i+1, len(c), len(s.senders))
		}
	}
	for i, one := range s.senders {
		one.mark = mark{
			sequence: m.GetSequence()[i], emitted: m.GetEmitted()[i], lost: m.GetLost()[i],
			counted: m.GetCounted()[i], refused: m.GetRefused()[i], late: m.GetLate()[i],
		}
		if one.mark.counted+one.mark.refused+one.mark.late > one.mark.emitted {
			return fmt.Errorf("%w: %s: row %d has counted more than was emitted", ErrCorrupt, kv.Key, i)
		}
		one.seen = m.GetSeen()[i]
	}
	return nil
}

func encodeSenders(list []*sender) ([]byte, error) {
	m := &telemetryv1.LedgerSenders{Senders: make([]*telemetryv1.LedgerSender, 0, len(list))}
	for _, s := range list {
		m.Senders = append(m.Senders, &telemetryv1.LedgerSender{InstanceId: s.id.instance, BootId: s.id.boot, Since: s.since})
	}
	return encode(m)
}

func encodeMarks(list []row) ([]byte, error) {
	m := &telemetryv1.LedgerMarks{}
	for _, r := range list {
		m.Sequence = append(m.Sequence, r.mark.sequence)
		m.Emitted = append(m.Emitted, r.mark.emitted)
		m.Lost = append(m.Lost, r.mark.lost)
		m.Counted = append(m.Counted, r.mark.counted)
		m.Refused = append(m.Refused, r.mark.refused)
		m.Late = append(m.Late, r.mark.late)
		m.Seen = append(m.Seen, r.seen)
	}
	return encode(m)
}

// sinceTime is when the sender became known.
func (s *sender) sinceTime() time.Time { return time.Unix(int64(s.since)*60, 0) }
