package live

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// How large a message is, about. Each is at most twice as large as the one before: who waits for
// many flags sees the first of them while the others are gathered.
const (
	firstBatch = 16 << 10
	maxBatch   = 256 << 10
)

// batch gathers what is to be sent into messages that are not too large.
type batch struct {
	send  func(*controlv1.WatchResponse) error
	next  *controlv1.WatchResponse
	size  int
	limit int
	err   error // the first; nothing is sent after it
}

func newBatch(send func(*controlv1.WatchResponse) error) *batch {
	return &batch{send: send, next: &controlv1.WatchResponse{}, limit: firstBatch}
}

// room makes room for an element of that size.
func (b *batch) room(size int) *controlv1.WatchResponse {
	if b.size > 0 && b.size+size > b.limit {
		b.limit = min(2*b.limit, maxBatch)
		b.flush()
	}
	b.size += size
	return b.next
}

func (b *batch) flush() {
	if b.err == nil {
		b.err = b.send(b.next)
	}
	b.next, b.size = &controlv1.WatchResponse{}, 0
}

// sizeOf is what a message takes as an element.
func sizeOf(m proto.Message) int { return protowire.SizeBytes(proto.Size(m)) + 2 }

// textSize is what a text takes as an element.
func textSize(s string) int { return protowire.SizeBytes(len(s)) + 2 }

func (b *batch) flag(m *controlv1.FlagSummary) {
	to := b.room(sizeOf(m))
	to.Flags = append(to.Flags, m)
}

func (b *batch) activity(m *controlv1.FlagActivity) {
	to := b.room(sizeOf(m))
	to.Activities = append(to.Activities, m)
}

func (b *batch) segment(m *controlv1.SegmentSummary) {
	to := b.room(sizeOf(m))
	to.Segments = append(to.Segments, m)
}

func (b *batch) rollout(m *controlv1.RolloutSummary) {
	to := b.room(sizeOf(m))
	to.Rollouts = append(to.Rollouts, m)
}

func (b *batch) standing(m *controlv1.RolloutStanding) {
	to := b.room(sizeOf(m))
	to.Standings = append(to.Standings, m)
}

func (b *batch) relay(m *controlv1.Relay) {
	to := b.room(sizeOf(m))
	to.Relays = append(to.Relays, m)
}

func (b *batch) goneRelay(id string) {
	to := b.room(textSize(id))
	to.GoneRelays = append(to.GoneRelays, id)
}

// begins says that what is added of a part from now on is all of it.
func (b *batch) begins(part controlv1.Part) { b.next.ResetParts = append(b.next.ResetParts, part) }

func (b *batch) entry(m *controlv1.AuditEntry) {
	to := b.room(sizeOf(m))
	to.Entries = append(to.Entries, m)
}

func (b *batch) point(m *controlv1.SeriesPoint) {
	to := b.room(sizeOf(m))
	to.Series = append(to.Series, m)
}

func (b *batch) deletedFlag(key string) {
	to := b.room(textSize(key))
	to.DeletedFlags = append(to.DeletedFlags, key)
}

func (b *batch) deletedSegment(key string) {
	to := b.room(textSize(key))
	to.DeletedSegments = append(to.DeletedSegments, key)
}

func (b *batch) deletedRollout(key string) {
	to := b.room(textSize(key))
	to.DeletedRollouts = append(to.DeletedRollouts, key)
}
