package hub_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// sink is a stream without a transport that takes whatever it is sent at once.
type sink struct {
	grpc.ServerStream
	ctx   context.Context // what a grpc.ServerStream is
	hello []byte          // until it was said
	left  *atomic.Int64   // updates that are on their way, over all sinks
	done  chan struct{}   // told when there are none
	last  mem.BufferSlice // update
}

func (s *sink) Context() context.Context { return s.ctx }

func (s *sink) RecvMsg(m any) error {
	if s.hello == nil {
		<-s.ctx.Done()
		return s.ctx.Err()
	}
	data := s.hello
	s.hello = nil
	return m.(interface {
		DecodeWire(mem.BufferSlice) error
	}).DecodeWire(mem.BufferSlice{mem.SliceBuffer(data)})
}

func (s *sink) SendMsg(m any) error {
	if e, ok := m.(interface{ Wire() mem.BufferSlice }); ok {
		s.last = e.Wire()
		if s.left.Add(-1) == 0 {
			s.done <- struct{}{}
		}
	}
	return nil
}

func (s *sink) Send(m *syncv1.StreamResponse) error { return s.SendMsg(m) }

func (s *sink) Recv() (*syncv1.StreamRequest, error) { panic("the hub does not use it") }

// BenchmarkSubscribers is the hub alone, without gRPC: what a stream takes in memory, its
// two goroutines included, and what it costs to hand each a change of 1 KiB.
func BenchmarkSubscribers(b *testing.B) {
	for _, shape := range []struct{ environments, streams int }{{1, 10_000}, {100, 100}, {10_000, 1}, {10_000, 10}} {
		b.Run(fmt.Sprintf("%dx%d", shape.environments, shape.streams), func(b *testing.B) {
			names := make([]string, shape.environments)
			for i := range names {
				names[i] = fmt.Sprintf("env-%05d", i)
			}
			bed := makeBed(b, hub.Options{Coalesce: -1}, 1<<20, names...)
			states := make([]*snapshot.Snapshot, len(names))
			for i, name := range names {
				states[i] = bed.publish(name, 1024, "a")
			}
			before := inUse()
			total := shape.environments * shape.streams
			var left atomic.Int64
			left.Store(int64(total))
			done := make(chan struct{}, 1)
			ctx, cancel := context.WithCancel(context.Background())
			var handlers sync.WaitGroup
			sinks := make([]*sink, 0, total)
			for i := range total {
				s := &sink{ctx: ctx, left: &left, done: done, hello: helloBytes(b, fmt.Sprint("f", i), names[i%len(names)])}
				sinks = append(sinks, s)
				handlers.Go(func() { _ = bed.hub.Stream(s) })
			}
			<-done
			memory := inUse() - before
			for b.Loop() {
				left.Store(int64(total))
				for i, name := range names {
					states[i] = bed.publish(name, 1024, "a")
				}
				<-done
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*total), "ns/delivery")
			b.ReportMetric(memory/float64(total), "B/stream")
			cancel()
			handlers.Wait()
			for i, s := range sinks {
				s.check(b, states[i%len(names)])
			}
		})
	}
}

func helloBytes(tb testing.TB, id, environment string) []byte {
	data, err := proto.Marshal(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: hello(id, environment)}})
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// check tells whether the last update led to the state.
func (s *sink) check(tb testing.TB, want *snapshot.Snapshot) {
	m := &syncv1.StreamResponse{}
	if err := proto.Unmarshal(s.last.Materialize(), m); err != nil {
		tb.Fatal(err)
	}
	if c, err := snapshot.CursorFromProto(m.GetUpdate().GetCommit().GetCursor()); err != nil || c != want.Cursor() {
		tb.Fatalf("a stream ended on %v (%v), want %v", c, err, want.Cursor())
	}
}

// inUse is what is used of heap and stacks, in bytes.
func inUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse)
}
