package hub_test

import (
	"context"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
)

// previewer is a relay that answers previews, if its hello is not changed.
func (b *bed) previewer(id string, change ...func(*syncv1.Hello)) *client {
	b.t.Helper()
	c := b.open()
	h := hello(id, "production")
	h.FollowerKind, h.Capabilities = syncv1.FollowerKind_FOLLOWER_KIND_RELAY, []syncv1.Capability{syncv1.Capability_CAPABILITY_PREVIEW}
	for _, f := range change {
		f(h)
	}
	c.hello(h)
	if c.recv().GetWelcome() == nil {
		b.t.Fatal("no welcome")
	}
	c.update()
	return c
}

// asked takes the next question.
func (c *client) asked() *syncv1.Preview {
	c.t.Helper()
	p := c.recv().GetPreview()
	if p == nil {
		c.t.Fatal("something else than a preview was sent")
	}
	return p
}

func (c *client) answers(a *syncv1.PreviewAnswer) {
	c.t.Helper()
	if err := c.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_PreviewAnswer{PreviewAnswer: a}}); err != nil {
		c.t.Fatal(err)
	}
}

// sampleOf is an answer of one relay, with some subjects.
func sampleOf(id uint64, subjects ...uint64) *syncv1.PreviewAnswer {
	return &syncv1.PreviewAnswer{Id: id, Relays: 1, Flags: []*syncv1.PreviewFlag{{
		FlagKey: "checkout", Relays: 1, Below: math.MaxUint64,
		Transitions: []*syncv1.PreviewTransition{{Before: &syncv1.PreviewOutcome{}, After: &syncv1.PreviewOutcome{Variant: "on"}, Differs: true, Subjects: subjects}},
	}}}
}

func question() *syncv1.Preview {
	return &syncv1.Preview{Environment: "production", FlagKeys: []string{"checkout"}, Subjects: 256}
}

// asking asks the hub until it has an answer.
func (b *bed) asking(ctx context.Context, p *syncv1.Preview) <-chan *syncv1.PreviewAnswer {
	answered := make(chan *syncv1.PreviewAnswer, 1)
	go func() { answered <- b.hub.Preview(ctx, p) }()
	return answered
}

// TestPreview: those that can answer are asked, nobody else is waited for, and what they say
// becomes one answer.
func TestPreview(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production", "staging")
	b.publish("production", 10, "a")
	b.publish("staging", 10, "a")
	if a := b.hub.Preview(t.Context(), question()); a.GetRelays() != 0 || len(a.GetFlags()) != 0 {
		t.Errorf("of nobody: %v", a)
	}
	one, two := b.previewer("one"), b.previewer("two")
	b.previewer("old", func(h *syncv1.Hello) { h.Capabilities = nil })
	b.previewer("sdk", func(h *syncv1.Hello) { h.FollowerKind = syncv1.FollowerKind_FOLLOWER_KIND_SDK })
	b.previewer("elsewhere", func(h *syncv1.Hello) { h.Scopes[0].Environment = "staging" })
	b.previewer("futuristic", func(h *syncv1.Hello) { h.Capabilities = []syncv1.Capability{99} })

	answered := b.asking(t.Context(), question())
	p, q := one.asked(), two.asked()
	if p.GetEnvironment() != "production" || len(p.GetFlagKeys()) != 1 || p.GetSubjects() != 256 || !proto.Equal(p, q) {
		t.Errorf("asked %v and %v", p, q)
	}
	one.answers(sampleOf(p.GetId()+1, 7)) // to something else
	one.answers(sampleOf(p.GetId(), 1, 2))
	one.answers(sampleOf(p.GetId(), 8)) // again
	two.answers(sampleOf(q.GetId(), 2, 3))
	got := <-answered
	if want := sampleOf(0, 1, 2, 3); got.GetRelays() != 2 || !proto.Equal(got.GetFlags()[0].GetTransitions()[0], want.GetFlags()[0].GetTransitions()[0]) {
		t.Errorf("got %v", got)
	}
	one.answers(sampleOf(p.GetId(), 9)) // too late
	answered = b.asking(t.Context(), question())
	if next := one.asked(); next.GetId() == p.GetId() {
		t.Error("an id comes twice")
	} else {
		one.answers(sampleOf(next.GetId()))
	}
	two.cancel() // and is not waited for
	if got := <-answered; got.GetRelays() != 1 {
		t.Errorf("got %v", got)
	}
}

// TestPreviewHangs: a relay that does not answer costs the time, and no more.
func TestPreviewHangs(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production")
	b.publish("production", 10, "a")
	one, mute := b.previewer("one"), b.previewer("mute")
	ctx, cancel := context.WithCancel(t.Context())
	answered := b.asking(ctx, question())
	one.answers(sampleOf(one.asked().GetId(), 1))
	mute.asked()
	eventually(t, "it is there", func() bool { return b.hub.PreviewsWaitFor() == 1 })
	cancel()
	if got := <-answered; got.GetRelays() != 1 {
		t.Errorf("got %v", got)
	}
	if n := b.hub.PreviewsWaitFor(); n != 0 {
		t.Errorf("%d are still waited for", n)
	}
}

// TestPreviewsAreBounded: a follower that does not read is asked a few times.
func TestPreviewsAreBounded(t *testing.T) {
	b := newBed(t, hub.Options{SendTimeout: time.Hour}, 0, "production")
	b.publish("production", 10, "a")
	b.previewer("stuck")
	large := question()
	large.Puts = []*syncv1.Put{{Key: "large", Data: make([]byte, 1<<20)}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all []<-chan *syncv1.PreviewAnswer
	for range 4 * 4 {
		all = append(all, b.asking(ctx, large))
	}
	refused := 0
	eventually(t, "most are refused at once", func() bool {
		for _, answered := range all {
			select {
			case <-answered:
				refused++
			default:
			}
		}
		return refused >= len(all)-4-1 // the transport takes one
	})
	cancel()
	eventually(t, "the others end", func() bool { return b.hub.PreviewsWaitFor() == 0 })
}

// TestPreviewOfManyFlags: each follower tells of fewer subjects.
func TestPreviewOfManyFlags(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production")
	b.publish("production", 10, "a")
	one := b.previewer("one")
	for flags, want := range map[int]uint32{64: 256, 1 << 13: 128, 1 << 17: 16} {
		p := question()
		p.FlagKeys = keys(flags)
		answered := b.asking(t.Context(), p)
		asked := one.asked()
		if asked.GetSubjects() != want {
			t.Errorf("of %d flags, %d subjects each, want %d", flags, asked.GetSubjects(), want)
		}
		one.answers(&syncv1.PreviewAnswer{Id: asked.GetId()})
		<-answered
	}
}

// TestAnswerThatNobodyAskedFor ends the stream of who says that it does not know of previews.
func TestAnswerThatNobodyAskedFor(t *testing.T) {
	b := newBed(t, hub.Options{}, 0, "production")
	b.publish("production", 10, "a")
	c := b.previewer("old", func(h *syncv1.Hello) { h.Capabilities = nil })
	c.answers(sampleOf(1, 1))
	for {
		if _, err := c.stream.Recv(); err != nil {
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("got %v", err)
			}
			return
		}
	}
}
