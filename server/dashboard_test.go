package server

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func TestWebApp(t *testing.T) {
	script := strings.Repeat("ship(); ", 200)
	app, err := newWebApp(fstest.MapFS{
		"index.html":       {Data: []byte("<!doctype html><title>tidegate</title>")},
		"assets/app-1.js":  {Data: []byte(script)},
		"assets/font.bin2": {Data: []byte("?")},
		"mark.svg":         {Data: []byte("<svg/>")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, method, path string
		header             map[string]string
		code               int
		kind, cache        string
		body               string
	}{
		{"the page", "GET", "/", nil, 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
		{"an address of the app's own", "GET", "/production/flags/new-checkout", nil, 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
		{"a flag with a dot, by a browser", "GET", "/production/flags/checkout.v2", map[string]string{"Accept": "text/html,*/*"}, 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
		{"a file that is not there", "GET", "/old.js", nil, 404, "text/plain; charset=utf-8", "", "404"},
		{"of an older build", "GET", "/assets/app-0.js", map[string]string{"Accept": "text/html"}, 404, "text/plain; charset=utf-8", "", "404"},
		{"an asset", "GET", "/assets/app-1.js", nil, 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "ship();"},
		{"another file", "GET", "/mark.svg", nil, 200, "image/svg+xml", "no-cache", "<svg/>"},
		{"a call of a service that is not there", "POST", "/tidegate.control.v1.FlagService/Nothing", nil, 405, "text/plain; charset=utf-8", "", "services are at"},
		{"a way up", "GET", "/../../etc/passwd", nil, 200, "text/html; charset=utf-8", "no-cache", "<!doctype html>"},
	} {
		r := httptest.NewRequest(tc.method, tc.path, http.NoBody)
		for k, v := range tc.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		if w.Code != tc.code || w.Header().Get("Content-Type") != tc.kind || w.Header().Get("Cache-Control") != tc.cache || !strings.Contains(w.Body.String(), tc.body) {
			t.Errorf("%s: %d %v %.80q", tc.name, w.Code, w.Header(), w.Body)
		}
	}
	ask := func(path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		return w
	}
	packed := ask("/assets/app-1.js", "Accept-Encoding", "br, gzip;q=0.8")
	unpacked, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(unpacked); err != nil || string(body) != script {
		t.Errorf("compressed: %q, %v", body, err)
	}
	if w := ask("/assets/app-1.js", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Errorf("compressed for who refuses it: %v", w.Header())
	}
	if w := ask("/assets/app-1.js", "Accept-Encoding", "gzip", "If-None-Match", packed.Header().Get("ETag")); w.Code != http.StatusNotModified {
		t.Errorf("asked again: %d", w.Code)
	}
}

func TestNoWebApp(t *testing.T) {
	for name, files := range map[string]fs.FS{"empty": fstest.MapFS{}, "without a page": fstest.MapFS{"a.js": {Data: []byte("1")}}} {
		if _, err := newWebApp(files); err == nil || !strings.Contains(err.Error(), "index.html") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
