package filesource

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const environment = "production"

// flags is a file that holds flags which serve a variant each, given as KEY=VARIANT.
func flags(served ...string) string {
	var b strings.Builder
	b.WriteString("apiVersion: tidegate/v1\nflags:\n")
	for _, s := range served {
		key, variant, _ := strings.Cut(s, "=")
		fmt.Fprintf(&b, "  %s: {type: string, enabled: true, variants: {red: r, blue: b, green: g}, default: %s}\n", key, variant)
	}
	return b.String()
}

// write writes a file in place.
func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file beside, and renames it.
func replace(t testing.TB, path, content string) {
	t.Helper()
	write(t, path+".new", content)
	rename(t, path+".new", path)
}

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// link makes a link, or replaces one as Kubernetes does.
func link(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path+".new"); err != nil {
		t.Fatal(err)
	}
	rename(t, path+".new", path)
}

// bed is a source that runs in a synctest bubble.
type bed struct {
	t       *testing.T
	replica *replica.Replica
	source  *Source
	log     *logged
	stop    func()
}

// logged is what was logged.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// count tells how many lines hold the text.
func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func newReplica() *replica.Replica {
	return replica.NewSet(replica.Options{}).Add(environment)
}

// start opens a source and runs it until stop is called, or the test ends.
func start(t *testing.T, o Options) *bed {
	t.Helper()
	b := &bed{t: t, log: &logged{}}
	o.Logger, o.pollOnly = zerolog.New(b.log), true
	if o.Replica == nil {
		o.Replica = newReplica()
	}
	b.replica = o.Replica
	var err error
	if b.source, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.source.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != context.Canceled { //nolint:errorlint // the promise
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

// pass lets time pass.
func (b *bed) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// serves tells what is served for keys, as KEY=VARIANT.
func (b *bed) serves(keys ...string) string {
	var served []string
	for _, key := range keys {
		r := b.replica.Snapshot().Eval().Evaluate(key, &eval.Context{})
		if r.Variant == nil {
			served = append(served, key+"="+string(r.ErrorCode))
			continue
		}
		served = append(served, key+"="+r.Variant.Name)
	}
	return strings.Join(served, " ")
}

// require checks what is served, and at which revision.
func (b *bed) require(revision int64, served string) {
	b.t.Helper()
	var keys []string
	for _, s := range strings.Fields(served) {
		key, _, _ := strings.Cut(s, "=")
		keys = append(keys, key)
	}
	if got := b.serves(keys...); got != served {
		b.t.Errorf("serves %s, want %s", got, served)
	}
	if got := b.cursor().Revision; got != revision {
		b.t.Errorf("revision %d, want %d", got, revision)
	}
}

// requireProblem checks why the files are not served; "": they are.
func (b *bed) requireProblem(want string) {
	b.t.Helper()
	err := b.source.State().Err
	if text := text(err); (want == "") != (err == nil) || !strings.Contains(text, want) {
		b.t.Errorf("problem %q, want %q", text, want)
	}
}

func (b *bed) cursor() snapshot.Cursor { return b.replica.Snapshot().Cursor() }

// gathered is a metric's value.
func gathered(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetGauge().GetValue() + d.GetCounter().GetValue()
}
