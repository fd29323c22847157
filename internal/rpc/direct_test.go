package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// directRequest reads an EvaluateRequest and counts those that are in use.
type directRequest struct {
	evaluationv1.EvaluateRequest
	used *atomic.Int64
}

func (r *directRequest) DecodeWire(data mem.BufferSlice) error {
	return proto.Unmarshal(data.Materialize(), &r.EvaluateRequest)
}

func (r *directRequest) Free() { r.used.Add(-1) }

// startDirect serves Evaluate directly: the answer's variant is "direct", and large where
// the flag key says so.
func startDirect(t *testing.T) (s *running, used *atomic.Int64) {
	t.Helper()
	used = new(atomic.Int64)
	return startRegistering(t, Options{MapError: mapDomain}, ServeOptions{}, func(server *Server) {
		desc := &evaluationv1.EvaluationService_ServiceDesc
		newRequest := func() *directRequest { used.Add(1); return &directRequest{used: used} }
		server.RegisterDirect(desc, failing(), map[string]grpc.MethodHandler{
			"Evaluate": Direct(server, evaluatePath, newRequest, answerDirect),
		}, map[string]grpc.StreamHandler{
			"EvaluateStream": func(_ any, ss grpc.ServerStream) error { return ss.SendMsg(textReply("streamed")) },
		})
	}), used
}

func answerDirect(_ context.Context, r *directRequest, began time.Time) (*Reply, error) {
	switch key := r.GetFlagKey(); {
	case key == "panic":
		panic("secret of the handler")
	case key == "domain":
		return nil, fmt.Errorf("get: %w", errDomain)
	case key == "unexpected":
		return nil, errors.New("secret of the store")
	case time.Since(began) > time.Minute:
		return nil, errors.New("it began long ago")
	}
	return textReply(r.GetFlagKey()), nil
}

// textReply is an answer in pieces of 5,000 bytes, or in one.
func textReply(key string) *Reply {
	r := new(Reply)
	m := &evaluationv1.EvaluateResponse{FlagKey: key, Variant: "direct"}
	if len(key) < 100 {
		b, _ := proto.MarshalOptions{}.MarshalAppend(r.Room(), m) // of text
		r.Set(b)
		return r
	}
	b, _ := proto.Marshal(m) // of text
	var pieces mem.BufferSlice
	for len(b) > 0 {
		n := min(len(b), 5000)
		pieces = append(pieces, mem.Copy(b[:n], mem.DefaultBufferPool()))
		b = b[n:]
	}
	r.SetLarge(pieces)
	return r
}

func TestDirect(t *testing.T) {
	t.Parallel()
	s, used := startDirect(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), ActorKey, "ada")
	for _, c := range []struct {
		key  string
		code codes.Code
		text string
	}{
		{"fine", codes.OK, ""},
		{strings.Repeat("long", 10_000), codes.OK, ""},
		{"panic", codes.Internal, "internal error; the server's log says more"},
		{"unexpected", codes.Internal, "internal error; the server's log says more"},
		{"domain", codes.NotFound, "get: domain: nothing there"},
	} {
		got, err := s.client.Evaluate(ctx, &evaluationv1.EvaluateRequest{FlagKey: c.key})
		if st := status.Convert(err); st.Code() != c.code || st.Message() != c.text {
			t.Errorf("%.10s: got %v, want %v %q", c.key, err, c.code, c.text)
		}
		if err == nil && (got.GetFlagKey() != c.key || got.GetVariant() != "direct") {
			t.Errorf("%.10s: got %.100v", c.key, got)
		}
	}
	// What cannot be read is the transport's business, as for every method.
	err := s.conn.Invoke(ctx, evaluatePath, []byte{0xff}, new([]byte), grpc.ForceCodecV2(rawCodec{}))
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "unmarshal") {
		t.Errorf("garbage: got %v", err)
	}
	eventually(t, "all requests are free", func() bool { return used.Load() == 0 })

	eventually(t, "five calls are logged", func() bool { return len(s.log.lines(t, "call")) == 5 })
	for i, level := range []string{"debug", "debug", "warn", "warn", "info"} {
		if got := s.log.lines(t, "call")[i]; got["level"] != level || got["method"] != evaluatePath || got["actor"] != "ada" {
			t.Errorf("call %d is logged as %v, want %s", i, got, level)
		}
	}
	if n := len(s.log.lines(t, "panic in a handler")); n != 1 {
		t.Errorf("%d panics logged, want 1", n)
	}
	if got := handled(t, s); got["OK"] != 2 || got["Internal"] != 2 || got["NotFound"] != 1 || len(got) != 3 {
		t.Errorf("counted %v, want 2 OK, 2 Internal, 1 NotFound", got)
	}
}

// Over HTTP the generated methods answer; what is not direct does over gRPC too.
func TestDirectBesideGenerated(t *testing.T) {
	t.Parallel()
	s, _ := startDirect(t)
	if code, got := s.post(evaluatePath, `{"flagKey":"fine","context":{"targetingKey":"ada"}}`); code != 200 || got["variant"] != "ada" {
		t.Errorf("over HTTP: %d %v", code, got)
	}
	_, err := s.client.EvaluateAll(t.Context(), &evaluationv1.EvaluateAllRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("EvaluateAll: %v, want what the service says", err)
	}
	stream, err := s.client.EvaluateStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The reply is no EvaluateStreamResponse, but its bytes are well-formed.
	if _, err := stream.Recv(); err != nil {
		t.Errorf("the direct stream: %v", err)
	}
	if h := s.server.GRPC.GetServiceInfo()["tidegate.evaluation.v1.EvaluationService"]; len(h.Methods) != 4 {
		t.Errorf("the service has %d methods, want 4", len(h.Methods))
	}
}

// rawCodec sends bytes.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(m any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(m.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, m any) error {
	*m.(*[]byte) = bytes.Clone(data.Materialize())
	return nil
}
