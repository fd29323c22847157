package attacks

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// stillServes demands that both processes answer.
func stillServes(t *testing.T, w *world, after string) {
	t.Helper()
	if a, b := w.list(w.as(t, "viewer")), w.evaluate(w.as(t, "sdk-client")); a != codes.OK || b != codes.OK {
		t.Errorf("after %s: the server answers %v, the relay %v", after, a, b)
	}
}

func oversized(t *testing.T, w *world) {
	large := strings.Repeat("x", 20<<20)
	_, err := controlv1.NewFlagServiceClient(w.conns["server"]).ListFlags(w.as(t, "viewer"), &controlv1.ListFlagsRequest{Environment: production, PageToken: large})
	if code := w.heard(err); code != codes.ResourceExhausted {
		t.Errorf("a message of 20 MiB at the server: %v", code)
	}
	_, err = evaluationv1.NewEvaluationServiceClient(w.conns["relay"]).Evaluate(w.as(t, "sdk-client"), &evaluationv1.EvaluateRequest{FlagKey: large})
	if code := w.heard(err); code != codes.ResourceExhausted {
		t.Errorf("a message of 20 MiB at the relay: %v", code)
	}
	if code := w.list(metadata.AppendToOutgoingContext(w.as(t, "viewer"), "x-large", large[:64<<10])); code == codes.OK {
		t.Error("metadata of 64 KiB is taken")
	}
	stillServes(t, w, "what is large over gRPC")

	deep := strings.Repeat("[", 200_000)
	viewer, client := "Bearer "+w.secrets["viewer"], "Bearer "+w.secrets["sdk-client"]
	for name, c := range map[string]struct{ addr, path, body, as string }{
		"a body of 20 MiB":           {w.server.HTTP, listFlags, `{"pageToken":"` + large + `"}`, viewer},
		"JSON that is deep":          {w.server.HTTP, listFlags, `{"environment":` + deep, viewer},
		"a login of 1 MiB":           {w.server.HTTP, "/auth/login", `{"name":"` + large[:1<<20] + `"}`, ""},
		"a login that is deep":       {w.server.HTTP, "/auth/login", deep[:8<<10], ""},
		"a context of 2 MiB":         {w.relay.HTTP, "/ofrep/v1/evaluate/flags/shown", `{"context":{"a":"` + large[:2<<20] + `"}}`, client},
		"a context that is deep":     {w.relay.HTTP, "/ofrep/v1/evaluate/flags", `{"context":{"a":` + deep, client},
		"a request that is deep":     {w.relay.HTTP, "/tidegate.evaluation.v1.EvaluationService/Evaluate", `{"context":{"attributes":{"a":` + deep, client},
		"a request to flagd, nested": {w.relay.HTTP, "/flagd.evaluation.v1.Service/ResolveAll", `{"context":{"a":` + deep, client},
	} {
		conn := post(t, c.addr, c.path, c.as, c.body)
		if conn == http.StatusOK || conn >= 500 {
			t.Errorf("%s: %d", name, conn)
		}
	}
	for addr, path := range map[string]string{w.server.HTTP: listFlags, w.relay.HTTP: "/ofrep/v1/evaluate/flags/shown", w.relay.Management: "/metrics"} {
		answer, _ := w.raw(t, addr, "POST "+path+" HTTP/1.1\r\nHost: x\r\nX-Large: "+large[:64<<10]+"\r\n\r\n", 20*time.Second)
		if strings.HasPrefix(answer, "HTTP/1.1 2") {
			t.Errorf("headers of 64 KiB at %s: %.60s", path, answer)
		}
	}
	stillServes(t, w, "what is large over HTTP")
}

// post is a request that may be cut off while it is sent: then its status is 413.
func post(t *testing.T, addr, path, as, body string) int {
	t.Helper()
	q, err := http.NewRequestWithContext(presenting(t), http.MethodPost, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	if as != "" {
		q.Header.Set("Authorization", as)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
	if err != nil {
		return http.StatusRequestEntityTooLarge
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// slowest is when whoever never ends what they begin is cut off at the latest.
const slowest = 30 * time.Second

func slow(t *testing.T, w *world) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	head := func(path string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\nAuthorization: Bearer " + w.secrets["sdk-client"] + "\r\n\r\n{"
	}
	var trying sync.WaitGroup
	for name, c := range map[string]struct{ addr, send string }{
		"headers, server":           {w.server.HTTP, "POST " + listFlags + " HTTP/1.1\r\nHost: x\r\nX-"},
		"headers, relay":            {w.relay.HTTP, "POST /ofrep/v1/evaluate/flags/shown HTTP/1.1\r\nHost: x\r\nX-"},
		"headers, other path":       {w.relay.HTTP, "GET /nothing HTTP/1.1\r\nHost: x\r\nX-"},
		"headers, management":       {w.relay.Management, "GET /metrics HTTP/1.1\r\nX-"},
		"half a request line":       {w.relay.HTTP, "POST /ofre"},
		"body, server":              {w.server.HTTP, head(listFlags)},
		"body, login":               {w.server.HTTP, head("/auth/login")},
		"body, relay":               {w.relay.HTTP, head("/ofrep/v1/evaluate/flags/shown")},
		"body, all flags":           {w.relay.HTTP, head("/ofrep/v1/evaluate/flags")},
		"body, the relay's service": {w.relay.HTTP, head("/tidegate.evaluation.v1.EvaluationService/Evaluate")},
		"nothing, gRPC, server":     {w.server.GRPC, ""},
		"nothing, gRPC, relay":      {w.relay.GRPC, ""},
		"half a preface":            {w.server.GRPC, preface[:10]},
		"a preface, no settings":    {w.relay.GRPC, preface},
		"HTTP/1.1 for gRPC":         {w.server.GRPC, "POST " + listFlags + " HTTP/1.1\r\nHost: x\r\n"},
	} {
		trying.Go(func() {
			began := time.Now()
			if _, ended := w.raw(t, c.addr, c.send, slowest); !ended {
				t.Errorf("%s: the connection is still open after %v", name, time.Since(began))
			}
		})
	}
	stillServes(t, w, "slow ones have begun")
	trying.Wait()
	stillServes(t, w, "slow ones")
}

func tooManyStreams(t *testing.T, w *world) {
	for at, addr := range map[string]string{"server": w.server.GRPC, "relay": w.relay.GRPC} {
		conn := bed.Dial(t, addr)
		health, most := healthv1.NewHealthClient(conn), 0
		ctx, cancel := context.WithCancel(presenting(t))
		for ; most < 2000; most++ {
			opening, give := context.WithCancel(ctx)
			waited := time.AfterFunc(2*time.Second, give) // for the first that has to wait
			stream, err := health.Watch(opening, &healthv1.HealthCheckRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if waited.Stop(); err != nil {
				give()
				break
			}
		}
		if most == 0 || most > 1000 {
			t.Errorf("%s: %d streams on one connection", at, most)
		}
		stillServes(t, w, fmt.Sprint(most, " streams at the ", at))
		cancel()
	}
}
