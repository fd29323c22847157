package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers with what the test gave it.
type service struct {
	evaluationv1.UnimplementedEvaluationServiceServer
	evaluate func(context.Context, *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error)
	watch    func(*evaluationv1.WatchRequest, grpc.ServerStreamingServer[evaluationv1.WatchResponse]) error
	stream   func(grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]) error
}

func (s *service) Evaluate(ctx context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
	return s.evaluate(ctx, r)
}

func (s *service) Watch(r *evaluationv1.WatchRequest, ss grpc.ServerStreamingServer[evaluationv1.WatchResponse]) error {
	return s.watch(r, ss)
}

func (s *service) EvaluateStream(ss grpc.BidiStreamingServer[evaluationv1.EvaluateStreamRequest, evaluationv1.EvaluateStreamResponse]) error {
	return s.stream(ss)
}

// running is a server under test, and what speaks to it.
type running struct {
	t        *testing.T
	server   *Server
	conn     *grpc.ClientConn
	client   evaluationv1.EvaluationServiceClient
	url      string
	http     *http.Client
	log      *logBuffer
	registry *prometheus.Registry
	stop     context.CancelFunc
	stopped  chan error
}

func start(t *testing.T, o Options, impl *service, serve ServeOptions) *running {
	t.Helper()
	return startRegistering(t, o, serve, func(s *Server) { evaluationv1.RegisterEvaluationServiceServer(s, impl) })
}

func startRegistering(t *testing.T, o Options, serve ServeOptions, register func(*Server)) *running {
	t.Helper()
	r := &running{t: t, log: &logBuffer{}, registry: prometheus.NewRegistry(), stopped: make(chan error, 1)}
	o.Registerer = r.registry
	o.Logger = zerolog.New(r.log)
	r.server = NewServer(o)
	register(r.server)
	g, h := listen(t), listen(t)
	serve.GRPC = []net.Listener{g}
	serve.HTTP = []HTTPListener{{Listener: h, Handler: r.server.HTTPHandler()}}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.stopped <- r.server.Serve(ctx, serve) }()

	conn, err := grpc.NewClient(g.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	r.conn, r.client, r.url = conn, evaluationv1.NewEvaluationServiceClient(conn), "http://"+h.Addr().String()
	transport := &http.Transport{}
	r.http = &http.Client{Transport: transport}
	t.Cleanup(func() {
		conn.Close()
		transport.CloseIdleConnections()
		stop()
		if err := <-r.stopped; err != nil {
			t.Errorf("Serve: %v", err)
		}
		r.stopped <- nil
	})
	return r
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ended waits for Serve to return.
func (r *running) ended() error {
	r.t.Helper()
	select {
	case err := <-r.stopped:
		r.stopped <- nil
		return err
	case <-time.After(time.Minute):
		r.t.Fatal("Serve does not return")
		return nil
	}
}

// post sends JSON and returns the status and the decoded answer.
func (r *running) post(path, body string, header ...string) (int, map[string]any) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	answer := map[string]any{}
	if err := json.Unmarshal(data, &answer); err != nil {
		answer["text"] = string(data)
	}
	return resp.StatusCode, answer
}

const evaluatePath = "/tidegate.evaluation.v1.EvaluationService/Evaluate"

// logBuffer keeps what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(l.String()) {
		entry := map[string]any{}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if entry["message"] == message {
			out = append(out, entry)
		}
	}
	return out
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
