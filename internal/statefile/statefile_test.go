package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	steps := history(t, testEpoch, 10)
	d, err := Open(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if s := load(t, d); s != nil {
		t.Fatalf("loaded %s from an empty directory", s.Cursor())
	}
	appendAll(t, d, steps)
	last := steps[len(steps)-1].state.Advance(500)
	at := time.Now().Add(-time.Minute)
	if err := errors.Join(d.Confirm(last, at), d.Sync(production), d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if err := d.Sync(production); !errors.Is(err, ErrClosed) {
		t.Errorf("sync after close: %v, want ErrClosed", err)
	}

	d, err = Open(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s, confirmed, err := d.Load(production)
	if err != nil || s.Cursor() != last.Cursor() || !confirmed.Equal(at) {
		t.Errorf("loaded %v, confirmed %v, %v; want %s, confirmed %v", s, confirmed, err, last.Cursor(), at)
	}
	if got := s.Eval().FlagCount(); got != last.Eval().FlagCount() || got == 0 {
		t.Errorf("loaded %d flags, want %d", got, last.Eval().FlagCount())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestRevisionIsKept: an advanced revision of a quiet environment survives, given as a
// delta that changes nothing.
func TestRevisionIsKept(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	d := openMem(t, m)
	steps := history(t, testEpoch, 2)
	appendAll(t, d, steps)
	last := steps[2].state
	advanced := last.Advance(900)
	if err := d.Append(advanced, snapshot.Diff(last, advanced)); err != nil {
		t.Fatal(err)
	}
	if got := load(t, openMem(t, m.afterKill())); got.Cursor() != advanced.Cursor() {
		t.Errorf("loaded %s, want %s", got.Cursor(), advanced.Cursor())
	}
	if err := d.Append(last, snapshot.Diff(advanced, last)); !errors.Is(err, snapshot.ErrRevision) {
		t.Errorf("going back: %v, want ErrRevision", err)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := Open(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, zerolog.Nop())
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("by process %d", os.Getpid())) {
		t.Errorf("second open: %v, want ErrLocked with the holder's pid", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err = Open(dir, zerolog.Nop())
	if err != nil {
		t.Fatalf("open after close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestReadOnlyDirectory: what is there is served, though nothing more can be written (root
// may write all the same).
func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 3)
	dir := t.TempDir()
	d, err := Open(dir, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, d, steps)
	id, err := d.InstanceID()
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	setModes := func(files, directory os.FileMode) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := os.Chmod(name, files); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, directory); err != nil {
			t.Fatal(err)
		}
	}
	setModes(0o400, 0o500)
	defer setModes(0o600, 0o700)
	if d, err = Open(dir, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	if i := indexOf(t, steps, load(t, d)); i != len(steps)-1 {
		t.Errorf("loaded step %d, want the last, %d", i, len(steps)-1)
	}
	if again, err := d.InstanceID(); err != nil || again != id {
		t.Errorf("instance id %q, then %q, %v", id, again, err)
	}
	if _, err := Open(dir, zerolog.Nop()); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v, want ErrLocked", err)
	}
	_ = d.Close() // says, if it could not write, that it could not
}

func TestInstanceID(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	id := func() string {
		id, err := openMem(t, m).InstanceID()
		if err != nil || id == "" {
			t.Fatalf("instance id %q, %v", id, err)
		}
		return id
	}
	first := id()
	if again := id(); again != first {
		t.Errorf("instance id %q, then %q", first, again)
	}
	m.Names[instanceFile].Data = []byte("no id")
	if again := id(); again == first {
		t.Error("a damaged id was used")
	}
	if m.Names[instanceFile+".corrupt"] == nil {
		t.Error("the damaged id was not set aside")
	}
}

// TestEnvironmentNames: names cannot lead out of the directory, nor collide.
func TestEnvironmentNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	names := []string{"..", "../up", "a", "a.log", "a.snapshot", "a/b", "ü ", "%61"}
	d, err := Open(filepath.Join(dir, "state"), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		s, _ := snapshot.New(name, testEpoch).Next(int64(i+5), []snapshot.Item{flagItem(t, "f", 2, 1)}, nil)
		if err := d.Append(s, s.Full()); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = Open(filepath.Join(dir, "state"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if s, _, err := d.Load(name); err != nil || s == nil || s.Cursor().Revision != int64(i+5) {
			t.Errorf("%q: loaded %v, %v", name, s, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	outside, err := os.ReadDir(dir)
	if err != nil || len(outside) != 1 {
		t.Errorf("files outside the directory: %v, %v", outside, err)
	}
}

// written returns the files after the whole history, with a mark among the deltas.
func written(t *testing.T, steps []step) memFiles {
	t.Helper()
	m := newMemFiles()
	d := openMem(t, m)
	appendAll(t, d, steps[:3])
	if err := d.Confirm(steps[2].state, time.Unix(7, 0)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, d, steps[3:])
	return m.afterKill()
}

// with returns the files with one of them changed.
func (m memFiles) with(name string, change func([]byte) []byte) memFiles {
	c := m.afterKill()
	c.Names[name].Data = change(c.Names[name].Data)
	return c
}

func TestTruncatedLog(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 5)
	m := written(t, steps)
	best := 0
	for n := range len(m.Names["production.log"].Data) + 1 {
		c := m.with("production.log", func(b []byte) []byte { return b[:n] })
		d := openMem(t, c)
		i := indexOf(t, steps, load(t, d))
		if i < best {
			t.Fatalf("log of %d bytes: loaded step %d, a shorter log gave step %d", n, i, best)
		}
		best = i
		if d.Stats().SetAside > 0 {
			t.Errorf("log of %d bytes: was set aside; a log that ends early is no damage", n)
		}
		if n%5 == 0 {
			continueAfterLoad(t, d, c, steps, i)
		}
		zeros := m.with("production.log", func(b []byte) []byte { return append(slices.Clone(b[:n]), make([]byte, 40)...) })
		if j := indexOf(t, steps, load(t, openMem(t, zeros))); j > i {
			t.Errorf("log of %d bytes and zeros: loaded step %d, without the zeros %d", n, j, i)
		}
	}
	if best != len(steps)-1 {
		t.Errorf("the whole log gave step %d, want %d", best, len(steps)-1)
	}
}

func TestTruncatedSnapshot(t *testing.T) {
	t.Parallel()
	m := written(t, history(t, testEpoch, 2))
	for n := range len(m.Names["production.snapshot"].Data) {
		c := m.with("production.snapshot", func(b []byte) []byte { return b[:n] })
		requireSetAside(t, fmt.Sprintf("snapshot of %d bytes", n), c)
	}
	c := m.with("production.snapshot", func(b []byte) []byte { return append(b, 0) })
	requireSetAside(t, "snapshot with a byte too many", c)
}

func TestFlippedBits(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 5)
	m := written(t, steps)
	for n := range m.Names["production.snapshot"].Data {
		c := m.with("production.snapshot", flip(n))
		requireSetAside(t, fmt.Sprintf("snapshot with byte %d flipped", n), c)
	}
	for n := range m.Names["production.log"].Data {
		c := m.with("production.log", flip(n))
		d := openMem(t, c)
		i := indexOf(t, steps, load(t, d))
		if i == len(steps)-1 {
			t.Fatalf("log with byte %d flipped: loaded to the end", n)
		}
		if d.Stats().SetAside != 1 || c.Names["production.log.corrupt"] == nil {
			t.Fatalf("log with byte %d flipped: was not set aside", n)
		}
		if n%5 == 0 {
			continueAfterLoad(t, d, c, steps, i)
		}
	}
}

// flip flips one bit of byte n.
func flip(n int) func([]byte) []byte {
	return func(b []byte) []byte {
		b = slices.Clone(b)
		b[n] ^= 1 << (n % 8)
		return b
	}
}

// requireSetAside loads files of which the snapshot cannot be used.
func requireSetAside(t *testing.T, what string, m memFiles) {
	t.Helper()
	d := openMem(t, m)
	if s := load(t, d); s != nil {
		t.Fatalf("%s: loaded %s", what, s.Cursor())
	}
	if m.Names["production.snapshot.corrupt"] == nil || m.Names["production.snapshot"] != nil {
		t.Fatalf("%s: was not set aside", what)
	}
}

// TestForeignFiles: what this program cannot read is told apart in the log.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	m := written(t, history(t, testEpoch, 2))
	for _, c := range []struct {
		name, want string
		change     func([]byte) []byte
	}{
		{"another version", "format version 9, this program reads 1 to 2", func(b []byte) []byte { b[7] = 9; return b }},
		{"something else", "not a state file", func([]byte) []byte { return []byte("#!/bin/sh\necho hello\n") }},
		{"another environment", `holds environment \"staging\"`, func([]byte) []byte {
			s, _ := snapshot.New("staging", testEpoch).Next(3, nil, nil)
			other := newMemFiles()
			if err := openMem(t, other).Append(s, s.Full()); err != nil {
				t.Fatal(err)
			}
			return other.Names["staging.snapshot"].Data
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			files := m.with("production.snapshot", c.change)
			var logged bytes.Buffer
			d := openWith(t, files, zerolog.New(&logged), time.Hour)
			if s := load(t, d); s != nil {
				t.Errorf("loaded %s", s.Cursor())
			}
			if !strings.Contains(logged.String(), c.want) {
				t.Errorf("logged %s, want it to contain %s", logged.String(), c.want)
			}
		})
	}
}
