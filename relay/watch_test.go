package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// recorder is the sending half of a stream; every Send waits until the test receives.
type recorder struct {
	grpc.ServerStream
	ctx  context.Context //nolint:containedctx // what a stream is
	sent chan *evaluationv1.WatchResponse
}

func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Send(m *evaluationv1.WatchResponse) error {
	select {
	case r.sent <- m:
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// startWatch runs a Watch whose messages are received from the channel; when it ends,
// the error follows on the other.
func startWatch(t testing.TB, s *evaluationService, request *evaluationv1.WatchRequest) (<-chan *evaluationv1.WatchResponse, <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{ctx: ctx, sent: make(chan *evaluationv1.WatchResponse)}
	ended := make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { ended <- s.Watch(request, r) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return r.sent, ended
}

// summary is what matters of the answers, in their order.
func summary(m *evaluationv1.WatchResponse) string {
	var b strings.Builder
	for _, a := range m.GetEvaluations() {
		what := a.GetVariant()
		if what == "" {
			what = a.GetErrorCode()
		}
		fmt.Fprintf(&b, "%s=%s ", a.GetFlagKey(), what)
	}
	return strings.TrimSpace(b.String())
}

func TestWatch(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	dependant := boolFlag("dependant")
	dependant.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "member", Variants: []string{"on"}}}
	p.put(production, boolFlag("country", "Canada"), segmentFlag("member", "beta"), dependant, &flagv1.Segment{Key: "beta"})
	s := service(p)
	answers, ended := startWatch(t, s, &evaluationv1.WatchRequest{Context: canada(t)})
	next := func(want string) {
		t.Helper()
		m := <-answers
		if got := summary(m); got != want || m.GetEnvironmentRevision() != p.revision || m.GetAge() == nil {
			t.Fatalf("got %q at revision %d, want %q at %d", got, m.GetEnvironmentRevision(), want, p.revision)
		}
	}
	next("country=on dependant=off member=off")

	p.put(production, boolFlag("country"), boolFlag("new")) // on for another reason
	next("country=on new=on")
	// A segment, over a flag and its dependant.
	p.put(production, &flagv1.Segment{Key: "beta", Included: []string{"user-1"}})
	next("dependant=on member=on")
	// What changes no answer sends nothing: the next message is that of the next change.
	described := boolFlag("new")
	described.Description = "not seen by callers"
	p.put(production, described)
	p.deleteFlag(production, "country")
	next("country=FLAG_NOT_FOUND")
	p.put(production, boolFlag("country"))
	next("country=on")

	s.drain()
	requireStatus(t, <-ended, codes.Unavailable, "shutting down")
}

func TestWatchSelection(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a.1"), boolFlag("a.2"), boolFlag("b"))
	s := service(p)
	named, _ := startWatch(t, s, &evaluationv1.WatchRequest{FlagKeys: []string{"b", "later", "b"}})
	prefixed, _ := startWatch(t, s, &evaluationv1.WatchRequest{KeyPrefix: "a."})
	if got := summary(<-named); got != "b=on later=FLAG_NOT_FOUND" {
		t.Errorf("named: %q", got)
	}
	if got := summary(<-prefixed); got != "a.1=on a.2=on" {
		t.Errorf("prefixed: %q", got)
	}
	off := boolFlag("a.2")
	off.Enabled = false
	p.put(production, off, boolFlag("later"))
	if got := summary(<-named); got != "later=on" {
		t.Errorf("named: %q", got)
	}
	if got := summary(<-prefixed); got != "a.2=off" {
		t.Errorf("prefixed: %q", got)
	}
}

func TestWatchFailures(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.replicas.Add("empty")
	s := service(p)
	for _, c := range []struct {
		request *evaluationv1.WatchRequest
		code    codes.Code
		message string
	}{
		{&evaluationv1.WatchRequest{Environment: "dev"}, codes.NotFound, "followed: production, empty"},
		{&evaluationv1.WatchRequest{Environment: "empty"}, codes.Unavailable, "nothing came"},
		{&evaluationv1.WatchRequest{FlagKeys: []string{"a"}, KeyPrefix: "a"}, codes.InvalidArgument, "key_prefix"},
	} {
		_, ended := startWatch(t, s, c.request)
		requireStatus(t, <-ended, c.code, c.message)
	}
}

// TestWatchNewEpoch: a restored store replaces everything, whatever its revision.
func TestWatchNewEpoch(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("kept"), boolFlag("lost"))
	answers, _ := startWatch(t, service(p), &evaluationv1.WatchRequest{})
	if got := summary(<-answers); got != "kept=on lost=on" {
		t.Fatalf("first: %q", got)
	}
	restored, _ := snapshot.New(production, snapshot.Epoch{Counter: 2, Random: 3}).Next(5,
		[]snapshot.Item{item(t, boolFlag("kept"), 3), item(t, boolFlag("found", "Canada"), 4)}, nil)
	p.revision = 5
	p.publish(p.replicas.Replica(production), restored, restored.Full())
	m := <-answers
	if got := summary(m); got != "found=off lost=FLAG_NOT_FOUND" || m.GetEnvironmentRevision() != 5 {
		t.Errorf("after the restore: %q at %d", got, m.GetEnvironmentRevision())
	}
}

// TestWatchConverges: whatever changes, and however slowly the caller reads, what it has
// put together from the messages is what EvaluateAll answers, and nothing is sent twice.
func TestWatchConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := newPublisher(t, production)
		s := service(p)
		ctx, cancel := context.WithCancel(context.Background())
		r := &recorder{ctx: ctx, sent: make(chan *evaluationv1.WatchResponse)}
		var running sync.WaitGroup
		running.Go(func() { _ = s.Watch(&evaluationv1.WatchRequest{Context: canada(t)}, r) }) // ended by cancel
		defer running.Wait()
		defer cancel()

		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		seen := map[string]*evaluationv1.EvaluateResponse{}
		receive := func(m *evaluationv1.WatchResponse) {
			for _, a := range m.GetEvaluations() {
				if old := seen[a.GetFlagKey()]; old != nil && equalAnswer(old, a) {
					rt.Fatalf("%s was sent twice without a change: %v", a.GetFlagKey(), a)
				}
				seen[a.GetFlagKey()] = a
			}
		}
		receive(<-r.sent)
		for range rapid.IntRange(1, 30).Draw(rt, "changes") {
			mutate(p, random)
			select {
			case m := <-r.sent:
				receive(m)
			default:
			}
		}
		// The last change is one that must be seen.
		last := boolFlag(fmt.Sprintf("last-%d", p.revision))
		p.put(production, last)
		for seen[last.GetKey()] == nil {
			receive(<-r.sent)
		}
		all, err := s.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{Context: canada(t)})
		if err != nil {
			rt.Fatal(err)
		}
		maps.DeleteFunc(seen, func(_ string, a *evaluationv1.EvaluateResponse) bool { return a.GetErrorCode() == "FLAG_NOT_FOUND" })
		for _, want := range all.GetEvaluations() {
			if got := seen[want.GetFlagKey()]; got == nil || !equalAnswer(got, want) {
				rt.Errorf("watched %v, want %v", got, want)
			}
		}
		if len(seen) != len(all.GetEvaluations()) {
			rt.Errorf("watched %v, want %d flags", slices.Sorted(maps.Keys(seen)), len(all.GetEvaluations()))
		}
	})
}

// equalAnswer compares what Watch promises to tell.
func equalAnswer(a, b *evaluationv1.EvaluateResponse) bool {
	strip := func(r *evaluationv1.EvaluateResponse) *evaluationv1.EvaluateResponse {
		return &evaluationv1.EvaluateResponse{
			Value: r.GetValue(), Variant: r.GetVariant(), Reason: r.GetReason(), Rule: r.GetRule(),
			ErrorCode: r.GetErrorCode(), ErrorMessage: r.GetErrorMessage(), UnmetPrerequisite: r.GetUnmetPrerequisite(),
		}
	}
	return proto.Equal(strip(a), strip(b))
}

// mutate makes a random change: flags with rules, segments or prerequisites come, change
// and go.
func mutate(p *publisher, random *rand.Rand) {
	key := func() string { return fmt.Sprintf("flag-%d", random.IntN(4)) }
	f := boolFlag(key())
	switch random.IntN(6) {
	case 0:
		p.deleteFlag(production, f.GetKey())
		return
	case 1:
		segment := &flagv1.Segment{Key: "beta"}
		if random.IntN(2) == 0 {
			segment.Included = []string{"user-1"}
		}
		p.put(production, segment)
		return
	case 2:
		f = boolFlag(f.GetKey(), []string{"Canada", "Chile"}[random.IntN(2)])
	case 3:
		f = segmentFlag(f.GetKey(), "beta")
	case 4:
		f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: key(), Variants: []string{"on"}}}
	default:
		f.Enabled = random.IntN(2) == 0
	}
	p.put(production, f)
}

// TestEvaluateStream pipelines many requests, errors among them.
func TestEvaluateStream(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a", "Canada"))
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	stream, err := client(t, r).EvaluateStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 1600
	var sender sync.WaitGroup
	sender.Go(func() {
		for id := range uint64(n) {
			request := &evaluationv1.EvaluateRequest{FlagKey: "a", Context: canada(t)}
			if id%10 == 3 {
				request.Environment = "dev"
			}
			if err := stream.Send(&evaluationv1.EvaluateStreamRequest{Id: id, Request: request}); err != nil {
				t.Errorf("send %d: %v", id, err)
				return
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	})
	for id := range uint64(n) {
		m, err := stream.Recv()
		if err != nil || m.GetId() != id {
			t.Fatalf("answer %d: %v, %v", id, m, err)
		}
		failed := codes.Code(m.GetError().GetCode()) == codes.NotFound
		if failed != (id%10 == 3) || !failed && !m.GetResponse().GetBoolValue() {
			t.Fatalf("answer %d: %v", id, m)
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v, want EOF", err)
	}
	sender.Wait()
}

// TestWatchAndTime: answers that depend on the time are as of the last change to the flag,
// and the caller misses no change of what it has.
func TestWatchAndTime(t *testing.T) {
	t.Parallel()
	const noon = 1_700_000_000
	p := newPublisher(t, production)
	after := func(description string) *flagv1.Flag {
		f := expressionFlag(t, "afternoon", fmt.Sprintf(`{">":[{"var":"$flagd.timestamp"},%d]}`, noon))
		f.Description = description
		return f
	}
	p.put(production, after(""), boolFlag("other"))
	s := service(p)
	subject := eval.Context{}
	s.here(&subject, time.Unix(noon-1, 0))
	w := newWatch(s.environments[0], selection{}, subject, &pass{})
	first, err := w.all(t.Context())
	if err != nil || summary(first) != "afternoon=false other=on" {
		t.Fatalf("first %s, %v", summary(first), err)
	}
	for _, c := range []struct {
		change proto.Message
		at     int64
		want   string
	}{
		{after("again, before noon"), noon - 1, ""},
		{valueFlag(t, "other", flagv1.ValueType_VALUE_TYPE_STRING, "x"), noon + 1, "other=only"}, // not concerned
		{after("again, after noon"), noon + 1, "afternoon=true"},
		{after("and again"), noon + 2, ""},
		{boolFlag("afternoon", "Canada"), noon + 3, "afternoon=off"},
		{boolFlag("afternoon", "Peru"), noon + 4, ""},
	} {
		p.put(production, c.change)
		m, err := w.next(t.Context(), time.Unix(c.at, 0))
		if err != nil || summary(m) != c.want {
			t.Errorf("%v at %d: %s, %v; want %s", c.change, c.at-noon, summary(m), err, c.want)
		}
	}
	if len(w.shownAt) > 0 {
		t.Errorf("times are kept for %v", w.shownAt)
	}
}
