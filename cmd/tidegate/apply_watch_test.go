package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// synced is a buffer that a command writes and a test reads.
type synced struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *synced) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *synced) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// watching is 'tidegate apply --watch' on a folder.
type watching struct {
	*testing.T
	folder   string
	out, err synced
	flags    controlv1.FlagServiceClient
}

func (w *watching) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.folder, name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// until waits for something to be so.
func (w *watching) until(what string, so func() bool) {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("not within a minute: %s\nout: %s\nerr: %s", what, w.out.String(), w.err.String())
		}
	}
}

// keys of the flags in production.
func (w *watching) keys() string {
	w.Helper()
	list, err := w.flags.ListFlags(w.Context(), &controlv1.ListFlagsRequest{Environment: "production"})
	if err != nil {
		w.Fatal(err)
	}
	var keys []string
	for _, v := range list.GetFlags() {
		keys = append(keys, v.GetFlag().GetKey())
	}
	return strings.Join(keys, " ")
}

func flagFile(keys ...string) string {
	text := "apiVersion: tidegate/v1\nflags:\n"
	for _, key := range keys {
		text += fmt.Sprintf("  %s: {type: boolean, enabled: true, variants: {on: true, off: false}, default: on}\n", key)
	}
	return text
}

func watch(t *testing.T) *watching {
	t.Helper()
	s := startServer(t)
	conn, err := grpc.NewClient(s.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	w := &watching{T: t, folder: t.TempDir(), flags: controlv1.NewFlagServiceClient(conn)}
	ctx, cancel := context.WithCancel(context.Background())
	code, out, stderr := execute(ctx, "environment", "set", "production", "--server", s.GRPCAddr(), "--file-source", "all", "--file-prefix", "", "--reason", "x")
	if code != exitOK {
		t.Fatal(out, stderr)
	}
	w.write("a.yaml", flagFile("a"))
	w.write("b.yaml", flagFile("b"))
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, &streams{in: strings.NewReader(""), out: &w.out, err: &w.err}, []string{
			"apply", "--server", s.GRPCAddr(), "-f", w.folder, "-e", "production", "--source", "all", "--prune", "--watch", "--reason", "as in the files",
		})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("it ended with %d: %s", code, w.err.String())
		}
		_ = conn.Close()
	})
	w.until("the files are applied", func() bool { return w.keys() == "a b" })
	return w
}

// Whatever becomes of the files, what they said when they were sound stays; each problem is
// told once, and mended files are applied.
func TestApplyWatch(t *testing.T) {
	t.Parallel()
	w := watch(t)

	w.write("b.yaml", flagFile("b")+"  c: {type: boolean, enabled: tr")
	w.until("a broken file is told", func() bool { return strings.Contains(w.err.String(), "b.yaml:4:") })
	if w.keys() != "a b" {
		t.Errorf("a broken file changed what is there: %s", w.keys())
	}
	w.write("b.yaml", flagFile("b", "c"))
	w.until("it is mended", func() bool { return w.keys() == "a b c" })

	// A folder that is gone deletes nothing.
	moved := w.folder + "-moved"
	if err := os.Rename(w.folder, moved); err != nil {
		t.Fatal(err)
	}
	w.until("the folder's absence is told", func() bool { return strings.Contains(w.err.String(), "no such file or directory") })
	if w.keys() != "a b c" {
		t.Errorf("a folder that is gone changed what is there: %s", w.keys())
	}
	if err := os.Rename(moved, w.folder); err != nil {
		t.Fatal(err)
	}
	w.until("it is back", func() bool { return strings.Contains(w.out.String(), "production is as the files say") })

	// Many saves come to what the last one says, and files that go take their flags with them.
	for i := range 50 {
		w.write("b.yaml", flagFile(fmt.Sprintf("d%d", i)))
	}
	if err := os.Remove(filepath.Join(w.folder, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	w.until("the last save counts", func() bool { return w.keys() == "d49" })
	if n := strings.Count(w.err.String(), "warning:"); n != 2 {
		t.Errorf("%d warnings, want 2:\n%s", n, w.err.String())
	}
}
