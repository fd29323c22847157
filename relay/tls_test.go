package relay

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/tlsfiles"
	"github.com/tidegate/tidegate/internal/tlsfiles/tlstest"
)

// TestTLS: relays follow each other over TLS that both prove themselves in, and answer nobody
// who cannot.
func TestTLS(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	revision := p.put(production, boolFlag("checkout"))
	upstream, _ := p.serve()
	ca, stranger := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	above, below := ca.Issue(tomorrow), ca.Issue(tomorrow, "spiffe://example.com/relay")

	o := options(upstream, production)
	o.TLS = tlsfiles.ServerFiles{Cert: above.Cert, Key: above.Key, ClientCA: ca.File, RequireClient: true}
	first, _ := startReady(t, o, revision)

	known := tlsfiles.ClientFiles{CA: ca.File, Cert: below.Cert, Key: below.Key}
	forged := stranger.Issue(tomorrow, "spiffe://example.com/relay")
	o = options(first.GRPCAddr(), production)
	o.UpstreamTLS = known
	second, _ := startReady(t, o, revision)
	if r, err := client(t, second).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "checkout", Context: canada(t)}); err != nil || r.GetVariant() != "on" {
		t.Errorf("the relay below answers %v, %v", r, err)
	}

	for name, c := range map[string]struct {
		files tlsfiles.ClientFiles
		want  codes.Code
	}{
		"known":                        {known, codes.OK},
		"no certificate":               {tlsfiles.ClientFiles{CA: ca.File}, codes.Unavailable},
		"one of another authority":     {tlsfiles.ClientFiles{CA: ca.File, Cert: forged.Cert, Key: forged.Key}, codes.Unavailable},
		"one that trusts another":      {tlsfiles.ClientFiles{CA: stranger.File, Cert: below.Cert, Key: below.Key}, codes.Unavailable},
		"one that trusts the system's": {tlsfiles.ClientFiles{On: true, Cert: below.Cert, Key: below.Key}, codes.Unavailable},
		"without TLS":                  {tlsfiles.ClientFiles{}, codes.Unavailable},
	} {
		for _, address := range []string{first.GRPCAddr(), first.FlagdSyncAddr()} {
			_, err := evaluationv1.NewEvaluationServiceClient(dialWith(t, address, c.files)).Evaluate(t.Context(),
				&evaluationv1.EvaluateRequest{FlagKey: "checkout", Context: canada(t)})
			if status.Code(err) != c.want {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}

	certificate, err := tls.LoadX509KeyPair(below.Cert, below.Key)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	https := &http.Client{Transport: transport}
	for url, want := range map[string]string{
		"https://" + first.HTTPAddr() + ofrepFlagsPath + "/checkout": `"variant":"on"`,
		"http://" + first.ManagementAddr() + "/healthz":              "ok",
	} {
		method := http.MethodGet
		if strings.Contains(url, ofrepFlagsPath) {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(`{"context":{"targetingKey":"a"}}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := https.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %s, %v", url, resp.Status, body, err)
		}
		_ = resp.Body.Close()
	}
}

func dialWith(tb testing.TB, address string, f tlsfiles.ClientFiles) *grpc.ClientConn {
	tb.Helper()
	c, err := f.Credentials(zerolog.Nop())
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestTLSFiles: a relay whose files are wrong does not start.
func TestTLSFiles(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Options){
		"and its key":         func(o *Options) { o.TLS.Cert = "cert.pem" },
		"missing.pem":         func(o *Options) { o.TLS = tlsfiles.ServerFiles{Cert: "missing.pem", Key: "missing.pem"} },
		"upstream: TLS: want": func(o *Options) { o.UpstreamTLS.Cert = "cert.pem" },
		"upstream: TLS auth":  func(o *Options) { o.UpstreamTLS.CA = "missing.pem" },
	} {
		o := options("127.0.0.1:1", production)
		change(&o)
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
