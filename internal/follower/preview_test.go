package follower_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// previewFunc answers previews.
type previewFunc func(ctx context.Context, p *syncv1.Preview) *syncv1.PreviewAnswer

func (f previewFunc) Preview(ctx context.Context, p *syncv1.Preview) *syncv1.PreviewAnswer {
	return f(ctx, p)
}

// answered takes the ids of answers as the upstream gets them.
func (s *stage) answered() uint64 {
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return 0
		}
		if a := m.GetPreviewAnswer(); a != nil {
			return a.GetId()
		}
	}
}

// TestPreview: who can, says so and answers; updates do not wait for it.
func TestPreview(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	ids := make(chan uint64, 10)
	shown := make(chan struct{})
	l := &liar{scripts: []func(*stage) error{func(s *stage) error {
		s.welcome()
		s.send(updatesOf(h.one.Full())[0])
		s.send(&syncv1.Preview{Id: 7, Environment: "production", Timeout: durationpb.New(time.Hour)})
		s.send(updatesOf(h.three.Full())[0]) // while it is being answered
		ids <- s.answered()
		s.send(&syncv1.Preview{Id: 8, Environment: "production", Timeout: durationpb.New(time.Hour)})
		ids <- s.answered()
		return s.hold()
	}}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	o := n.options(set, "relay", "up")
	o.Previewer = previewFunc(func(ctx context.Context, p *syncv1.Preview) *syncv1.PreviewAnswer {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 2*time.Second {
			t.Errorf("it may take until %v", deadline)
		}
		if p.GetId() == 7 {
			<-shown
		}
		return &syncv1.PreviewAnswer{}
	})
	run(t, o)
	eventually(t, "state three", has(set.Add("production"), h.three))
	close(shown)
	if a, b := <-ids, <-ids; a != 7 || b != 8 {
		t.Errorf("answers to %d and %d", a, b)
	}
	if !slices.Contains(l.hello(0).GetCapabilities(), syncv1.Capability_CAPABILITY_PREVIEW) {
		t.Error("it did not say that it can")
	}
}

// TestPreviewIsIgnored by who cannot: the stream goes on.
func TestPreviewIsIgnored(t *testing.T) {
	h, n := newHistory(t, epoch), newNetwork()
	l := &liar{scripts: []func(*stage) error{func(s *stage) error {
		s.welcome()
		s.send(&syncv1.Preview{Id: 7, Environment: "production"})
		s.send(updatesOf(h.three.Full())[0])
		return s.hold()
	}}}
	n.serve(t, "up", l)
	set := replica.NewSet(replica.Options{})
	run(t, n.options(set, "relay", "up"))
	eventually(t, "state three", has(set.Add("production"), h.three))
	if l.hello(1) != nil || len(l.hello(0).GetCapabilities()) != 0 {
		t.Errorf("hellos %v, %v", l.hello(0), l.hello(1))
	}
}

// TestPreviewEndsWithTheStream: nobody works for who is gone, and many questions are not kept.
func TestPreviewEndsWithTheStream(t *testing.T) {
	n := newNetwork()
	begun := make(chan struct{})
	l := &liar{scripts: []func(*stage) error{
		func(s *stage) error {
			s.welcome()
			for id := range uint64(1000) {
				s.send(&syncv1.Preview{Id: id, Timeout: durationpb.New(time.Hour)})
			}
			<-begun
			return nil
		},
		func(s *stage) error { return s.hold() },
	}}
	n.serve(t, "up", l)
	o := n.options(replica.NewSet(replica.Options{}), "relay", "up")
	calls := 0
	o.Previewer = previewFunc(func(ctx context.Context, _ *syncv1.Preview) *syncv1.PreviewAnswer {
		if calls++; calls == 1 {
			close(begun)
		}
		<-ctx.Done()
		return &syncv1.PreviewAnswer{}
	})
	_, stop := run(t, o)
	eventually(t, "a second stream", func() bool { return l.count() == 2 })
	stop()
	if calls > 6 {
		t.Errorf("%d questions were kept", calls)
	}
}
