package relay

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// discarded is a response writer that costs nothing.
type discarded struct{ header http.Header }

func (w *discarded) Header() http.Header         { return w.header }
func (w *discarded) WriteHeader(int)             {}
func (w *discarded) Write(b []byte) (int, error) { return len(b), nil }

// benchRequest asks again and again.
type benchRequest struct {
	request *http.Request
	body    *strings.Reader
	text    string
}

func newBenchRequest(path, body string) *benchRequest {
	r := &benchRequest{body: strings.NewReader(body), text: body}
	r.request = &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: path}, RemoteAddr: "127.0.0.1:1",
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Body: io.NopCloser(r.body),
	}
	return r
}

const benchBody = `{"context":{"targetingKey":"user-1","email":"a@example.com","plan":"pro","country":"Canada","version":"1.2.3","beta":"yes"}}`

// BenchmarkOFREP is what a request costs beyond net/http.
func BenchmarkOFREP(b *testing.B) {
	p := newPublisher(b, production)
	for i := range 1000 {
		f := splitFlag(fmt.Sprintf("flag-%d", i))
		f.Rules = boolFlag("", "Canada").GetRules()
		p.put(production, f)
	}
	h := newOFREPHandler(service(p), 0)
	for _, c := range []struct{ name, path string }{
		{"single", ofrepFlagsPath + "/flag-1"}, {"bulk of 1000", ofrepFlagsPath},
	} {
		b.Run(c.name, func(b *testing.B) {
			r, w := newBenchRequest(c.path, benchBody), &discarded{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				r.body.Reset(r.text)
				h.ServeHTTP(w, r.request)
			}
		})
	}
	b.Run("not modified", func(b *testing.B) {
		r, w := newBenchRequest(ofrepFlagsPath, benchBody), &discarded{header: http.Header{}}
		h.ServeHTTP(w, r.request)
		r.request.Header["If-None-Match"] = w.header["Etag"]
		b.ReportAllocs()
		for b.Loop() {
			r.body.Reset(r.text)
			h.ServeHTTP(w, r.request)
		}
	})
}
