package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

// logged is a line of the file.
type logged struct {
	Trail, Key, Hash string
	Revision         int64
	Entry            struct{ Actor, Reason string }
}

// inFiles reads all lines in the file and in what it was renamed to, the oldest first.
func inFiles(t *testing.T, path string) (lines []logged, files int) {
	t.Helper()
	names, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				continue // on its way
			}
			var l logged
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			lines = append(lines, l)
		}
	}
	slices.SortStableFunc(lines, func(a, b logged) int { return int(a.Revision - b.Revision) })
	return lines, len(names)
}

// logTo writes to the file until the returned function is called.
func (f *fixture) logTo(path string, maxBytes int64) (stop func()) {
	f.t.Helper()
	file, err := NewFile(path, maxBytes)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); f.Log(ctx, file) }()
	return func() { cancel(); <-ended }
}

// awaitLines waits until the file, or the last one, has the revision.
func (f *fixture) awaitLines(path string, revision int64) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(`"revision":`+itoa(revision)+`,`)) && bytes.HasSuffix(data, []byte("\n")) {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("revision %d never came to the file", revision)
		}
	}
}

func itoa(n int64) string { data, _ := json.Marshal(n); return string(data) }

// TestLog: what is written is in the file, once, in order, over rotations, restarts, a line that
// was cut off, and what the store has compacted meanwhile.
func TestLog(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	f.create("before", "ann", "not in the file")
	stop := f.logTo(path, 4000)
	first := f.firstLogged(path)
	f.fill(10)
	f.awaitLines(path, f.lastRevision())
	stop()

	cut, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cut.WriteString(`{"trail":"production","key":"f/x`)
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.enable("f000", false, "bob", "while it was not running")
	out, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put("/x", nil)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.Compact(out.Revision); err != nil {
		t.Fatal(err)
	}
	stop = f.logTo(path, 4000)
	f.awaitLines(path, f.lastRevision())
	f.enable("f000", true, "bob", "last")
	f.awaitLines(path, f.lastRevision())
	stop()

	lines, files := inFiles(t, path)
	lines = slices.CompactFunc(lines, func(a, b logged) bool { return a.Key == b.Key && a.Revision == b.Revision })
	var want []string
	for _, kv := range f.entries() {
		if kv.ModRevision >= first {
			want = append(want, strings.TrimPrefix(kv.Key, trailRoot(production)))
		}
	}
	var got []string
	for _, l := range lines {
		got = append(got, l.Key)
		if l.Trail != production || len(l.Hash) != 64 || l.Entry.Actor == "" {
			t.Errorf("line %+v", l)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d entries in the files, want %d", len(got), len(want))
	}
	if files < 3 {
		t.Errorf("%d files: it was never rotated", files)
	}
}

// firstLogged writes until something comes to the new file, and returns its revision: where
// "from now on" begins is not known before.
func (f *fixture) firstLogged(path string) int64 {
	f.t.Helper()
	f.create("first", "ann", "r")
	for enabled := false; ; enabled = !enabled {
		f.enable("first", enabled, "ann", "r")
		if lines, _ := inFiles(f.t, path); len(lines) > 0 {
			return lines[0].Revision
		}
		time.Sleep(time.Millisecond)
	}
}

func (f *fixture) lastRevision() (last int64) {
	for _, kv := range f.entries() {
		last = max(last, kv.ModRevision)
	}
	return last
}

// TestNotOurFile: a file that is something else is not written to.
func TestNotOurFile(t *testing.T) {
	for _, text := range []string{"Dear reader,\nI write to you\n", "no line at all", "{\"a\":1}\n"} {
		path := filepath.Join(t.TempDir(), "letter.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewFile(path, 0); err == nil || !strings.Contains(err.Error(), "is it another file?") {
			t.Errorf("%q: got %v", text, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Errorf("it was changed: %q, %v", data, err)
		}
	}
}

// TestLogOfAStoreThatWentBack: a file that is ahead of the store goes on with what is written now.
func TestLogOfAStoreThatWentBack(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	line := `{"trail":"production","key":"f/a/7ffffffffffffffe","revision":1000000,"hash":""}` + "\n"
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := f.logTo(path, 0)
	defer stop()
	f.create("first", "ann", "r")
	for enabled := false; ; enabled = !enabled {
		f.enable("first", enabled, "ann", "r")
		if lines, _ := inFiles(t, path); len(lines) > 1 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}
