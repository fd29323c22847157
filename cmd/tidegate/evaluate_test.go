package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

func answer(key string, v any) *evaluationv1.EvaluateResponse {
	a := &evaluationv1.EvaluateResponse{
		FlagKey: key, Variant: "v", Reason: "TARGETING_MATCH", Rule: "r", FlagRevision: 5, EnvironmentRevision: 9, Age: durationpb.New(1200 * time.Millisecond),
	}
	switch v := v.(type) {
	case bool:
		a.Value = &evaluationv1.EvaluateResponse_BoolValue{BoolValue: v}
	case string:
		a.Value = &evaluationv1.EvaluateResponse_StringValue{StringValue: v}
	case int:
		a.Value = &evaluationv1.EvaluateResponse_IntValue{IntValue: int64(v)}
	case float64:
		a.Value = &evaluationv1.EvaluateResponse_DoubleValue{DoubleValue: v}
	case *structpb.Struct:
		a.Value = &evaluationv1.EvaluateResponse_ObjectValue{ObjectValue: v}
	case error:
		return &evaluationv1.EvaluateResponse{FlagKey: key, Reason: "ERROR", ErrorCode: "FLAG_NOT_FOUND", ErrorMessage: v.Error()}
	}
	return a
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	object := &structpb.Struct{Fields: map[string]*structpb.Value{"model": structpb.NewStringValue("m-1")}}
	var asked *evaluationv1.EvaluateRequest
	f := &fakeServer{
		evaluate: func(r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
			asked = r
			if r.GetFlagKey() == "nope" {
				return answer("nope", io.ErrUnexpectedEOF), nil
			}
			return answer(r.GetFlagKey(), true), nil
		},
		evaluateAll: func(*evaluationv1.EvaluateAllRequest) (*evaluationv1.EvaluateAllResponse, error) {
			return &evaluationv1.EvaluateAllResponse{Evaluations: []*evaluationv1.EvaluateResponse{
				answer("bool", true), answer("double", 0.5), answer("int", 7), answer("none", nil), answer("nope", io.ErrUnexpectedEOF), answer("object", object), answer("text", "a\nb"),
			}}, nil
		},
	}
	address := f.start(t)
	for _, test := range []struct {
		args       string
		code       int
		out, error string
	}{
		{
			"a --key user-1 --attr country=Canada --attribute age:=30 --attribute tags:=[\"x\"] -e staging", exitOK,
			"a = true\n  variant      v\n  reason       TARGETING_MATCH\n  rule         r\n  flag         revision 5\n  environment  revision 9, confirmed current 1s ago\n", "",
		},
		{"nope", exitFailure, "", "error: nope: unexpected EOF (FLAG_NOT_FOUND)\n"},
		{
			"nope -o json", exitFailure,
			"{\n  \"flagKey\": \"nope\",\n  \"reason\": \"ERROR\",\n  \"errorCode\": \"FLAG_NOT_FOUND\",\n  \"errorMessage\": \"unexpected EOF\"\n}\n",
			"error: nope: unexpected EOF (FLAG_NOT_FOUND)\n",
		},
		{
			"--all", exitOK, `KEY     VALUE                   VARIANT  REASON           RULE
bool    true                    v        TARGETING_MATCH  r
double  0.5                     v        TARGETING_MATCH  r
int     7                       v        TARGETING_MATCH  r
none    (the caller's default)  v        TARGETING_MATCH  r
nope    unexpected EOF                   FLAG_NOT_FOUND
object  {"model":"m-1"}         v        TARGETING_MATCH  r
text    "a\nb"                  v        TARGETING_MATCH  r
`, "",
		},
	} {
		t.Run(test.args, func(t *testing.T) {
			args := append(append([]string{"evaluate"}, strings.Fields(test.args)...), "--server", address)
			code, out, stderr := execute(t.Context(), args...)
			if code != test.code || out != test.out || stderr != test.error {
				t.Errorf("got %d\n%s%s\nwant %d\n%s%s", code, out, stderr, test.code, test.out, test.error)
			}
		})
	}
	if _, _, stderr := execute(t.Context(), "evaluate", "a", "--key", "user-1", "--attr", "country=Canada", "--attribute", "age:=30", "-e", "staging", "--relay", address); stderr != "" {
		t.Fatal(stderr)
	}
	want := &evaluationv1.EvaluateRequest{
		Environment: "staging", FlagKey: "a", Context: &evaluationv1.EvaluationContext{TargetingKey: "user-1", Attributes: &structpb.Struct{
			Fields: map[string]*structpb.Value{"country": structpb.NewStringValue("Canada"), "age": structpb.NewNumberValue(30)},
		}},
	}
	if !proto.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

// syncBuffer is a buffer that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A watch shows what changes, is opened again when it breaks, and ends well when its
// user stops it.
func TestWatch(t *testing.T) {
	t.Parallel()
	streamsOpened := 0
	f := &fakeServer{watch: func(r *evaluationv1.WatchRequest, s grpc.ServerStreamingServer[evaluationv1.WatchResponse]) error {
		streamsOpened++
		if len(r.GetFlagKeys()) != 1 || r.GetFlagKeys()[0] != "a" {
			return status.Errorf(codes.InvalidArgument, "asked for %v", r.GetFlagKeys())
		}
		send := func(v any, revision int64) error {
			return s.Send(&evaluationv1.WatchResponse{EnvironmentRevision: revision, Evaluations: []*evaluationv1.EvaluateResponse{answer("a", v)}})
		}
		if streamsOpened == 1 {
			if err := send(true, 5); err != nil {
				return err
			}
			if err := send(false, 6); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "the relay drains")
		}
		if err := send(io.ErrUnexpectedEOF, 7); err != nil {
			return err
		}
		<-s.Context().Done()
		return s.Context().Err()
	}}
	address := f.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, stderr syncBuffer
	code := make(chan int)
	go func() {
		code <- run(ctx, &streams{in: strings.NewReader(""), out: &out, err: &stderr}, []string{"evaluate", "a", "--watch", "--relay", address})
	}()
	want := "= a = true  TARGETING_MATCH r  (revision 5)\n" +
		"~ a = false  TARGETING_MATCH r  (revision 6)\n" +
		"= a = unexpected EOF  FLAG_NOT_FOUND  (revision 7)\n"
	deadline := time.Now().Add(30 * time.Second)
	for out.String() != want && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if got := <-code; got != exitOK || out.String() != want {
		t.Errorf("exit code %d:\n%swant\n%s", got, out.String(), want)
	}
	if got := strings.ReplaceAll(stderr.String(), address, "RELAY"); got != "RELAY cannot answer: the relay drains; watching again\n" {
		t.Errorf("said %q", got)
	}
}

// A watch that never worked is an error at once.
func TestWatchFails(t *testing.T) {
	t.Parallel()
	code, out, stderr := execute(t.Context(), "evaluate", "a", "--watch", "--relay", "127.0.0.1:1")
	if code != exitFailure || out != "" || stderr != "error: no relay at 127.0.0.1:1: is it running? ('tidegate dev' starts everything)\n" {
		t.Errorf("%d %q %q", code, out, stderr)
	}
}
