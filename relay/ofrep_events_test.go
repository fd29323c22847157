package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sse is an open stream of events.
type sse struct {
	t      *testing.T
	lines  *bufio.Scanner
	header http.Header
}

// openSSE connects as a browser does.
func openSSE(t *testing.T, url string, headers ...string) *sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, resp.Status)
	}
	return &sse{t, bufio.NewScanner(resp.Body), resp.Header}
}

// block returns the fields up to the next empty line; nil at the end.
func (s *sse) block() map[string]string {
	s.t.Helper()
	block := map[string]string{}
	for s.lines.Scan() {
		line := s.lines.Text()
		if line == "" {
			return block
		}
		name, value, _ := strings.Cut(line, ": ")
		block[name] = value
	}
	if len(block) > 0 {
		s.t.Errorf("half an event: %v", block)
	}
	return nil
}

// refetch requires the next block to be the event, and returns its id.
func (s *sse) refetch() string {
	s.t.Helper()
	b := s.block()
	var data struct {
		Type, Etag   string
		LastModified int64
	}
	if err := json.Unmarshal([]byte(b["data"]), &data); err != nil || b["event"] != "message" {
		s.t.Fatalf("event %v: %v", b, err)
	}
	if data.Type != "refetchEvaluation" || data.Etag == "" || data.Etag != b["id"] || data.LastModified == 0 {
		s.t.Errorf("event %v", b)
	}
	return b["id"]
}

// TestOFREPEvents is the life of event streams over HTTP.
func TestOFREPEvents(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	r, stop := startReady(t, options(upstream, production, staging), p.revision)
	url := "http://" + r.HTTPAddr() + ofrepSSEPath
	s := openSSE(t, url+"?environment=production")
	if s.header.Get("Content-Type") != "text/event-stream" || s.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", s.header)
	}
	if b := s.block(); b["retry"] != "2000" {
		t.Errorf("first %v, want the time to wait", b)
	}
	// What changed between the bulk evaluation and now would be missed.
	first := s.refetch()
	other := openSSE(t, url, "Flagd-Selector", "flagSetId=staging")
	other.block()
	elsewhere := other.refetch()

	p.put(production, boolFlag("b"))
	second := s.refetch()
	if second == first || elsewhere == first {
		t.Errorf("states %s, %s, elsewhere %s", first, second, elsewhere)
	}
	// Who comes back is told what was missed, and only that.
	missed := openSSE(t, url, "Last-Event-ID", first)
	missed.block()
	if id := missed.refetch(); id != second {
		t.Errorf("after a break: %s, want %s", id, second)
	}
	current := openSSE(t, url, "Last-Event-ID", second)
	current.block()
	p.put(production, boolFlag("c"))
	third := current.refetch()
	if third == second || s.refetch() != third || missed.refetch() != third {
		t.Errorf("third state %s", third)
	}
	streams := &r.evaluation.environments[0].streams[streamSSE]
	if n := streams.Load(); n != 3 {
		t.Errorf("%d streams are counted, want 3", n)
	}
	stop()
	for name, ended := range map[string]*sse{"s": s, "other": other, "missed": missed, "current": current} {
		if b := ended.block(); b != nil || ended.lines.Err() != nil {
			t.Errorf("%s: after the end %v, %v; want a polite one", name, b, ended.lines.Err())
		}
	}
	if n := streams.Load(); n != 0 {
		t.Errorf("%d streams are counted after the end", n)
	}
}

// written is a response writer that keeps what was written, and when.
type written struct {
	header http.Header
	begin  time.Time
	at     []string
}

func (w *written) Header() http.Header { return w.header }
func (w *written) WriteHeader(int)     {}
func (w *written) Flush()              {}

func (w *written) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			w.at = append(w.at, time.Since(w.begin).String()+" "+line)
		}
	}
	return len(b), nil
}

// With nothing to say, a comment every 20 seconds keeps the connection alive.
func TestOFREPEventsIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, production, staging)
		h := newOFREPHandler(service(p), 0)
		w := &written{header: http.Header{}, begin: time.Now()}
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, ofrepSSEPath, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Last-Event-ID", stateOf(p.replicas.Replica(production).Snapshot()))
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(w, r)
		}()
		time.Sleep(30 * time.Second)
		p.put(staging, boolFlag("elsewhere")) // another revision, the same state
		p.put(production, boolFlag("a"))
		time.Sleep(25 * time.Second)
		cancel()
		<-done
		got := slices.DeleteFunc(w.at, func(line string) bool { return strings.Contains(line, "id: ") || strings.Contains(line, "data: ") })
		want := []string{"0s retry: 2000", "20s : keep-alive", "30s event: message", "50s : keep-alive"}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A browser's EventSource never comes back after a status other than 200: before there is
// anything to evaluate, as after a restart without state, the stream waits.
func TestOFREPEventsBeforeTheFirst(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, staging)
	upstream, _ := p.serve()
	r, _ := start(t, options(upstream, production))
	s := openSSE(t, "http://"+r.HTTPAddr()+ofrepSSEPath)
	if b := s.block(); b["retry"] == "" {
		t.Errorf("first %v, want the time to wait", b)
	}
	q := newPublisher(t, production)
	q.put(production, boolFlag("a"))
	first := q.replicas.Replica(production).Snapshot()
	if err := r.replicas.Replica(production).Publish(first, first.Full()); err != nil {
		t.Fatal(err)
	}
	if got := s.refetch(); got != stateOf(first) {
		t.Errorf("told of %s, want %s", got, stateOf(first))
	}
}

// What calls hand on to each other may be large, and a stream lasts.
func TestOFREPEventsMemory(t *testing.T) {
	t.Parallel()
	h := newOFREPHandler(service(newPublisher(t, production)), 0)
	h.calls.New = func() any {
		t.Error("a stream took a call's memory")
		return &ofrepCall{handler: h}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, ofrepSSEPath, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(&written{header: http.Header{}, begin: time.Now()}, r)
}
