package webhook

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/net/http/httpproxy"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/internal/version"
)

const (
	// dialTimeout bounds the connection, and the TLS handshake by itself.
	dialTimeout = 5 * time.Second
	// maxAnswer is how much of an answer is read, maxHeader of its headers, maxShown is shown;
	// in bytes.
	maxAnswer, maxHeader, maxShown = 4 << 10, 16 << 10, 200
	// shortestSecret: shorter parts of a URL are words.
	shortestSecret = 4
)

var percentEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// newTransport makes what requests go over: the proxy of the environment is used, TLS is
// verified, and each request has a connection of its own, since there are few and an idle one
// would be found dead.
func newTransport() *http.Transport {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	return &http.Transport{
		Proxy:                  func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// endpoint is one target.
type endpoint struct {
	url       *url.URL
	slack     bool
	secrets   []secret // none: not signed
	dashboard *url.URL // may be nil
	transport http.RoundTripper
	now       func() time.Time
}

// Send implements notify.Sender. Redirects are not followed.
func (e *endpoint) Send(ctx context.Context, event notify.Event) (string, error) {
	var body []byte
	var err error
	if e.slack {
		body, err = slackMessage(event, e.link(event))
	} else {
		body, err = marshal(payloadOf(event, e.link(event)))
	}
	if err != nil {
		return "", &notify.Failure{Reason: "the event cannot be encoded: " + err.Error(), Permanent: true}
	}
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url.String(), bytes.NewReader(body))
	if err != nil { // the error would show the URL
		return "", &notify.Failure{Reason: "there is no request to this URL", Permanent: true}
	}
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	request.Header.Set("User-Agent", "tidegate/"+version.Version)
	if len(e.secrets) > 0 {
		at := e.now()
		request.Header.Set("Webhook-Id", event.ID)
		request.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
		request.Header.Set("Webhook-Signature", sign(e.secrets, event.ID, at, body))
	}
	// The round trip itself: a client would follow redirects, and put the URL into errors.
	response, err := e.transport.RoundTrip(request)
	if err != nil {
		return "", e.unanswered(ctx, err, sent.Load())
	}
	defer response.Body.Close()
	// What cannot be read of it does not matter: the status counts.
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return e.answered(response, string(text))
}

// unanswered is the failure of a request that got no answer.
func (e *endpoint) unanswered(ctx context.Context, err error, sent bool) *notify.Failure {
	reason := e.show(err.Error())
	if ctx.Err() != nil {
		reason = "there was no answer in time"
	}
	// What got no connection would get none for another event.
	return &notify.Failure{Reason: e.url.Host + ": " + reason, Down: !sent}
}

// answered is what the target said; the status says whether the event was taken.
func (e *endpoint) answered(r *http.Response, text string) (string, error) {
	status := r.StatusCode
	answer := strings.TrimSpace(fmt.Sprintf("%s answered %d %s", e.url.Host, status, http.StatusText(status)))
	if shown := e.show(text); shown != "" {
		answer += ": " + shown
	}
	f := &notify.Failure{Reason: answer}
	switch {
	case status >= 200 && status < 300:
		return answer, nil
	case status >= 300 && status < 400:
		f.Reason = fmt.Sprintf("%s redirects (%d): redirects are not followed; configure the URL that it leads to", e.url.Host, status)
		f.Down = true
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		f.Down, f.RetryAfter = true, retryAfter(r.Header.Get("Retry-After"), e.now())
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		f.Down = true
	case status == http.StatusRequestTimeout:
	case status >= 400 && status < 500:
		f.Permanent = true
	}
	return "", f
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); 0 for anything else.
func retryAfter(value string, now time.Time) time.Duration {
	const longest = 24 * time.Hour
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(longest/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, at.Sub(now)), longest)
	}
	return 0
}

// show is the beginning of what came from elsewhere, in one line; if any of it is secret,
// nothing.
func (e *endpoint) show(text string) string {
	if text == "" {
		return ""
	}
	if e.repeats(text) {
		return "(not shown: it repeats the URL or a secret)"
	}
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))), " ")
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return text
}

// repeats tells whether a text has a part of the URL in it, but for the host, or a secret.
func (e *endpoint) repeats(text string) bool {
	var parts []string
	for _, s := range e.secrets {
		parts = append(parts, strings.TrimPrefix(s.text, secretPrefix))
	}
	parts = append(parts, strings.Split(e.url.EscapedPath(), "/")...)
	parts = append(parts, strings.Split(e.url.Path, "/")...)
	parts = append(parts, strings.FieldsFunc(e.url.RawQuery, func(r rune) bool { return r == '&' || r == '=' })...)
	for _, values := range e.url.Query() {
		parts = append(parts, values...)
	}
	variants := []string{strings.ToLower(text), strings.ToLower(html.UnescapeString(text)), strings.ToLower(unescape(text))}
	for _, part := range parts {
		if len(part) < shortestSecret {
			continue
		}
		for _, v := range variants {
			if strings.Contains(v, strings.ToLower(part)) {
				return true
			}
		}
	}
	return false
}

// unescape decodes what is percent-encoded, and leaves the rest as it is.
func unescape(text string) string {
	return percentEncoded.ReplaceAllStringFunc(text, func(code string) string {
		c, err := strconv.ParseUint(code[1:], 16, 8)
		if err != nil {
			return code
		}
		return string([]byte{byte(c)})
	})
}

// link leads to the rollout in the dashboard, if it is about one; empty: nobody knows where that
// is.
func (e *endpoint) link(event notify.Event) string {
	switch {
	case e.dashboard == nil:
		return ""
	case event.Rollout == "":
		return e.dashboard.String()
	}
	return e.dashboard.JoinPath("environments", url.PathEscape(event.Environment), "rollouts", url.PathEscape(event.Rollout)).String()
}
