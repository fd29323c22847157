package relay

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
)

// flagdServices are the services that flagd's providers call.
var flagdServices = []string{"flagd.evaluation.v1.Service", "flagd.evaluation.v2.Service", "flagd.sync.v1.FlagSyncService"}

// Both gRPC ports describe and serve flagd's services, whose health is the relay's.
func TestFlagdServices(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	for _, address := range []string{r.GRPCAddr(), r.FlagdSyncAddr()} {
		conn := dial(t, address)
		health := healthv1.NewHealthClient(conn)
		for _, service := range flagdServices {
			eventually(t, service+" SERVING", func() bool {
				h, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
				return err == nil && h.GetStatus() == healthv1.HealthCheckResponse_SERVING
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		list, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range list.GetListServicesResponse().GetService() {
			names = append(names, s.GetName())
		}
		for _, service := range flagdServices {
			if !slices.Contains(names, service) {
				t.Errorf("%s: reflection lists %v, not %s", address, names, service)
			}
		}
	}
}

// Without anything to serve flagd's services are not healthy.
func TestFlagdServicesNotServing(t *testing.T) {
	t.Parallel()
	r, _ := start(t, options(nowhere(t), production))
	for _, service := range flagdServices {
		eventually(t, service+" NOT_SERVING", func() bool {
			h, err := r.server.Health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			return err == nil && h.GetStatus() == healthv1.HealthCheckResponse_NOT_SERVING
		})
	}
}

// Over HTTP, flagd's JSON is flagd's: unknown fields are ignored, empty ones written, and
// an int64 is a string.
func TestFlagdJSON(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, flagdFlags(t)...)
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	for _, c := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"the request of flagd's own documentation", "flagd.evaluation.v1.Service/ResolveBoolean", `{"flagKey":"static","context":{}}`, 200, `{"value":true,"reason":"STATIC","variant":"on","metadata":{"flagSetId":"production"}}`},
		{"unknown fields", "flagd.evaluation.v1.Service/ResolveBoolean", `{"flagKey":"static","nonsense":1}`, 200, `{"value":true,"reason":"STATIC","variant":"on","metadata":{"flagSetId":"production"}}`},
		{"v1: empty fields", "flagd.evaluation.v1.Service/ResolveBoolean", `{"flagKey":"disabled"}`, 200, `{"value":false,"reason":"DISABLED","variant":"","metadata":{"flagSetId":"production"}}`},
		{"v2: fields that are not there", "flagd.evaluation.v2.Service/ResolveBoolean", `{"flagKey":"disabled"}`, 200, `{"reason":"DISABLED","metadata":{"flagSetId":"production"}}`},
		{"int64", "flagd.evaluation.v2.Service/ResolveInt", `{"flagKey":"int"}`, 200, `{"value":"42","reason":"STATIC","variant":"only","metadata":{"flagSetId":"production"}}`},
		{"not found", "flagd.evaluation.v2.Service/ResolveInt", `{"flagKey":"nobody"}`, 404, `{"code":"not_found","message":"Flag not found"}`},
		{"wrong type", "flagd.evaluation.v2.Service/ResolveInt", `{"flagKey":"static"}`, 400, `{"code":"invalid_argument","message":"Type mismatch error"}`},
		{"metadata", "flagd.sync.v1.FlagSyncService/GetMetadata", `{}`, 200, `{"metadata":{}}`},
	} {
		code, text := post(t, "http://"+r.HTTPAddr()+"/"+c.path, c.body)
		var got, want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(text), &got); err != nil || code != c.status || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %d %s, want %d %s", c.name, code, text, c.status, c.want)
		}
	}
}

// A relay's HTTP port serves OFREP beside the services, and lets pages of the allowed
// origins read.
func TestOFREPOverHTTP(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, flagdFlags(t)...)
	upstream, _ := p.serve()
	o := options(upstream, production)
	o.CORSOrigins = []string{"https://shop.example"}
	o.OFREPRateLimit = 1000
	r, _ := startReady(t, o, p.revision)
	url := "http://" + r.HTTPAddr() + ofrepFlagsPath
	if code, text := post(t, url+"/static", `{"context":{"targetingKey":"u"}}`); code != http.StatusOK || !strings.Contains(text, `"value":true`) {
		t.Errorf("one flag: %d %s", code, text)
	}
	ask := func(method, origin string, headers ...string) ofrepAnswer {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			q.Header.Set(headers[i], headers[i+1])
		}
		q.Header.Set("Origin", origin)
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := c.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return ofrepAnswer{resp.StatusCode, resp.Header, string(text)}
	}
	got := ask(http.MethodOptions, "https://shop.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,if-none-match")
	if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("preflight: %+v", got)
	}
	got = ask(http.MethodPost, "https://shop.example", "Content-Type", "application/json")
	if got.status != http.StatusOK || !json.Valid([]byte(got.body)) || got.header.Get("Access-Control-Allow-Origin") != "https://shop.example" ||
		!strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "ETag") || got.header.Get("Content-Length") != strconv.Itoa(len(got.body)) {
		t.Errorf("bulk: %+v", got)
	}
	got = ask(http.MethodPost, "https://shop.example", "Content-Type", "application/json", "If-None-Match", got.header.Get("ETag"))
	if got.status != http.StatusNotModified || got.body != "" {
		t.Errorf("again: %+v", got)
	}
	if got = ask(http.MethodPost, "https://evil.example", "Content-Type", "application/json"); got.status != http.StatusForbidden {
		t.Errorf("another origin: %+v", got)
	}
}

// The metrics tell of streams, and of flags that flagd cannot have.
func TestFlagdMetrics(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"), matchFlag("regular"))
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn := dial(t, r.GRPCAddr())
	v1, err := flagdv1.NewServiceClient(conn).EventStream(ctx, &flagdv1.EventStreamRequest{})
	if err != nil {
		t.Fatal(err)
	}
	sync, err := flagdsyncv1.NewFlagSyncServiceClient(conn).SyncFlags(ctx, &flagdsyncv1.SyncFlagsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v1.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := sync.Recv(); err != nil {
		t.Fatal(err)
	}
	_, err = flagdv2.NewServiceClient(conn).ResolveString(ctx, &flagdv2.ResolveStringRequest{FlagKey: "a"})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("as a string: %v", err)
	}
	if code, text := post(t, "http://"+r.HTTPAddr()+ofrepFlagsPath+"/nobody", ""); code != http.StatusNotFound {
		t.Errorf("a flag that does not exist: %d %s", code, text)
	}
	_, text := get(t, "http://"+r.ManagementAddr()+"/metrics")
	for _, want := range []string{
		`tidegate_relay_open_streams{environment="production",stream="flagd-events"} 1`,
		`tidegate_relay_open_streams{environment="production",stream="flagd-sync"} 1`,
		`tidegate_relay_open_streams{environment="production",stream="ofrep-events"} 0`,
		`tidegate_relay_flagd_omitted_flags{environment="production"} 1`,
		`tidegate_relay_evaluations_total{environment="production",reason="ERROR"} 2`,
		`tidegate_relay_ofrep_requests_total{code="404"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}
