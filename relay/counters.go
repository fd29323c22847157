package relay

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/tidegate/tidegate/eval"
)

// counters count the answers of one environment by reason. Counting is one addition
// that processors seldom share; reading sums up.
type counters [counterShards]struct {
	count [len(countedReasons)]atomic.Uint64 // one cache line
}

// counterShards is a power of two.
const counterShards = 16

// countedReasons are the reasons that an answer may have; the last one stands for any
// other.
var countedReasons = [...]eval.Reason{
	eval.ReasonTargetingMatch, eval.ReasonSplit, eval.ReasonStatic, eval.ReasonDefault,
	eval.ReasonDisabled, eval.ReasonStale, eval.ReasonError, "OTHER",
}

func (c *counters) add(reason string) {
	c[rand.Uint32()%counterShards].count[reasonIndex(reason)].Add(1) //nolint:gosec // it only spreads
}

func (c *counters) addAll(t *reasonTally) {
	shard := &c[rand.Uint32()%counterShards] //nolint:gosec // it only spreads
	for i, n := range t {
		if n > 0 {
			shard.count[i].Add(n)
		}
	}
}

// total sums up what was counted.
func (c *counters) total() (t reasonTally) {
	for shard := range c {
		for i := range t {
			t[i] += c[shard].count[i].Load()
		}
	}
	return t
}

// reasonTally counts the answers of one call by reason.
type reasonTally [len(countedReasons)]uint64

func (t *reasonTally) add(reason string) { t[reasonIndex(reason)]++ }

func reasonIndex(reason string) int {
	for i, r := range countedReasons {
		if string(r) == reason {
			return i
		}
	}
	return len(countedReasons) - 1
}

// The streams that are counted while they are open.
const (
	streamEvents = iota // flagd's EventStream
	streamSync          // flagd's SyncFlags
	streamSSE           // OFREP's events
	streamKinds
)

var streamNames = [streamKinds]string{streamEvents: "flagd-events", streamSync: "flagd-sync", streamSSE: "ofrep-events"}

// streamCounts counts the open streams of one environment.
type streamCounts [streamKinds]atomic.Int64

// open counts a stream until the returned function is called, which returns how many
// are left.
func (c *streamCounts) open(kind int) (closed func() int64) {
	c[kind].Add(1)
	return func() int64 { return c[kind].Add(-1) }
}
