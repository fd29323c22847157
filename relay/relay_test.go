package relay

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/statefile"
)

// TestRelay is the life of a relay: it follows, answers over gRPC and HTTP, outlives its
// upstream, and starts without it.
func TestRelay(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	p.put(staging, boolFlag("s"))
	p.put(production, boolFlag("a", "Canada"))
	upstream, stopUpstream := p.serve()
	o := options(upstream, production, staging)
	o.StateDir = t.TempDir()
	loaded := make(chan struct{})
	o.Loaded = func() { close(loaded) } // once, or it panics
	r, stop := startReady(t, o, p.revision)
	<-loaded
	o.Loaded = nil
	evaluate := func(r *Relay, environment, key string) *evaluationv1.EvaluateResponse {
		t.Helper()
		a, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{Environment: environment, FlagKey: key, Context: canada(t)})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := evaluate(r, "", "a"); !a.GetBoolValue() || a.GetRule() != "country" {
		t.Errorf("the default environment: %v", a)
	}
	if a := evaluate(r, staging, "s"); !a.GetBoolValue() {
		t.Errorf("staging: %v", a)
	}
	requireJSON(t, r)

	watch, err := client(t, r).Watch(t.Context(), &evaluationv1.WatchRequest{Context: canada(t)})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || summary(m) != "a=on" {
		t.Fatalf("watch: %v, %v", m, err)
	}
	p.put(production, boolFlag("a", "Chile"))
	if m, err := watch.Recv(); err != nil || summary(m) != "a=off" || m.GetEnvironmentRevision() != p.revision {
		t.Fatalf("watch: %v, %v", m, err)
	}

	stopUpstream()
	if a := evaluate(r, production, "a"); a.GetVariant() != "off" {
		t.Errorf("without the upstream: %v", a)
	}
	stop()
	if _, err := watch.Recv(); err == nil {
		t.Error("the watch did not end with the relay")
	}

	again, stopAgain := start(t, o)
	a := evaluate(again, production, "a")
	if a.GetVariant() != "off" || a.GetEnvironmentRevision() != p.revision || a.GetAge().AsDuration() <= 0 {
		t.Errorf("from disk: %v, want revision %d", a, p.revision)
	}
	if id := r.instanceID; again.instanceID != id {
		t.Errorf("instance %s, then %s", id, again.instanceID)
	}
	if ready := again.readiness(); !ready.Ready || ready.Upstream.Connected {
		t.Errorf("from disk: %+v, want ready, not connected", ready)
	}
	stopAgain()

	// A new upstream, at a new address, goes on from where the relay is.
	p.put(production, boolFlag("a"))
	o.Upstreams[0], _ = p.serve()
	o.Registry = nil
	back, _ := startReady(t, o, p.revision)
	if a := evaluate(back, production, "a"); a.GetVariant() != "on" || a.GetReason() != "STATIC" {
		t.Errorf("with the upstream back: %v", a)
	}
}

// requireJSON asks as curl would.
func requireJSON(t *testing.T, r *Relay) {
	t.Helper()
	const body = `{"environment":"production","flagKey":"a","context":{"targetingKey":"user-1","attributes":{"country":"Canada"}}}`
	code, text := post(t, "http://"+r.HTTPAddr()+"/tidegate.evaluation.v1.EvaluationService/Evaluate", body)
	var answer struct {
		BoolValue bool
		Reason    string
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || code != http.StatusOK || !answer.BoolValue || answer.Reason != "TARGETING_MATCH" {
		t.Errorf("over HTTP: %d %s (%v)", code, text, err)
	}
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	return do(t, request)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, request)
}

func do(t *testing.T, request *http.Request) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestChain: a relay is another's upstream.
func TestChain(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	first, _ := startReady(t, options(upstream, production), p.revision)
	second, _ := startReady(t, options(first.GRPCAddr(), production), p.revision)
	p.put(production, boolFlag("a", "Canada"))
	waitRevision(t, second, p.revision)
	a, err := client(t, second).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a", Context: canada(t)})
	if err != nil || a.GetReason() != "TARGETING_MATCH" {
		t.Errorf("%v, %v", a, err)
	}
	if hops := len(second.origin.path()) - 1; hops != 2 {
		t.Errorf("%d hops, want 2", hops)
	}
}

func TestManagement(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	o := options(upstream, production)
	o.StateDir = t.TempDir()
	r, _ := startReady(t, o, p.revision)
	base := "http://" + r.ManagementAddr()
	if _, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a"}); err != nil {
		t.Fatal(err)
	}
	if code, text := get(t, base+"/healthz"); code != http.StatusOK || text != "ok\n" {
		t.Errorf("healthz: %d %q", code, text)
	}
	code, text := get(t, base+"/readyz")
	var ready readiness
	if err := json.Unmarshal([]byte(text), &ready); err != nil {
		t.Fatal(err)
	}
	if e := ready.Environments[0]; code != http.StatusOK || !ready.Ready || e.Environment != production || e.Revision != p.revision || e.Flags != 1 || e.AgeSeconds == nil {
		t.Errorf("readyz: %d %s", code, text)
	}
	_, text = get(t, base+"/metrics")
	for _, want := range []string{
		`tidegate_relay_evaluations_total{environment="production",reason="STATIC"} 1`,
		`tidegate_relay_snapshot_revision{environment="production"} 11`,
		`tidegate_relay_snapshot_age_seconds{environment="production"}`,
		`tidegate_relay_snapshot_items{environment="production",kind="flag"} 1`,
		"tidegate_follower_connected 1", "tidegate_relay_ready 1", "tidegate_relay_state_behind_environments 0",
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	health := healthv1.NewHealthClient(dial(t, r.GRPCAddr()))
	eventually(t, "SERVING", func() bool {
		h, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err == nil && h.GetStatus() == healthv1.HealthCheckResponse_SERVING
	})
}

// nowhere is an address at which nothing listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func TestNothingToServe(t *testing.T) {
	t.Parallel()
	r, _ := start(t, options(nowhere(t), production))
	_, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a"})
	requireStatus(t, err, codes.Unavailable, "nothing came from upstream yet")
	code, text := get(t, "http://"+r.ManagementAddr()+"/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(text, `"environment": "production"`) || !strings.Contains(text, "nothing came from upstream") {
		t.Errorf("readyz: %d %s", code, text)
	}
	eventually(t, "NOT_SERVING", func() bool {
		h, err := r.server.Health.Check(t.Context(), &healthv1.HealthCheckRequest{})
		return err == nil && h.GetStatus() == healthv1.HealthCheckResponse_NOT_SERVING
	})
}

// TestTooStale: it answers, and says that it is not ready.
func TestTooStale(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	upstream, stopUpstream := p.serve()
	o := options(upstream, production)
	o.MaxStale = time.Nanosecond
	r, _ := startReady(t, o, p.revision)
	stopUpstream()
	if a, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a"}); err != nil || !a.GetBoolValue() {
		t.Errorf("%v, %v", a, err)
	}
	if ready := r.readiness(); ready.Ready || !strings.Contains(ready.Environments[0].Reason, "the limit is 1ns") {
		t.Errorf("%+v", ready)
	}
}

// TestDrain: long calls end with UNAVAILABLE, at once, over gRPC and over HTTP.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		address func(*Relay) string
	}{{"gRPC", (*Relay).GRPCAddr}, {"HTTP", (*Relay).HTTPAddr}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPublisher(t, production)
			p.put(production, boolFlag("a"))
			upstream, _ := p.serve()
			o := options(upstream, production)
			o.Drain = time.Hour // nothing may wait for it
			r, stop := startReady(t, o, p.revision)
			c := evaluationv1.NewEvaluationServiceClient(dial(t, c.address(r)))
			watch, err := c.Watch(t.Context(), &evaluationv1.WatchRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := watch.Recv(); err != nil {
				t.Fatal(err)
			}
			stream, err := c.EvaluateStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(&evaluationv1.EvaluateStreamRequest{Request: &evaluationv1.EvaluateRequest{FlagKey: "a"}}); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			stop()
			_, err = watch.Recv()
			requireStatus(t, err, codes.Unavailable, "shutting down")
			_, err = stream.Recv()
			requireStatus(t, err, codes.Unavailable, "shutting down")
		})
	}
}

// TestStateProblems: whatever is wrong with the disk, an upstream is enough.
func TestStateProblems(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string) (stateDir string)
		metric  string
	}{
		{"garbage", func(t *testing.T, dir string) string {
			if err := os.WriteFile(filepath.Join(dir, "production.snapshot"), []byte("garbage"), 0o600); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "tidegate_relay_state_set_aside_total 1"},
		{"no directory", func(t *testing.T, dir string) string {
			file := filepath.Join(dir, "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return file
		}, "tidegate_relay_state_unusable 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options(upstream, production)
			o.StateDir = c.prepare(t, t.TempDir())
			r, _ := startReady(t, o, 11)
			if _, text := get(t, "http://"+r.ManagementAddr()+"/metrics"); !strings.Contains(text, c.metric) {
				t.Errorf("metrics lack %s", c.metric)
			}
		})
	}
}

func TestStateDirInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := statefile.Open(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	o := options("127.0.0.1:1", production)
	o.StateDir = dir
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("open: %v, want who uses the directory", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenAndClose(t *testing.T) {
	t.Parallel()
	o := options("127.0.0.1:1", production)
	r, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	taken := options("127.0.0.1:1", production)
	taken.HTTPAddr = r.HTTPAddr()
	if _, err := Open(t.Context(), taken); err == nil || !strings.Contains(err.Error(), "HTTP address") {
		t.Errorf("a port that is taken: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(ctx); err != nil {
		t.Errorf("run that is to end at once: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	valid := func() *Options {
		return (&Options{Upstreams: []string{"a:1", "[::1]:1", "dns:///a:1", "unix:///a"}, Environments: []string{"e"}}).EnsureDefaults()
	}
	if err := valid().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Upstreams = nil }, "no upstream"},
		{func(o *Options) { o.Upstreams = []string{""} }, `upstream ""`},
		{func(o *Options) { o.Upstreams = []string{"localhost"} }, `upstream "localhost": want HOST:PORT`},
		{func(o *Options) { o.Upstreams = []string{"http://a:1"} }, `upstream "http://a:1": want HOST:PORT`},
		{func(o *Options) { o.Environments = nil }, "no environment"},
		{func(o *Options) { o.Environments = []string{"a", " b"} }, `environment " b": want a name`},
		{func(o *Options) { o.Environments = []string{"a", "a"} }, `environment "a" is named twice`},
		{func(o *Options) { o.HTTPAddr = "8016" }, `HTTP address "8016": want HOST:PORT`},
		{func(o *Options) { o.FlagdSyncAddr = "8015" }, `flagd sync address "8015": want HOST:PORT`},
		{func(o *Options) { o.CORSOrigins = []string{"*", "shop.example"} }, `origin "shop.example": want scheme://host`},
		{func(o *Options) { o.OFREPRateLimit = -1 }, "OFREP rate limit -1"},
		{func(o *Options) { o.MaxStale = -1 }, "max stale"},
		{func(o *Options) { o.Drain = -1 }, "drain"},
	} {
		o := valid()
		c.change(o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
