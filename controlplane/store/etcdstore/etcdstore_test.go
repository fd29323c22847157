package etcdstore

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/storetest"
)

func TestMain(m *testing.M) {
	wal.SegmentSizeBytes = 4 << 20
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (s *Store) subject() storetest.Subject {
	return storetest.Subject{
		Store: s,
		Compact: func(ctx context.Context, revision int64) error {
			_, err := s.client.Compact(ctx, revision)
			return err
		},
	}
}

func TestConformanceEmbedded(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		return open(t, Options{DataDir: t.TempDir()}).subject()
	})
}

func TestConformanceExternal(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		return open(t, Options{Endpoints: []string{startEtcd(t)}}).subject()
	})
}

// startEtcd runs an etcd server with a client socket and returns its endpoint.
func startEtcd(t *testing.T) string {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.ListenPeerUrls = nil
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.TickMs, cfg.ElectionMs = tickMs, electionMs
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatalf("start etcd: %v", err)
	}
	t.Cleanup(etcd.Close)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd does not become ready")
	}
	return "http://" + etcd.Clients[0].Addr().String()
}

func TestEmbeddedKeepsItsDataAndItsQuiet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	var logged buffer
	for i, want := range []string{"", "1", "2"} {
		s := open(t, Options{DataDir: dir, Logger: zerolog.New(&logged).Level(zerolog.InfoLevel)})
		results, _, err := s.Read(t.Context(), store.Key("k"))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if kvs := results[0].KVs; len(kvs) == 1 {
			got = string(kvs[0].Value)
		}
		if got != want {
			t.Errorf("start %d: got %q, want %q", i, got, want)
		}
		value := []byte{byte('1' + i)}
		if _, err := s.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put("k", value)}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if logged.String() != "" {
		t.Errorf("an embedded etcd in good health logs:\n%s", logged.String())
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory has mode %v (%v), want 0700", info.Mode(), err)
	}
}

func TestLogsAtDebug(t *testing.T) {
	var logged buffer
	s := open(t, Options{DataDir: t.TempDir(), Logger: zerolog.New(&logged).Level(zerolog.DebugLevel)})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if text := logged.String(); !strings.Contains(text, `"level":"debug"`) || !strings.Contains(text, `"component":"etcd"`) || strings.Contains(text, `"level":"error"`) {
		t.Errorf("got %.500s", text)
	}
}

func TestOpenErrors(t *testing.T) {
	used := t.TempDir()
	open(t, Options{DataDir: used})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed := closedPort(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, test := range map[string]struct {
		o     Options
		parts []string
	}{
		"nothing given":      {Options{}, []string{"neither", "data directory", "endpoints"}},
		"both given":         {Options{DataDir: used, Endpoints: []string{"x"}}, []string{"one of them"}},
		"directory in use":   {Options{DataDir: used}, []string{used, "in use by another process"}},
		"not a directory":    {Options{DataDir: file}, []string{file}},
		"refused":            {Options{Endpoints: []string{"http://" + closed}}, []string{closed, "does not answer"}},
		"accepted, silent":   {Options{Endpoints: []string{"http://" + silent.Addr().String()}}, []string{silent.Addr().String(), "does not answer"}},
		"none of two answer": {Options{Endpoints: []string{"http://" + closed, "http://127.0.0.2:1"}}, []string{closed, "127.0.0.2:1"}},
	} {
		test.o.DialTimeout = 300 * time.Millisecond
		s, err := Open(t.Context(), test.o)
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
			continue
		}
		for _, part := range test.parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q does not mention %q", name, err, part)
			}
		}
	}
}

// buffer takes what many goroutines log.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestOneOfManyEndpointsIsEnough(t *testing.T) {
	var logged buffer
	closed := "http://" + closedPort(t)
	s := open(t, Options{
		Endpoints: []string{closed, startEtcd(t)}, DialTimeout: 2 * time.Second, Logger: zerolog.New(&logged),
	})
	if _, _, err := s.Read(t.Context(), store.Key("k")); err != nil {
		t.Error(err)
	}
	if !strings.Contains(logged.String(), closed) {
		t.Errorf("the endpoint that does not answer is not named: %s", logged.String())
	}
}

func TestVersions(t *testing.T) {
	for version, good := range map[string]bool{
		"3.7.1": true, "3.7.3": true, "3.8.0": true, "4.0.0": true, "3.6.14": true, "3.6.20": true,
		"3.7.0": false, "3.6.13": false, "3.5.99": false, "3.4.23": false, "3.7.1-rc.0": false, "": false, "x": false,
	} {
		err := checkVersion("http://e", version)
		if (err == nil) != good {
			t.Errorf("version %q: %v", version, err)
		}
		if err == nil {
			continue
		}
		for _, part := range []string{"http://e", "3.7.1", "3.6.14"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("version %q: error %q does not mention %q", version, err, part)
			}
		}
	}
}

// TestUnavailable: a server that goes away is an error of the right kind, within the
// caller's time.
func TestUnavailable(t *testing.T) {
	dir := t.TempDir()
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.ListenPeerUrls = nil
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.TickMs, cfg.ElectionMs = tickMs, electionMs
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-etcd.Server.ReadyNotify()
	s := open(t, Options{Endpoints: []string{"http://" + etcd.Clients[0].Addr().String()}})
	etcd.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Commit(ctx, store.Txn{Ops: []store.Op{store.Put("k", nil)}}); err == nil {
		t.Error("a commit to nowhere succeeded")
	}
}
