package hub

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// receipt is what a follower acknowledged of one environment. It is guarded by the
// stream's mutex.
type receipt struct {
	environment string
	feed        *feed // nil: it is not followed yet, or not any more
	has         bool
	acked       snapshot.Cursor
	rejections  tree.Rejections
}

// ackedState is what an acknowledgement is of: a cursor without its revision.
type ackedState struct {
	epoch  snapshot.Epoch
	digest snapshot.Digest
}

func stateOf(c snapshot.Cursor) ackedState { return ackedState{c.Epoch, c.Digest} }

func (s *stream) receiptLocked(environment string) *receipt {
	i := slices.IndexFunc(s.receipts, func(r receipt) bool { return r.environment == environment })
	if i < 0 {
		return nil
	}
	return &s.receipts[i]
}

// handleAck takes an acknowledgement of any form.
func (s *stream) handleAck(ack *syncv1.Ack) error {
	c, err := snapshot.CursorFromProto(ack.GetCursor())
	if err != nil && s.follows(ack.GetEnvironment()) {
		return status.Errorf(codes.InvalidArgument, "ack of %q: %v", ack.GetEnvironment(), err)
	}
	rejections := &tree.Rejections{Count: uint32(len(ack.GetRejections()))}
	for _, r := range ack.GetRejections() {
		rejections.Newest = max(rejections.Newest, r.GetModRevision())
	}
	if ack.GetRejectionsUnchanged() {
		rejections = nil
	}
	s.noteAck(ack.GetEnvironment(), c, rejections)
	return nil
}

func (s *stream) follows(environment string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receiptLocked(environment) != nil
}

// noteAck takes an acknowledgement, of which the newest stands; nil: the rejections are
// those before. One of what is not followed is ignored.
func (s *stream) noteAck(environment string, c snapshot.Cursor, rejections *tree.Rejections) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.receiptLocked(environment)
	if r == nil {
		return
	}
	r.countLocked(-1)
	if rejections != nil {
		r.rejections = *rejections
	}
	r.has, r.acked = true, c
	r.countLocked(1)
	s.branch.of.Ack(environment, c, r.rejections)
}

// remember begins to count what the follower acknowledges of a scope.
func (s *stream) remember(sc *scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.receiptLocked(sc.environment()); r != nil {
		r.feed = sc.feed
		r.countLocked(1)
	}
}

// forget ends it.
func (s *stream) forget(sc *scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.receiptLocked(sc.environment()); r != nil {
		r.countLocked(-1)
		r.feed = nil
	}
}

// countLocked adds the receipt to what is counted, or takes it off.
func (r *receipt) countLocked(n int) {
	if r.feed == nil || !r.has {
		return
	}
	r.feed.hub.rejections.Add(int64(n) * int64(r.rejections.Count))
	r.feed.count(stateOf(r.acked), n)
}

func (f *feed) count(state ackedState, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acked[state] += n; f.acked[state] == 0 {
		delete(f.acked, state)
	}
}

// unacknowledged is how many followers have not acknowledged the newest state.
func (f *feed) unacknowledged() int {
	newest := f.replica.Snapshot()
	if newest == nil {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.scopes) - f.acked[stateOf(newest.Cursor())]
}

// describe is the follower with what it acknowledged by now.
func (s *stream) describe() Follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.follower
	f.Acked, f.Rejections = make(map[string]snapshot.Cursor), make(map[string]int)
	for _, r := range s.receipts {
		if r.has {
			f.Acked[r.environment], f.Rejections[r.environment] = r.acked, int(r.rejections.Count)
		}
	}
	return f
}
