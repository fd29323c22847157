package relay

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// event is an event of either version.
type event interface {
	GetType() string
	GetData() *structpb.Struct
}

// changesIn are the changes that an event tells, by the flags' keys.
func changesIn(t *testing.T, e event) map[string]any {
	t.Helper()
	if e.GetType() != eventChange {
		t.Fatalf("event %v, want a change", e)
	}
	changed := map[string]any{}
	for key, v := range e.GetData().AsMap()["flags"].(map[string]any) {
		changed[key] = v.(map[string]any)["type"]
	}
	return changed
}

func prerequisiteFlag(key, of string) *flagv1.Flag {
	f := boolFlag(key)
	f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: of, Variants: []string{"on"}}}
	return f
}

// TestFlagdEventStream is the life of an event stream of each version, over gRPC.
func TestFlagdEventStream(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	p.put(production, boolFlag("a"), prerequisiteFlag("b", "a"), segmentFlag("c", "s"), boolFlag("d"), &flagv1.Segment{Key: "s"})
	upstream, _ := p.serve()
	r, stop := startReady(t, options(upstream, production, staging), p.revision)
	conn := dial(t, r.GRPCAddr())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	v1, err := flagdv1.NewServiceClient(conn).EventStream(ctx, &flagdv1.EventStreamRequest{})
	if err != nil {
		t.Fatal(err)
	}
	v2, err := flagdv2.NewServiceClient(conn).EventStream(ctx, &flagdv2.EventStreamRequest{})
	if err != nil {
		t.Fatal(err)
	}
	receivers := map[string]func() (event, error){
		"v1": func() (event, error) { return v1.Recv() },
		"v2": func() (event, error) { return v2.Recv() },
	}
	receive := func(version string) event {
		t.Helper()
		e, err := receivers[version]()
		if err != nil {
			t.Fatalf("%s: %v", version, err)
		}
		return e
	}
	for version := range receivers {
		if e := receive(version); e.GetType() != eventReady || e.GetData() != nil {
			t.Errorf("%s: first %v, want %s without data", version, e, eventReady)
		}
	}
	// next skips what is told again.
	next := func(version string, before []map[string]any) map[string]any {
		t.Helper()
		for {
			if got := changesIn(t, receive(version)); !slices.ContainsFunc(before, func(told map[string]any) bool { return reflect.DeepEqual(got, told) }) {
				return got
			}
		}
	}
	var told []map[string]any
	p.put(staging, boolFlag("elsewhere")) // concerns nobody here
	for _, change := range []struct {
		what string
		do   func()
		want map[string]any
	}{
		{"a new flag", func() { p.put(production, boolFlag("e")) }, map[string]any{"e": "write"}},
		{"a changed flag, and one that needs it", func() { p.put(production, boolFlag("a", "Canada")) }, map[string]any{"a": "update", "b": "update"}},
		{"a segment", func() { p.put(production, &flagv1.Segment{Key: "s", Included: []string{"user-1"}}) }, map[string]any{"c": "update"}},
		{"a deleted flag", func() { p.deleteFlag(production, "d") }, map[string]any{"d": "delete"}},
	} {
		change.do()
		for version := range receivers {
			if got := next(version, told); !reflect.DeepEqual(got, change.want) {
				t.Errorf("%s, %s: %v, want %v", version, change.what, got, change.want)
			}
		}
		told = append(told, change.want)
	}
	if n := r.evaluation.environments[0].streams[streamEvents].Load(); n != 2 {
		t.Errorf("%d streams are counted, want 2", n)
	}
	stop()
	for version := range receivers {
		e := receive(version)
		for e.GetType() == eventChange { // told again
			e = receive(version)
		}
		if e.GetType() != eventShutdown {
			t.Errorf("%s: at the end %v, want %s", version, e, eventShutdown)
		}
		if _, err := receivers[version](); err == nil {
			t.Errorf("%s: it goes on", version)
		}
	}
	if n := r.evaluation.environments[0].streams[streamEvents].Load(); n != 0 {
		t.Errorf("%d streams are counted after the end", n)
	}
}

// With nothing to say, a stream says so every 20 seconds; before there is anything to
// evaluate it is not ready.
func TestFlagdEventsIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t)
		p.replicas.Add(production)
		s := service(p)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begin := time.Now()
		var got []string
		done := make(chan error)
		go func() {
			done <- s.flagdEvents(ctx, func(e flagdEvent) error {
				got = append(got, fmt.Sprintf("%v %s", time.Since(begin), e.kind))
				return nil
			})
		}()
		time.Sleep(5 * time.Second)
		first := snapshot.New(production, testEpoch).Advance(p.revision)
		p.publish(p.replicas.Replica(production), first, first.Full())
		time.Sleep(30 * time.Second)
		p.put(production, boolFlag("a"))
		time.Sleep(42 * time.Second)
		close(s.draining)
		if err := <-done; !errors.Is(err, errDraining) {
			t.Errorf("it ended with %v", err)
		}
		want := []string{
			"5s " + eventReady, "25s " + eventKeepAlive, "35s " + eventChange, "36s " + eventChange, "56s " + eventKeepAlive, "1m16s " + eventKeepAlive, "1m17s " + eventShutdown,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// Each change is told once more, half a second to a second later, however many come.
func TestFlagdEventsRetold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, production)
		s := service(p)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		told := map[string][]time.Time{}
		done := make(chan error)
		go func() {
			done <- s.flagdEvents(ctx, func(e flagdEvent) error {
				for key := range e.data.GetFields()["flags"].GetStructValue().GetFields() {
					told[key] = append(told[key], time.Now())
				}
				return nil
			})
		}()
		synctest.Wait()
		const changes = 50
		for i := range changes {
			p.put(production, boolFlag(fmt.Sprintf("f%d", i)))
			time.Sleep(70 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the stream ended with %v", err)
		}
		if len(told) != changes {
			t.Errorf("%d flags were told, want %d", len(told), changes)
		}
		for key, at := range told {
			if len(at) != 2 || at[1].Sub(at[0]) < retellAfter || at[1].Sub(at[0]) > 2*retellAfter {
				t.Errorf("%s was told at %v", key, at)
			}
		}
	})
}

// The way to the newest state is not known: all flags may have changed.
func TestFlagdEventsLost(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("gone"), boolFlag("stays"))
	r := p.replicas.Replica(production)
	f := newFlagFeed(service(p).environments[0], &pass{})
	p.revision++
	next, _ := snapshot.New(production, snapshot.Epoch{Counter: 2}).Next(p.revision, []snapshot.Item{
		item(t, boolFlag("stays"), p.revision), item(t, boolFlag("new"), p.revision),
	}, nil)
	p.publish(r, next, next.Full())
	got, err := f.next(t.Context())
	want := []flagChange{{"gone", flagDeleted}, {"new", flagCreated}, {"stays", flagUpdated}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// A caller that does not read holds nobody up, and sees all that changed when it does.
func TestFlagdEventsSlow(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	s := service(p)
	ctx, cancel := context.WithCancel(t.Context())
	events, done := make(chan flagdEvent), make(chan error)
	go func() {
		done <- s.flagdEvents(ctx, func(e flagdEvent) error {
			select {
			case events <- e:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	if e := <-events; e.kind != eventReady {
		t.Fatalf("first %v", e)
	}
	want := map[string]bool{}
	for i := range 500 {
		key := fmt.Sprintf("f%d", i)
		want[key] = true
		p.put(production, boolFlag(key))
	}
	for received := 0; len(want) > 0; received++ {
		if received > 10 {
			t.Fatalf("%d flags are missing after %d events", len(want), received)
		}
		for key := range changesIn(t, &flagdv1.EventStreamResponse{Type: eventChange, Data: (<-events).data}) {
			delete(want, key)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

func TestFlagdEventsSelector(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production, staging), p.revision)
	c := flagdv2.NewServiceClient(dial(t, r.GRPCAddr()))
	open := func(selector string) grpc.ServerStreamingClient[flagdv2.EventStreamResponse] {
		t.Helper()
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), selectorHeader, selector))
		t.Cleanup(cancel)
		stream, err := c.EventStream(ctx, &flagdv2.EventStreamRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	_, err := open("x=y").Recv()
	requireStatus(t, err, codes.InvalidArgument, "invalid selector")
	_, err = open("flagSetId=dev").Recv()
	requireStatus(t, err, codes.NotFound, "followed: production, staging")
	stream := open("flagSetId=staging")
	if e, err := stream.Recv(); err != nil || e.GetType() != eventReady {
		t.Fatalf("%v, %v", e, err)
	}
	p.put(production, boolFlag("not-this"))
	p.put(staging, boolFlag("this"))
	if e, err := stream.Recv(); err != nil || !reflect.DeepEqual(changesIn(t, e), map[string]any{"this": "write"}) {
		t.Errorf("%v, %v", e, err)
	}
}
