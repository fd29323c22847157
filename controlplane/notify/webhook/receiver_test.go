package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// verified is what docs/operations.md tells receivers to do.
func verified(secret string, h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	at, notTime := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || notTime != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + string(body)))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, got := range strings.Fields(h.Get("webhook-signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return true
		}
	}
	return false
}

// TestReceiverVerifies: what the documentation says finds what we send genuine, and nothing else.
func TestReceiverVerifies(t *testing.T) {
	var header http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header, body = r.Header, readBody(t, r)
	}))
	defer server.Close()
	if _, err := sender(t, "webhook", server.URL).Send(t.Context(), rolledBack()); err != nil {
		t.Fatal(err)
	}
	secret := strings.Fields(secretText)[0]
	if !verified(secret, header, body) {
		t.Error("what was sent is not found genuine")
	}
	with := func(name, value string) http.Header {
		h := header.Clone()
		h.Set(name, value)
		return h
	}
	for name, forged := range map[string]bool{
		"another body":      verified(secret, header, append([]byte(" "), body...)),
		"another id":        verified(secret, with("webhook-id", "evt_x"), body),
		"another time":      verified(secret, with("webhook-timestamp", strconv.FormatInt(time.Now().Unix()+1, 10)), body),
		"no signature":      verified(secret, with("webhook-signature", ""), body),
		"an old one":        verified(secret, with("webhook-timestamp", "1614265330"), body),
		"another's secret":  verified("whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32)), header, body),
		"no secret at all":  verified("whsec_*", header, body),
		"nonsense for time": verified(secret, with("webhook-timestamp", "now"), body),
	} {
		if forged {
			t.Errorf("%s: found genuine", name)
		}
	}
}

func readBody(t *testing.T, r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return body
}
