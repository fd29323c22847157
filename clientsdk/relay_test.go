package clientsdk_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// fakeRelay serves EvaluationService as evaluation.proto says, from flags that the test
// sets, and fails as the test wants.
type fakeRelay struct {
	evaluationv1.UnimplementedEvaluationServiceServer
	t         testing.TB
	addr      string
	server    *grpc.Server
	done      chan struct{}
	telemetry *fakeTelemetry

	mu       sync.Mutex
	env      *eval.Environment
	revision int64
	changed  chan struct{} // closed at the next change
	drain    chan struct{} // closed to end the streams
	stale    bool          // answers are older than asked for
	intercept
	watches []*evaluationv1.WatchRequest // those whose first answers were sent
}

// intercept, if set, is asked before each evaluation.
type intercept func(ctx context.Context, r *evaluationv1.EvaluateRequest) error

func newFakeRelay(t testing.TB, flags ...*flagv1.Flag) *fakeRelay {
	t.Helper()
	f := &fakeRelay{t: t, addr: "127.0.0.1:0", changed: make(chan struct{}), drain: make(chan struct{}), telemetry: newFakeTelemetry(t)}
	f.put(flags...)
	f.start()
	t.Cleanup(f.kill)
	return f
}

func (f *fakeRelay) start() {
	f.t.Helper()
	l, err := net.Listen("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.addr = l.Addr().String()
	f.server = grpc.NewServer()
	evaluationv1.RegisterEvaluationServiceServer(f.server, f)
	telemetryv1.RegisterTelemetryServiceServer(f.server, f.telemetry)
	server, done := f.server, make(chan struct{})
	f.done = done
	go func() { defer close(done); _ = server.Serve(l) }()
}

func (f *fakeRelay) kill() {
	if f.server != nil {
		f.server.Stop()
		<-f.done
		f.server = nil
	}
}

// put sets flags at the next revision.
func (f *fakeRelay) put(flags ...*flagv1.Flag) { f.change(flags, nil) }

func (f *fakeRelay) change(flags []*flagv1.Flag, deleted []string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revision++
	c := eval.Changes{DeletedFlags: deleted}
	for _, definition := range flags {
		compiled, err := eval.Compile(definition, f.revision)
		if err != nil {
			f.t.Fatal(err)
		}
		c.Flags = append(c.Flags, compiled)
	}
	f.env = f.env.With(c)
	close(f.changed)
	f.changed = make(chan struct{})
}

// set changes how the relay behaves.
func (f *fakeRelay) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// endStreams ends the streams that are open, as a relay that drains does.
func (f *fakeRelay) endStreams() {
	f.set(func() {
		close(f.drain)
		f.drain = make(chan struct{})
	})
}

// watched are the keys of the newest watch.
func (f *fakeRelay) watched() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watches) == 0 {
		return nil
	}
	return f.watches[len(f.watches)-1].GetFlagKeys()
}

func (f *fakeRelay) Evaluate(ctx context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
	f.mu.Lock()
	before, stale := f.intercept, f.stale && r.GetStalePolicy() == evaluationv1.StalePolicy_STALE_POLICY_ANSWER
	f.mu.Unlock()
	if before != nil {
		if err := before(ctx, r); err != nil {
			return nil, err
		}
	}
	if r.GetEnvironment() != production {
		return nil, status.Errorf(codes.NotFound, "environment %q is not followed here", r.GetEnvironment())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.answer(r.GetFlagKey(), r.GetContext(), r.GetExpectedType())
	out.Age = durationpb.New(5)
	if stale && out.GetErrorCode() == "" {
		out.Reason, out.Age = string(eval.ReasonStale), r.GetMaxAge()
	}
	return out, nil
}

func (f *fakeRelay) answer(key string, ec *evaluationv1.EvaluationContext, want flagv1.ValueType) *evaluationv1.EvaluateResponse {
	result := f.env.Evaluate(key, &eval.Context{
		TargetingKey: ec.GetTargetingKey(), Attributes: eval.Map(ec.GetAttributes().AsMap()),
	}).As(want)
	out := &evaluationv1.EvaluateResponse{
		FlagKey: key, Reason: string(result.Reason), Rule: result.Rule, EnvironmentRevision: f.revision,
		ErrorCode: string(result.ErrorCode), ErrorMessage: result.ErrorMessage(),
	}
	if result.Flag != nil {
		out.FlagRevision = result.Flag.Revision()
		out.FlagMetadata = result.Flag.Metadata()
	}
	if v := result.Variant; v != nil {
		out.Variant = v.Name
		switch v.Value.Type {
		case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
			out.Value = &evaluationv1.EvaluateResponse_BoolValue{BoolValue: v.Value.Bool}
		case flagv1.ValueType_VALUE_TYPE_STRING:
			out.Value = &evaluationv1.EvaluateResponse_StringValue{StringValue: v.Value.String}
		case flagv1.ValueType_VALUE_TYPE_INTEGER:
			out.Value = &evaluationv1.EvaluateResponse_IntValue{IntValue: v.Value.Int}
		case flagv1.ValueType_VALUE_TYPE_DOUBLE:
			out.Value = &evaluationv1.EvaluateResponse_DoubleValue{DoubleValue: v.Value.Double}
		case flagv1.ValueType_VALUE_TYPE_OBJECT:
			out.Value = &evaluationv1.EvaluateResponse_ObjectValue{ObjectValue: v.Value.Proto}
		}
	}
	return out
}

func (f *fakeRelay) EvaluateStream(stream grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]) error {
	f.mu.Lock()
	drain := f.drain
	f.mu.Unlock()
	requests, ended := make(chan *evaluationv1.EvaluateStreamRequest), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- m:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case <-drain:
			return nil
		case <-ended:
			return nil
		case m := <-requests:
			out := &evaluationv1.EvaluateStreamResponse{Id: m.GetId()}
			if r, err := f.Evaluate(stream.Context(), m.GetRequest()); err != nil {
				s := status.Convert(err)
				out.Result = &evaluationv1.EvaluateStreamResponse_Error{
					Error: &evaluationv1.EvaluateError{Code: int32(s.Code()), Message: s.Message()},
				}
			} else {
				out.Result = &evaluationv1.EvaluateStreamResponse_Response{Response: r}
			}
			if err := stream.Send(out); err != nil {
				return err
			}
		}
	}
}

func (f *fakeRelay) Watch(r *evaluationv1.WatchRequest, stream grpc.ServerStreamingServer[evaluationv1.WatchResponse]) error {
	f.mu.Lock()
	drain := f.drain
	f.mu.Unlock()
	sent := map[string]*evaluationv1.EvaluateResponse{}
	for first := true; ; first = false {
		f.mu.Lock()
		m, changed := f.changes(r, sent), f.changed
		f.mu.Unlock()
		if first || len(m.GetEvaluations()) > 0 {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		if first {
			f.set(func() { f.watches = append(f.watches, r) })
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-drain:
			return status.Error(codes.Unavailable, "draining")
		case <-changed:
		}
	}
}

// changes returns the answers that differ from those sent.
func (f *fakeRelay) changes(r *evaluationv1.WatchRequest, sent map[string]*evaluationv1.EvaluateResponse) *evaluationv1.WatchResponse {
	m := &evaluationv1.WatchResponse{EnvironmentRevision: f.revision, Age: durationpb.New(5)}
	keys := r.GetFlagKeys()
	if len(keys) == 0 {
		for _, flag := range f.env.Flags() {
			if strings.HasPrefix(flag.Key(), r.GetKeyPrefix()) {
				keys = append(keys, flag.Key())
			}
		}
	}
	for _, key := range keys {
		a := f.answer(key, r.GetContext(), flagv1.ValueType_VALUE_TYPE_UNSPECIFIED)
		a.EnvironmentRevision = 0
		compared := proto.CloneOf(a)
		compared.FlagRevision, compared.ErrorMessage = 0, ""
		if !proto.Equal(sent[key], compared) {
			sent[key] = compared
			m.Evaluations = append(m.Evaluations, a)
		}
	}
	return m
}
