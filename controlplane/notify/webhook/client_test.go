package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/notify/webhook"
)

// secretPath is what no log, error or answer may have of a URL.
const secretPath = "/services/T0000XYZ/B1111XYZ/hushHUSHhush?token=qUIETquiet"

// sender is one target at the URL, signed unless it is Slack's.
func sender(t *testing.T, kind, at string) notify.Sender {
	t.Helper()
	file := "apiVersion: tidegate/v1\ndashboard: https://flags.example.com\ntargets:\n  - {name: a, kind: " + kind + ", urlEnv: AT, insecureHTTP: true"
	if kind == "webhook" {
		file += ", secretEnv: SECRET"
	}
	targets, err := webhook.Parse("t.yaml", file+"}\n", map[string]string{"AT": at, "SECRET": secretText})
	if err != nil {
		t.Fatal(err)
	}
	return targets[0].Sender
}

// failure sends, and returns why that failed.
func failure(t *testing.T, s notify.Sender, timeout time.Duration) *notify.Failure {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	_, err := s.Send(ctx, rolledBack())
	var f *notify.Failure
	if !errors.As(err, &f) {
		t.Fatalf("error: %v", err)
	}
	for _, part := range []string{"T0000XYZ", "B1111XYZ", "hush", "quiet", "MfKQ9"} {
		if strings.Contains(strings.ToLower(f.Reason), strings.ToLower(part)) {
			t.Errorf("a secret is in it: %s", f.Reason)
		}
	}
	return f
}

func TestTaken(t *testing.T) {
	for _, status := range []int{200, 201, 202, 204} {
		for _, kind := range []string{"slack", "webhook"} {
			t.Run(fmt.Sprint(kind, status), func(t *testing.T) {
				var got *http.Request
				var body []byte
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got = r
					body, _ = io.ReadAll(r.Body)
					w.WriteHeader(status)
				}))
				defer server.Close()
				s := sender(t, kind, server.URL+secretPath)
				webhook.SetClock(s, time.Unix(1614265330, 0))
				answer, err := s.Send(t.Context(), rolledBack())
				if err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf("%s answered %d %s", strings.TrimPrefix(server.URL, "http://"), status, http.StatusText(status)); answer != want {
					t.Errorf("the answer is %q, not %q", answer, want)
				}
				if got.Method != http.MethodPost || got.URL.String() != secretPath || got.Header.Get("Content-Type") != "application/json; charset=utf-8" {
					t.Errorf("%s %s, %v", got.Method, got.URL, got.Header)
				}
				signature := got.Header.Get("Webhook-Signature")
				if kind == "slack" {
					if signature != "" || !json.Valid(body) {
						t.Errorf("signature %q, body %s", signature, body)
					}
					return
				}
				var p webhook.Payload
				if err := json.Unmarshal(body, &p); err != nil || p.ID != rolledBack().ID || got.Header.Get("Webhook-Id") != p.ID {
					t.Errorf("%v: payload %s", err, body)
				}
				want, err := webhook.Sign(secretText, p.ID, time.Unix(1614265330, 0), body)
				if err != nil || signature != want || got.Header.Get("Webhook-Timestamp") != "1614265330" {
					t.Errorf("signed %q at %s, not %q (%v)", signature, got.Header.Get("Webhook-Timestamp"), want, err)
				}
			})
		}
	}
}

func TestStatus(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		status          int
		header          string
		permanent, down bool
		after           time.Duration
	}{
		{300, "", false, true, 0},
		{301, "", false, true, 0},
		{307, "", false, true, 0},
		{400, "", true, false, 0},
		{401, "", true, false, 0},
		{403, "", true, false, 0},
		{404, "", true, false, 0},
		{408, "", false, false, 0},
		{410, "", true, false, 0},
		{422, "", true, false, 0},
		{429, "", false, true, 0},
		{429, "30", false, true, 30 * time.Second},
		{429, "Sun, 01 Mar 2026 12:02:00 GMT", false, true, 2 * time.Minute},
		{429, "soon", false, true, 0},
		{500, "30", false, false, 0},
		{501, "", false, false, 0},
		{502, "", false, true, 0},
		{503, "7", false, true, 7 * time.Second},
		{504, "", false, true, 0},
		{599, "", false, false, 0},
	} {
		t.Run(fmt.Sprint(c.status, c.header), func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, "no_service")
			}))
			defer server.Close()
			s := sender(t, "slack", server.URL+secretPath)
			webhook.SetClock(s, now)
			f := failure(t, s, 10*time.Second)
			if f.Permanent != c.permanent || f.Down != c.down || f.RetryAfter != c.after {
				t.Errorf("%+v", f)
			}
			if !strings.Contains(f.Reason, fmt.Sprint(c.status)) || !strings.Contains(f.Reason, "127.0.0.1") {
				t.Errorf("reason: %s", f.Reason)
			}
			if c.status >= 400 && !strings.Contains(f.Reason, "no_service") {
				t.Errorf("what the target said is not in it: %s", f.Reason)
			}
		})
	}
}

func TestRetryAfterBounds(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "1.5": 0, "90": 90 * time.Second, "99999999999": 24 * time.Hour,
		"9223372036854775808": 0, "Sun, 01 Mar 2026 11:00:00 GMT": 0, "Sun, 01 Mar 2066 12:00:00 GMT": 24 * time.Hour,
	} {
		if got := webhook.RetryAfter(value, now); got != want {
			t.Errorf("%q: %v, not %v", value, got, want)
		}
	}
}

// Redirects are not followed, wherever they lead.
func TestRedirectLoop(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	f := failure(t, sender(t, "webhook", server.URL+secretPath), 10*time.Second)
	if requests.Load() != 1 || f.Permanent {
		t.Errorf("%d requests, %+v", requests.Load(), f)
	}
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + l.Addr().String() + secretPath
	l.Close()
	if f := failure(t, sender(t, "webhook", at), 10*time.Second); f.Permanent || !f.Down || !strings.Contains(f.Reason, "refused") {
		t.Errorf("%+v", f)
	}
}

// A target that takes the request and says nothing is left in time.
func TestHangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	if f := failure(t, sender(t, "webhook", server.URL+secretPath), 200*time.Millisecond); f.Permanent || f.Down || !strings.Contains(f.Reason, "in time") {
		t.Errorf("%+v", f)
	}
}

// raw answers each connection with the text, then closes it.
func raw(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	t.Cleanup(func() { l.Close() })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 1<<10)
			_, _ = conn.Read(buffer)
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return "http://" + l.Addr().String() + secretPath
}

func TestNonsenseAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"reset":           "",
		"not HTTP":        "SSH-2.0-OpenSSH_9.6 " + secretPath + "\r\n\r\n",
		"header too long": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"bad header":      "HTTP/1.1 200 OK\r\n" + secretPath + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if f := failure(t, sender(t, "webhook", raw(t, answer)), 10*time.Second); f.Permanent || f.Down {
				t.Errorf("%+v", f)
			}
		})
	}
	t.Run("cut off after the status", func(t *testing.T) { // it was taken
		at := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok")
		if _, err := sender(t, "webhook", at).Send(t.Context(), rolledBack()); err != nil {
			t.Error(err)
		}
	})
}

// Of an endless answer a little is read, and a line of it is shown.
func TestHugeBody(t *testing.T) {
	var written atomic.Int64
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		w.WriteHeader(http.StatusBadRequest)
		for chunk := []byte(strings.Repeat("nonsense\n", 1000)); ; {
			n, err := w.Write(chunk)
			written.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	f := failure(t, sender(t, "webhook", server.URL+secretPath), 10*time.Second)
	<-ended
	if !f.Permanent || len(f.Reason) > 400 || strings.Contains(f.Reason, "\n") {
		t.Errorf("%d bytes: %+v", len(f.Reason), f)
	}
	if written.Load() > 32<<20 { // buffers of the system
		t.Errorf("%d bytes were taken", written.Load())
	}
}

func TestTLS(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()
	s := sender(t, "webhook", server.URL+secretPath)
	if f := failure(t, s, 10*time.Second); f.Permanent || !f.Down || !strings.Contains(f.Reason, "certificate") {
		t.Errorf("an unknown authority: %+v", f)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	webhook.Trust(s, &tls.Config{RootCAs: roots, ServerName: "other.test"})
	if f := failure(t, s, 10*time.Second); !f.Down || !strings.Contains(f.Reason, "other.test") {
		t.Errorf("another host's: %+v", f)
	}
	if requests.Load() > 0 {
		t.Fatal("it was sent all the same")
	}
	s = sender(t, "webhook", server.URL+secretPath)
	webhook.Trust(s, &tls.Config{RootCAs: roots})
	if _, err := s.Send(t.Context(), rolledBack()); err != nil || requests.Load() != 1 {
		t.Errorf("a good one: %v", err)
	}
}

// The proxy of the environment is used, and its password is not shown.
func TestProxy(t *testing.T) {
	var asked *url.URL
	var authorization string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, authorization = r.URL, r.Header.Get("Proxy-Authorization")
		w.WriteHeader(http.StatusTeapot)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", strings.Replace(proxy.URL, "http://", "http://me:quietPASS@", 1))
	t.Setenv("NO_PROXY", "")
	f := failure(t, sender(t, "webhook", "http://bot.example.test"+secretPath), 10*time.Second)
	if asked == nil || asked.Host != "bot.example.test" || authorization == "" {
		t.Errorf("the proxy was asked for %v", asked)
	}
	if !f.Permanent || !strings.HasPrefix(f.Reason, "bot.example.test answered 418") {
		t.Errorf("%+v", f)
	}
}

func TestShow(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"token":      {"invalid_payload", "invalid_payload"},
		"words":      {"no\nsuch\tchannel \x1b[31m", "no such channel [31m"},
		"long":       {strings.Repeat("é", 300), strings.Repeat("é", 100) + "…"},
		"path":       {"Cannot POST /services/T0000XYZ/B1111XYZ/hushHUSHhush", ""},
		"part":       {"no team T0000XYZ", ""},
		"other case": {"no team t0000xyz", ""},
		"escaped":    {"no team T0000%58YZ at 100%", ""},
		"html":       {"no team T0000&#x58;YZ", ""},
		"query":      {"bad token qUIETquiet", ""},
		"secret":     {"bad signature for MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ""},
		"late":       {strings.Repeat("x", 3000) + "hushHUSHhush", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := webhook.Show("https://hooks.example"+secretPath, secretText, c.text)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				c.want = "(not shown: it repeats the URL or a secret)"
			}
			if got != c.want {
				t.Errorf("shown: %q", got)
			}
		})
	}
}
