package follower_test

import (
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// ackLog serves a hub and notes the Acks.
type ackLog struct {
	*hub.Hub
	mu   sync.Mutex
	acks []*syncv1.Ack
}

func (l *ackLog) Stream(s grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]) error {
	return l.Hub.Stream(ackStream{s, l})
}

// take returns the Acks since the last call.
func (l *ackLog) take() []*syncv1.Ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	acks := l.acks
	l.acks = nil
	return acks
}

type ackStream struct {
	grpc.BidiStreamingServer[syncv1.StreamRequest, syncv1.StreamResponse]
	log *ackLog
}

// RecvMsg is what a hub receives by; its messages reflect what came.
func (s ackStream) RecvMsg(m any) error {
	err := s.BidiStreamingServer.RecvMsg(m)
	if err != nil {
		return err
	}
	request, ok := m.(proto.Message).ProtoReflect().Interface().(*syncv1.StreamRequest)
	if !ok {
		return fmt.Errorf("the hub receives a %T", m)
	}
	if ack := request.GetAck(); ack != nil {
		s.log.mu.Lock()
		s.log.acks = append(s.log.acks, ack)
		s.log.mu.Unlock()
	}
	return nil
}

// TestPoison: an item that cannot be used is told once a stream, however many changes
// follow; the cursor advances, its last usable version stays in force, others change.
// The upstream knows at all times how many there are.
func TestPoison(t *testing.T) {
	n, up := newNetwork(), newSource(t, "server", 0, "production")
	acks := &ackLog{Hub: up.hub}
	n.serve(t, "up", acks)
	set := replica.NewSet(replica.Options{})
	r := set.Add("production")
	run(t, n.options(set, "relay", "up"))
	rejections := func() int {
		fs := up.hub.Followers()
		if len(fs) != 1 {
			return -1
		}
		return fs[0].Rejections["production"]
	}
	acked := func(s *snapshot.Snapshot) {
		t.Helper()
		eventually(t, "an acknowledgement", func() bool { c, _ := up.acked(); return c == s.Cursor() })
	}
	told := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, ack := range acks.take() {
			for _, rejection := range ack.GetRejections() {
				got = append(got, fmt.Sprint(rejection.GetKey(), " ", rejection.GetModRevision()))
			}
			if ack.GetRejectionsUnchanged() && len(ack.GetRejections()) > 0 {
				t.Errorf("%s: unchanged, and named: %v", what, ack)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: told %v, want %v", what, got, want)
		}
	}
	poison := func(key string) snapshot.Item {
		return snapshot.Item{Kind: syncv1.Kind_KIND_FLAG, Key: key, Data: []byte{0xff}}
	}
	change := func() {
		t.Helper()
		for i := range 20 {
			acked(up.publish(t, []snapshot.Item{flagItem(t, "sibling", fmt.Sprint(i))}))
		}
		if f := r.Snapshot().Eval().Flag("sibling"); f == nil || f.Revision() != up.revision {
			t.Error("a sibling does not change")
		}
	}
	acked(up.publish(t, []snapshot.Item{flagItem(t, "a", "")}))
	change()
	told("without poison")

	acked(up.publish(t, []snapshot.Item{poison("a")}))
	at := up.revision
	change()
	told("one item", fmt.Sprint("a ", at))
	if f := r.Snapshot().Eval().Flag("a"); f == nil || f.Revision() != 1 || rejections() != 1 {
		t.Errorf("in force is %v, %d rejections are known", f, rejections())
	}
	before := up.hub.Followers()[0].Since
	n.cut("up")
	eventually(t, "another stream", func() bool {
		fs := up.hub.Followers()
		return len(fs) == 1 && fs[0].Since.After(before) && rejections() == 1
	})
	change()
	told("another stream", fmt.Sprint("a ", at))

	acked(up.publish(t, []snapshot.Item{poison("a"), poison("b")}))
	change()
	told("a second version, and a second item", fmt.Sprint("a ", up.revision-20), fmt.Sprint("b ", up.revision-20))
	acked(up.publish(t, []snapshot.Item{flagItem(t, "b", "")}))
	told("one is mended", fmt.Sprint("a ", up.revision-21))
	if rejections() != 1 {
		t.Errorf("%d rejections are known", rejections())
	}
	acked(up.publish(t, []snapshot.Item{flagItem(t, "a", "")}))
	change()
	told("all are mended")
	if rejections() != 0 {
		t.Errorf("%d rejections are known, all are mended", rejections())
	}
}
