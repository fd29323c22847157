package server

import (
	"net/http"
	"strings"
	"testing"
)

// TestRebinding: an open server on loopback answers nobody who takes it for another host; one that
// asks who calls does, as it may be behind a proxy.
func TestRebinding(t *testing.T) {
	open, asking := start(t, Options{}), newAsking(t)
	ask := func(r *running, host string) int {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url(listFlags), strings.NewReader(`{"environment":"production"}`))
		if err != nil {
			t.Fatal(err)
		}
		q.Host = host
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Origin", "http://"+host)
		resp, err := r.http.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		code, _ := read(t, resp)
		return code
	}
	for host, local := range map[string]bool{
		"localhost": true, "LOCALHOST:7014": true, "127.0.0.1": true, "127.0.0.1:7014": true, "[::1]:7014": true, "app.localhost:1": true,
		"evil.example": false, "evil.example:7014": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "evil.example.": false,
	} {
		want := http.StatusOK
		if !local {
			want = http.StatusMisdirectedRequest
		}
		if code := ask(open, host); code != want {
			t.Errorf("open, %s: %d, want %d", host, code, want)
		}
		if code := ask(asking.running, host); code != http.StatusUnauthorized {
			t.Errorf("asking, %s: %d", host, code)
		}
	}
}
