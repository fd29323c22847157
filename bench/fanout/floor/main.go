// Command floor is beside what bench/fanout puts a control server: a bare grpc-go server
// with default options that sends the same bytes to all streams, from one goroutine a
// stream, and knows nothing of flags.
//
//	floor -addr 127.0.0.1:9000 -http-addr 127.0.0.1:9001
//
// POST /greeting sets the message that each stream gets after its first, POST /publish
// sends one over all streams; GET /metrics collects garbage first.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:9000", "listening address for gRPC")
	httpAddr := flag.String("http-addr", "127.0.0.1:9001", "listening address for HTTP")
	flag.Parse()
	if err := serve(*addr, *httpAddr); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func serve(addr, httpAddr string) error {
	f := &floor{greets: make(chan struct{})}
	f.last.Store(&node{left: make(chan struct{})})
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(verbatim{}), grpc.MaxConcurrentStreams(1000))
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "tidegate.sync.v1.SyncService", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "Stream", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return f.stream(stream) },
		}},
	}, f)
	ended := make(chan error, 2)
	go func() { ended <- s.Serve(l) }()
	h := &http.Server{Addr: httpAddr, Handler: f.handler(), ReadHeaderTimeout: time.Minute}
	go func() { ended <- h.ListenAndServe() }()
	return <-ended
}

// floor is a list of messages, of which each stream is at one.
type floor struct {
	greeting atomic.Pointer[mem.SliceBuffer]
	greets   chan struct{} // closed with the first greeting
	last     atomic.Pointer[node]
}

// node is a place in the list; when it was left, next is there.
type node struct {
	left    chan struct{}
	next    *node
	message mem.SliceBuffer // of next
}

func (f *floor) handler() http.Handler {
	mux := http.NewServeMux()
	receive := func(take func(mem.SliceBuffer)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			take(b)
		}
	}
	mux.HandleFunc("POST /greeting", receive(func(b mem.SliceBuffer) {
		if f.greeting.Swap(&b) == nil {
			close(f.greets)
		}
	}))
	mux.HandleFunc("POST /publish", receive(func(b mem.SliceBuffer) {
		at := f.last.Load() // there is one publisher
		at.next, at.message = &node{left: make(chan struct{})}, b
		f.last.Store(at.next)
		close(at.left)
	}))
	metrics := promhttp.Handler()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		for range 3 { // what is pooled is let go of with the second
			runtime.GC()
		}
		metrics.ServeHTTP(w, r)
	})
	return mux
}

func (f *floor) stream(s grpc.ServerStream) error {
	if err := s.RecvMsg(nil); err != nil {
		return err
	}
	select {
	case <-f.greets:
	case <-s.Context().Done():
		return s.Context().Err()
	}
	at := f.last.Load()
	if err := s.SendMsg(*f.greeting.Load()); err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() {
		for {
			if err := s.RecvMsg(nil); err != nil {
				received <- err
				return
			}
		}
	}()
	for {
		select {
		case <-at.left:
			if err := s.SendMsg(at.message); err != nil {
				return err
			}
			at = at.next
		case err := <-received:
			return err
		}
	}
}

// verbatim is a codec of bytes.
type verbatim struct{}

// Name implements encoding.CodecV2.
func (verbatim) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (verbatim) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(mem.SliceBuffer)
	if !ok {
		return nil, errors.New("it sends bytes only")
	}
	return mem.BufferSlice{b}, nil
}

// Unmarshal implements encoding.CodecV2.
func (verbatim) Unmarshal(data mem.BufferSlice, _ any) error {
	_ = data.Len() // nobody reads it
	return nil
}
