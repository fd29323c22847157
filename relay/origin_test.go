package relay

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

const (
	flagA   = "apiVersion: tidegate/v1\nflags:\n  a: {type: boolean, enabled: true, variants: {on: true, off: false}, "
	fileOn  = flagA + "default: on}\n"
	fileOff = flagA + "default: off}\n"
)

// fileOptions of a relay that serves a file, which is written first.
func fileOptions(t *testing.T, content string) (o Options, save func(content string)) {
	t.Helper()
	o = options("", production)
	path := filepath.Join(t.TempDir(), "flags.yaml")
	o.Upstreams, o.Files = nil, []string{path}
	save = func(content string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	save(content)
	return o, save
}

// variant asks a relay for the flag a.
func variant(t *testing.T, r *Relay) string {
	t.Helper()
	a, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{FlagKey: "a"})
	if err != nil {
		t.Fatal(err)
	}
	return a.GetVariant()
}

func readyz(t *testing.T, r *Relay) (code int, body readiness) {
	t.Helper()
	code, text := get(t, "http://"+r.ManagementAddr()+"/readyz")
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatal(err)
	}
	return code, body
}

// TestFile is the life of a relay that serves a file: watches see a save, a broken file
// changes nothing but what /readyz says, and a restart serves the last good version.
func TestFile(t *testing.T) {
	t.Parallel()
	o, save := fileOptions(t, fileOn)
	o.StateDir = t.TempDir()
	r, stop := start(t, o)
	if got := variant(t, r); got != "on" {
		t.Errorf("serves %s", got)
	}
	watch, err := client(t, r).Watch(t.Context(), &evaluationv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || summary(m) != "a=on" {
		t.Fatalf("watch: %v, %v", m, err)
	}
	save(fileOff)
	if m, err := watch.Recv(); err != nil || summary(m) != "a=off" || m.GetEnvironmentRevision() != 2 {
		t.Fatalf("watch: %v, %v", m, err)
	}
	code, body := readyz(t, r)
	if code != http.StatusOK || body.Upstream != nil || body.File == nil || body.File.Files != 1 || body.File.Problems != nil {
		t.Errorf("readyz: %d %+v", code, body)
	}

	save(flagA + "default: onn}\n" + strings.Repeat("x: 1\n", 40))
	requireProblems := func(r *Relay) {
		t.Helper()
		eventually(t, "problem", func() bool {
			code, body = readyz(t, r)
			return code != http.StatusOK || body.File.Problems != nil
		})
		if p := body.File.Problems; code != http.StatusOK || !body.Ready || len(p) != maxReported+1 || !strings.Contains(p[0], "flags.yaml:3:") ||
			!strings.HasPrefix(p[maxReported], "and ") {
			t.Errorf("readyz: %d %q", code, p)
		}
		if got := variant(t, r); got != "off" {
			t.Errorf("a broken file, and %s is served", got)
		}
	}
	requireProblems(r)
	if _, text := get(t, "http://"+r.ManagementAddr()+"/metrics"); !strings.Contains(text, "tidegate_file_refused_total 1") {
		t.Error("metrics lack tidegate_file_refused_total")
	}
	stop()

	o.Registry = nil
	again, _ := start(t, o)
	requireProblems(again)
	save(fileOn)
	eventually(t, "mended", func() bool { return variant(t, again) == "on" })
	if _, body := readyz(t, again); body.File.Problems != nil || body.Environments[0].Revision != 3 {
		t.Errorf("mended: %+v", body)
	}
}

// TestFollowFile: a relay that serves a file is another's upstream, also after a restart
// that made it forget its revisions.
func TestFollowFile(t *testing.T) {
	t.Parallel()
	o, save := fileOptions(t, fileOn)
	o.GRPCAddr = freeAddr(t)
	first, stop := start(t, o)
	second, _ := startReady(t, options(first.GRPCAddr(), production), 1)
	if hops := len(second.origin.path()) - 1; hops != 1 {
		t.Errorf("%d hops from the file, want 1", hops)
	}
	save(fileOff)
	waitRevision(t, second, 2)
	if got := variant(t, second); got != "off" {
		t.Errorf("the follower serves %s", got)
	}
	stop()
	save(fileOn)
	o.Registry = nil
	start(t, o)
	eventually(t, "the new epoch", func() bool { return variant(t, second) == "on" })
}

// TestBrokenFileAtStart: there is nothing to serve, so the relay does not start.
func TestBrokenFileAtStart(t *testing.T) {
	t.Parallel()
	o, _ := fileOptions(t, flagA+"default: onn}\n")
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "flags.yaml:3:80: flags[a].default") {
		t.Errorf("got %v", err)
	}
}

func TestOriginOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		upstreams, files, environments []string
		want                           string
	}{
		{want: "no upstream and no file"},
		{upstreams: []string{"a:1"}, files: []string{"f"}, environments: []string{"e"}, want: "upstream and file: want one of the two"},
		{files: []string{""}, want: `file "": want the path`},
		{files: []string{"f", "g", "f"}, want: `file "f" is named twice`},
		{files: []string{"f"}, environments: []string{"a", "b"}, want: "environments a, b: want one name"},
		{upstreams: []string{"a"}, environments: []string{"e"}, want: `upstream "a": want HOST:PORT`},
	} {
		o := Options{Upstreams: c.upstreams, Files: c.files, Environments: c.environments}
		if err := o.EnsureDefaults().Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c, err, c.want)
		}
	}
	o := Options{Files: []string{"f g"}}
	if err := o.EnsureDefaults().Validate(); err != nil || len(o.Environments) != 1 || o.Environments[0] != DefaultEnvironment {
		t.Errorf("a file alone: %v, environments %v", err, o.Environments)
	}
}

// freeAddr is a loopback address that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
