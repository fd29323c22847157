package rpc

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestValidateOrigin(t *testing.T) {
	t.Parallel()
	for origin, fine := range map[string]bool{
		"*": true, "https://shop.example": true, "http://localhost:3000": true, "http://[::1]:81": true, "http://[::1]:80": false, "https://shop.example:443": false,
		"": false, "shop.example": false, "https://": false, "https://shop.example/": false, "https://shop.example/x": false,
		"https://SHOP.example": false, "https://user@shop.example": false, "https://*.example": false, "null": false, "https://shop.example?x": false,
	} {
		err := ValidateOrigin(origin)
		if (err == nil) != fine {
			t.Errorf("%q: %v", origin, err)
		}
		if err != nil && !strings.Contains(err.Error(), "such as https://shop.example") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

// What browsers send, and what they get, by the origins that are allowed.
func TestAllowedOrigins(t *testing.T) {
	t.Parallel()
	const shop, evil = "https://shop.example", "https://evil.example"
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, c := range []struct {
		name            string
		allowed         []string
		method, origin  string
		asked           string // headers of a preflight
		status          int
		allows, exposes string
	}{
		{"no origin: not a browser's page", nil, "POST", "", "", 418, "", ""},
		{"none allowed", nil, "POST", shop, "", 403, "", ""},
		{"none allowed, reading", nil, "GET", shop, "", 418, "", ""},
		{"none allowed, preflight", nil, "OPTIONS", shop, "content-type", 418, "", ""},
		{"allowed", []string{shop}, "POST", shop, "", 418, shop, exposedHeaders},
		{"another", []string{shop}, "POST", evil, "", 403, "", ""},
		{"another, reading", []string{shop}, "GET", evil, "", 418, "", ""},
		{"allowed, no origin", []string{shop}, "POST", "", "", 418, "", ""},
		{"any", []string{"*"}, "POST", evil, "", 418, "*", exposedHeaders},
		{"preflight", []string{shop}, "OPTIONS", shop, "content-type,if-none-match", 204, shop, ""},
		{"preflight of another", []string{shop}, "OPTIONS", evil, "content-type", 418, "", ""},
		{"preflight, any", []string{shop, "*"}, "OPTIONS", evil, "x-api-key", 204, "*", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "http://relay.example/x", http.NoBody)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}
		if c.asked != "" {
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", c.asked)
		}
		w := httptest.NewRecorder()
		crossOrigin(handler, c.allowed).ServeHTTP(w, r)
		h := w.Header()
		if w.Code != c.status || h.Get("Access-Control-Allow-Origin") != c.allows || h.Get("Access-Control-Expose-Headers") != c.exposes {
			t.Errorf("%s: %d %v", c.name, w.Code, h)
		}
		if answered := w.Code == http.StatusNoContent; answered && (h.Get("Access-Control-Allow-Headers") != c.asked || h.Get("Access-Control-Allow-Methods") != "GET, POST") {
			t.Errorf("%s: %v", c.name, h)
		}
		if one := len(c.allowed) == 1 && c.allowed[0] == shop; one != (h.Get("Vary") != "" && h.Values("Vary")[0] == "Origin") {
			t.Errorf("%s: Vary %v", c.name, h.Values("Vary"))
		}
	}
}
