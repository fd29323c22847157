package main

import (
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a server that says what a test wants, and notes what it is told.
type script struct {
	syncv1.UnimplementedSyncServiceServer
	addr string
	// refuse is said, once, to each stream that has a state.
	refuse *syncv1.Goodbye

	mu      sync.Mutex
	streams []grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]
	hellos  []*syncv1.Hello
	acks    []int64
	refused int
}

func serve(t *testing.T) *script {
	s := &script{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	server := grpc.NewServer()
	syncv1.RegisterSyncServiceServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// Stream answers a Hello with a state of three chunks, which no window holds together.
func (s *script) Stream(stream grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]) error {
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.hellos = append(s.hellos, m.GetHello())
	refuse := s.refuse
	if m.GetHello().GetScopes()[0].GetCursor() == nil || s.refused >= 4 {
		refuse = nil
	}
	if refuse != nil {
		s.refused++
	}
	s.mu.Unlock()
	if refuse != nil {
		return stream.Send(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Goodbye{Goodbye: refuse}})
	}
	for i := range 3 {
		u := &syncv1.Update{Environment: "e", Puts: []*syncv1.Put{{Key: "a", Data: make([]byte, followerWindow/2)}}}
		if i == 2 {
			u.Commit = &syncv1.Commit{Cursor: cursor(1)}
		}
		if err := stream.Send(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: u}}); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.streams = append(s.streams, stream)
	s.mu.Unlock()
	for {
		m, err := stream.Recv()
		if err != nil {
			return status.FromContextError(stream.Context().Err()).Err()
		}
		s.mu.Lock()
		s.acks = append(s.acks, m.GetAck().GetCursor().GetRevision())
		s.mu.Unlock()
	}
}

// publish sends a change on the newest n streams.
func (s *script) publish(t *testing.T, n int, revision int64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stream := range s.streams[len(s.streams)-n:] {
		if err := stream.Send(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Update{Update: &syncv1.Update{
			Environment: "e", Commit: &syncv1.Commit{Cursor: cursor(revision)},
		}}}); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *script) acked(revision int64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.acks {
		if r == revision {
			n++
		}
	}
	return n
}

// cursors are what followers said that they have, but for the first n.
func (s *script) cursors(n int) []*syncv1.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cursors []*syncv1.Cursor
	for _, h := range s.hellos[n:] {
		cursors = append(cursors, h.GetScopes()[0].GetCursor())
	}
	return cursors
}

// published waits until all streams are ready to be published on.
func (s *script) published(t *testing.T, n int) {
	t.Helper()
	if err := poll(t.Context(), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.streams) >= n
	}); err != nil {
		t.Fatal(err)
	}
}

func TestFleet(t *testing.T) {
	s := serve(t)
	f, err := startFleet(t.Context(), s.addr, "e", 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	s.published(t, 6)

	f.collector.renew()
	s.publish(t, 6, 2)
	times, err := f.collector.awaitDelivered(t.Context(), 2, 6)
	if err != nil || len(times) != 6 {
		t.Fatalf("%d deliveries: %v", len(times), err)
	}
	if err := poll(t.Context(), func() bool { return s.acked(1) == 6 && s.acked(2) == 6 }); err != nil {
		t.Fatalf("%d and %d Acks: %v", s.acked(1), s.acked(2), err)
	}

	f.acks.Store(false)
	f.collector.renew()
	f.cut()
	if _, err := f.collector.awaitBack(t.Context(), 6, 6); err != nil {
		t.Fatal(err)
	}
	if ends := f.collector.counted(); ends["connection closed"] != 6 {
		t.Errorf("ended by %v", ends)
	}
	for _, c := range s.cursors(6) {
		if !proto.Equal(c, cursor(2)) {
			t.Errorf("it came back with %v", c)
		}
	}
	f.empty.Store(true)
	f.collector.renew()
	f.cut()
	if _, err := f.collector.awaitBack(t.Context(), 6, 6); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.cursors(12) {
		if c != nil {
			t.Errorf("an empty follower has %v", c)
		}
	}
	if n := s.acked(1); n != 6 {
		t.Errorf("%d Acks, though none were to be sent", n-6)
	}
}

// TestGoodbye: followers that are sent away come back, over a new connection or the one
// that their others have.
func TestGoodbye(t *testing.T) {
	for _, each := range []int{1, 2} {
		s := serve(t)
		s.refuse = &syncv1.Goodbye{Code: syncv1.Goodbye_CODE_OVERLOADED, Backoff: durationpb.New(1)}
		f, err := startFleet(t.Context(), s.addr, "e", 4/each, each)
		if err != nil {
			t.Fatal(err)
		}
		f.collector.renew()
		f.cut()
		if _, err := f.collector.awaitBack(t.Context(), 4, 4); err != nil {
			t.Error(err)
		}
		if ends := f.collector.counted(); ends["CODE_OVERLOADED"] != 4 {
			t.Errorf("%d streams a connection: ended by %v", each, ends)
		}
		f.close()
	}
}

// TestStalled: a connection that does not read gets nothing, until it is replaced.
func TestStalled(t *testing.T) {
	s := serve(t)
	f, err := startFleet(t.Context(), s.addr, "e", 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	s.published(t, 2)
	f.stall(1)
	for revision := int64(2); revision <= 3; revision++ {
		s.publish(t, 2, revision)
		if err := poll(t.Context(), func() bool { return s.acked(revision) > 0 }); err != nil {
			t.Fatal(err)
		}
	}
	// One frame may have been waited for already.
	if n := s.acked(3); n != 1 {
		t.Errorf("%d followers got revision 3, want the one that reads", n)
	}
	if err := f.resume(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if c := s.cursors(2); len(c) != 1 || c[0].GetRevision() < 1 {
		t.Errorf("there came back %v, want one follower with a state", c)
	}
}
