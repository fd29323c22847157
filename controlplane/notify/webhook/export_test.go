package webhook

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"time"

	"github.com/tidegate/tidegate/controlplane/notify"
)

// Parse is Load's, of what is at hand.
func Parse(name, data string, env map[string]string) ([]notify.Target, error) {
	return parse(name, []byte(data), func(key string) (string, bool) { v, ok := env[key]; return v, ok })
}

// SetClock has a target's time stand still.
func SetClock(s notify.Sender, at time.Time) {
	if e, ok := s.(*endpoint); ok {
		e.now = func() time.Time { return at }
	}
}

// Trust has a target's TLS verified against other roots.
func Trust(s notify.Sender, c *tls.Config) {
	if e, ok := s.(*endpoint); ok {
		if t, ok := e.transport.(*http.Transport); ok {
			t.TLSClientConfig = c
		}
	}
}

// Sign is sign with the secrets of the text.
func Sign(secrets, id string, at time.Time, body []byte) (string, error) {
	parsed, err := parseSecrets(secrets)
	return sign(parsed, id, at, body), err
}

// SlackMessage and MarshalPayload are the bodies of requests.
func SlackMessage(e notify.Event, link string) ([]byte, error) { return slackMessage(e, link) }

// MarshalPayload is that of kind 'webhook'.
func MarshalPayload(e notify.Event, link string) ([]byte, error) { return marshal(payloadOf(e, link)) }

// Escape is escape.
func Escape(s string, limit int) string { return escape(s, limit) }

// RetryAfter is retryAfter.
func RetryAfter(value string, now time.Time) time.Duration { return retryAfter(value, now) }

// Show is what a target at the URL shows of a text.
func Show(at, secrets, text string) (string, error) {
	u, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	e := &endpoint{url: u}
	if secrets != "" {
		if e.secrets, err = parseSecrets(secrets); err != nil {
			return "", err
		}
	}
	return e.show(text), nil
}
