package hub_test

import (
	"context"
	"io"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
)

// newPipeBed is newBed without a transport: each stream is a pair of channels, so that
// time may stand still, and there may be many. What is not read blocks the hub at once.
func newPipeBed(t testing.TB, o hub.Options, historyBytes int, environments ...string) *bed {
	b := makeBed(t, o, historyBytes, environments...)
	var handlers sync.WaitGroup
	b.dial = func(ctx context.Context) (clientStream, error) {
		ctx, cancel := context.WithCancel(ctx)
		p := &pipe{ctx: ctx, up: make(chan []byte, 1), down: make(chan []byte), over: make(chan struct{})}
		handlers.Go(func() {
			defer b.ended.Add(1)
			p.err = b.hub.Stream(pipeServer{pipe: p})
			close(p.over)
			cancel()
		})
		return pipeClient{pipe: p}, nil
	}
	t.Cleanup(handlers.Wait)
	return b
}

type pipe struct {
	ctx      context.Context // ends with the handler, as gRPC's does
	up, down chan []byte
	over     chan struct{} // closed when the handler has returned
	err      error         // what it returned
}

type pipeServer struct {
	grpc.ServerStream
	*pipe
}

func (p pipeServer) Context() context.Context { return p.ctx }

func (p pipeServer) SendMsg(m any) error {
	var data []byte
	if e, ok := m.(interface{ Wire() mem.BufferSlice }); ok {
		data = e.Wire()[0].ReadOnlyData()
	} else {
		var err error
		if data, err = proto.Marshal(m.(proto.Message)); err != nil {
			return err
		}
	}
	select {
	case p.down <- data:
		return nil
	case <-p.ctx.Done():
		return status.FromContextError(p.ctx.Err()).Err()
	}
}

func (p pipeServer) RecvMsg(m any) error {
	select {
	case data, ok := <-p.up:
		if !ok {
			return io.EOF
		}
		return m.(interface {
			DecodeWire(mem.BufferSlice) error
		}).DecodeWire(mem.BufferSlice{mem.SliceBuffer(data)})
	case <-p.ctx.Done():
		return status.FromContextError(p.ctx.Err()).Err()
	}
}

func (p pipeServer) Send(m *syncv1.StreamResponse) error { return p.SendMsg(m) }

func (p pipeServer) Recv() (*syncv1.StreamRequest, error) { panic("the hub does not use it") }

type pipeClient struct {
	grpc.ClientStream
	*pipe
}

func (p pipeClient) Send(m *syncv1.StreamRequest) error {
	data, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	select {
	case p.up <- data:
		return nil
	case <-p.over:
		return io.EOF
	}
}

func (p pipeClient) CloseSend() error {
	close(p.up)
	return nil
}

func (p pipeClient) Recv() (*syncv1.StreamResponse, error) {
	select {
	case data := <-p.down:
		m := &syncv1.StreamResponse{}
		return m, proto.Unmarshal(data, m)
	case <-p.over:
		if p.err == nil {
			return nil, io.EOF
		}
		return nil, p.err
	}
}
