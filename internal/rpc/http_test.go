package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

func TestJSON(t *testing.T) {
	t.Parallel()
	var got *evaluationv1.EvaluateRequest
	impl := &service{evaluate: func(_ context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
		got = r
		return &evaluationv1.EvaluateResponse{
			FlagKey: r.GetFlagKey(), Value: &evaluationv1.EvaluateResponse_BoolValue{BoolValue: false}, Variant: "off",
		}, nil
	}}
	s := start(t, Options{}, impl, ServeOptions{})

	code, answer := s.post(evaluatePath, `{"environment":"production","flagKey":"new-checkout","context":{"targetingKey":"user-1","attributes":{"country":"CA"}}}`)
	if code != http.StatusOK || answer["boolValue"] != false || answer["variant"] != "off" || answer["flagKey"] != "new-checkout" {
		t.Errorf("answer: got %d %v", code, answer)
	}
	if got.GetEnvironment() != "production" || got.GetContext().GetTargetingKey() != "user-1" ||
		got.GetContext().GetAttributes().GetFields()["country"].GetStringValue() != "CA" {
		t.Errorf("request: got %v", got)
	}

	for _, c := range []struct {
		name, body string
		says       []string
	}{
		{"unknown field", `{"flagKye":"a"}`, []string{"tidegate.evaluation.v1.EvaluateRequest", `unknown field "flagKye"`}},
		{"unknown nested field", `{"context":{"key":"a"}}`, []string{`unknown field "key"`}},
		{"truncated", `{"flagKey":`, []string{"unexpected"}},
		{"not JSON", `flagKey=a`, []string{"invalid value"}},
		{"wrong type", `{"flagKey":7}`, []string{"flagKey"}},
		{"two values", `{} {}`, []string{"unexpected token"}},
		{"empty", ``, []string{"zero-length"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, answer := s.post(evaluatePath, c.body)
			if code != http.StatusBadRequest || answer["code"] != "invalid_argument" {
				t.Fatalf("got %d %v, want 400 invalid_argument", code, answer)
			}
			for _, want := range c.says {
				if text := fmt.Sprint(answer["message"]); !strings.Contains(text, want) || strings.ContainsRune(text, '\u00a0') {
					t.Errorf("message %q does not say %q", text, want)
				}
			}
		})
	}
}

func TestHTTPGet(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, failing(), ServeOptions{})
	query := url.Values{"connect": {"v1"}, "encoding": {"json"}, "message": {`{"flagKey":"a"}`}}
	resp, err := s.http.Get(s.url + evaluatePath + "?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"flagKey"`) {
		t.Errorf("got %s %s", resp.Status, body)
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, failing(), ServeOptions{})
	for _, c := range []struct {
		header []string
		want   int
	}{
		{nil, http.StatusOK},
		{[]string{"Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		{[]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{[]string{"Origin", "https://elsewhere.example"}, http.StatusForbidden},
		{[]string{"Origin", s.url}, http.StatusOK},
	} {
		if code, answer := s.post(evaluatePath, `{"flagKey":"a"}`, c.header...); code != c.want {
			t.Errorf("%v: got %d %v, want %d", c.header, code, answer, c.want)
		}
	}
}

func TestUnknownMethod(t *testing.T) {
	t.Parallel()
	s := start(t, Options{}, failing(), ServeOptions{})
	if code, answer := s.post("/tidegate.evaluation.v1.EvaluationService/Nope", `{}`); code != http.StatusNotImplemented {
		t.Errorf("unknown method: got %d %v", code, answer)
	}
	if code, answer := s.post("/tidegate.Nope/Evaluate", `{}`); code != http.StatusNotFound {
		t.Errorf("unknown service: got %d %v", code, answer)
	}
}

// A caller that never sends what it announced does not hold a handler for ever.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Timeout: 50 * time.Millisecond}, failing(), ServeOptions{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", evaluatePath)
	answer, err := io.ReadAll(conn) // until the server closes
	if err != nil || bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
		t.Errorf("got %q, %v", answer, err)
	}
}

// Details and metadata go over the bridge as they go over gRPC.
func TestDetailsAndMetadata(t *testing.T) {
	t.Parallel()
	impl := &service{evaluate: func(ctx context.Context, _ *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
		in, _ := metadata.FromIncomingContext(ctx)
		if err := grpc.SetHeader(ctx, metadata.Pairs("x-header", in.Get("x-in")[0], "x-bytes-bin", in.Get("x-bytes-bin")[0])); err != nil {
			return nil, err
		}
		if err := grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "t")); err != nil {
			return nil, err
		}
		return nil, Status(codes.Unavailable, "later", &errdetails.RetryInfo{RetryDelay: durationpb.New(1e9)})
	}}
	s := start(t, Options{}, impl, ServeOptions{})
	conn, err := grpc.NewClient(strings.TrimPrefix(s.url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	for name, client := range map[string]evaluationv1.EvaluationServiceClient{
		"gRPC": s.client, "gRPC on the HTTP address": evaluationv1.NewEvaluationServiceClient(conn),
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-in", "in", "x-bytes-bin", "\x00\xff")
		var header, trailer metadata.MD
		_, err := client.Evaluate(ctx, &evaluationv1.EvaluateRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
		st := status.Convert(err)
		if st.Code() != codes.Unavailable || st.Message() != "later" || len(st.Details()) != 1 {
			t.Fatalf("%s: got %v %v", name, err, st.Details())
		}
		if d, ok := st.Details()[0].(*errdetails.RetryInfo); !ok || d.GetRetryDelay().AsDuration() != 1e9 {
			t.Errorf("%s: detail %v", name, st.Details()[0])
		}
		all := metadata.Join(header, trailer) // an answer without a message may have trailers only
		for k, want := range map[string]string{"x-header": "in", "x-bytes-bin": "\x00\xff", "x-trailer": "t"} {
			if v := all.Get(k); len(v) != 1 || v[0] != want {
				t.Errorf("%s: metadata %s: got %q, want %q", name, k, v, want)
			}
		}
	}
}

// A server stream over plain HTTP/1.1 with JSON: what a browser gets.
func TestHTTPStream(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	impl := &service{watch: func(r *evaluationv1.WatchRequest, ss grpc.ServerStreamingServer[evaluationv1.WatchResponse]) error {
		defer close(gone)
		for i := range int64(3) {
			if err := ss.Send(&evaluationv1.WatchResponse{EnvironmentRevision: i + int64(len(r.GetKeyPrefix()))}); err != nil {
				return err
			}
		}
		<-ss.Context().Done()
		return ss.Context().Err()
	}}
	s := start(t, Options{}, impl, ServeOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/tidegate.evaluation.v1.EvaluationService/Watch", bytes.NewReader(envelope(`{"keyPrefix":"new"}`)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/connect+json")
	resp, err := s.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for i := range 3 {
		var m struct{ EnvironmentRevision string }
		if err := json.Unmarshal(readEnvelope(t, resp.Body), &m); err != nil || m.EnvironmentRevision != fmt.Sprint(3+i) {
			t.Fatalf("message %d: got %+v, %v", i, m, err)
		}
	}
	cancel()
	<-gone // the handler sees that the caller went away
}

func envelope(body string) []byte {
	out := make([]byte, 5, 5+len(body))
	binary.BigEndian.PutUint32(out[1:], uint32(len(body)))
	return append(out, body...)
}

func readEnvelope(t *testing.T, r io.Reader) []byte {
	t.Helper()
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(r, body); err != nil {
		t.Fatal(err)
	}
	return body
}
