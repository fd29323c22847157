package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

// webApp serves the dashboard: its files by name, and the one page for each address of the
// app's own. Everything is in memory, compressed once.
type webApp struct {
	files map[string]webFile
}

type webFile struct {
	kind         string // Content-Type
	plain, gzipd []byte // gzipd: nil where it would be no smaller
	tag          string
}

const (
	webIndex = "index.html"
	// webAssets are files whose names change with what is in them.
	webAssets = "assets/"
)

// webTypes are those that a system's own table may lack or have otherwise.
var webTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".woff2": "font/woff2", ".json": "application/json",
}

// newWebApp reads the files of a dashboard. The error is of files that cannot be read, or are
// no dashboard.
func newWebApp(from fs.FS) (*webApp, error) {
	app := &webApp{files: map[string]webFile{}}
	err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		app.files[name], err = newWebFile(name, plain)
		return err
	})
	if err == nil && app.files[webIndex].plain == nil {
		err = errors.New("it has no " + webIndex)
	}
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	return app, nil
}

func newWebFile(name string, plain []byte) (webFile, error) {
	f := webFile{kind: webTypes[path.Ext(name)], plain: plain, tag: fmt.Sprintf(`"%x"`, sha256.Sum256(plain))}
	if f.kind == "" {
		f.kind = mime.TypeByExtension(path.Ext(name))
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return f, err
	}
	if _, err := w.Write(plain); err != nil {
		return f, err
	}
	if err := w.Close(); err != nil {
		return f, err
	}
	if packed.Len() < len(plain)*9/10 {
		f.gzipd = packed.Bytes()
	}
	return f, nil
}

func (a *webApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "there is a page to get here, and no service: services are at /SERVICE/METHOD", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, there := a.files[name]
	switch {
	case there && strings.HasPrefix(name, webAssets):
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	case there:
		w.Header().Set("Cache-Control", "no-cache")
	case path.Ext(name) != "" && !strings.Contains(r.Header.Get("Accept"), "text/html"), strings.HasPrefix(name, webAssets):
		http.NotFound(w, r)
		return
	default: // an address of the app's own
		f = a.files[webIndex]
		w.Header().Set("Cache-Control", "no-cache")
	}
	f.serve(w, r)
}

func (f webFile) serve(w http.ResponseWriter, r *http.Request) {
	body := f.plain
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("ETag", f.tag)
	if f.gzipd != nil {
		w.Header().Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("ETag", strings.TrimSuffix(f.tag, `"`)+`-gz"`)
			body = f.gzipd
		}
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// acceptsGzip tells whether who asks takes gzip: named, and not with a weight of zero.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" {
			weight = strings.TrimSpace(weight)
			return weight != "q=0" && weight != "q=0.0"
		}
	}
	return false
}
