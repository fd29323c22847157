package filesource

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/statefile"
)

// At the start broken files are an error, with everything that is wrong.
func TestOpenBroken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), flags("a=pink"))
	write(t, filepath.Join(dir, "b.yaml"), "")
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		paths []string
		want  []string
	}{
		{"two mistakes", []string{dir}, []string{"the files cannot be served:\n", "a.yaml:3:84: ", "\n", "b.yaml:1:1: there is nothing"}},
		{"missing", []string{filepath.Join(dir, "no.yaml"), filepath.Join(dir, "neither")}, []string{"no.yaml: no such file", "neither: no such file"}},
		{"an empty folder", []string{filepath.Join(dir, "empty")}, []string{"empty holds no file *.yaml, *.yml or *.json"}},
		{"a device", []string{os.DevNull}, []string{os.DevNull + " is neither a file nor a folder"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newReplica()
				_, err := Open(t.Context(), Options{Paths: c.paths, Replica: r, Logger: zerolog.Nop()})
				for _, want := range c.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want %q", err, want)
					}
				}
				if r.Snapshot() != nil {
					t.Error("something is served")
				}
			})
		})
	}
}

// With a state directory a restart changes nothing: what the files say goes on from
// where it was, and the last good version is served while they are broken.
func TestRestart(t *testing.T) {
	t.Parallel()
	path, state := filepath.Join(t.TempDir(), "a.yaml"), t.TempDir()
	write(t, path, flags("a=red", "b=red"))
	synctest.Test(t, func(t *testing.T) {
		var b *bed
		var disk *statefile.Dir
		stop := func() {
			b.stop()
			if err := disk.Close(); err != nil {
				t.Error(err)
			}
		}
		restart := func() {
			t.Helper()
			if disk != nil {
				stop()
			}
			var err error
			if disk, err = statefile.Open(state, zerolog.Nop()); err != nil {
				t.Fatal(err)
			}
			r := newReplica()
			if s, confirmed, err := disk.Load(environment); err != nil {
				t.Fatal(err)
			} else if s != nil {
				r.Restore(s, time.Since(confirmed))
			}
			b = start(t, Options{Paths: []string{path}, Replica: r, Journal: disk})
		}
		restart()
		write(t, path, flags("a=blue", "b=red"))
		b.pass(within)
		b.require(2, "a=blue b=red")
		was := b.cursor()

		restart()
		if got := b.cursor(); got != was {
			t.Errorf("restarted with the same file: %s, then %s", was, got)
		}
		b.requireProblem("")

		write(t, path, flags("a=pink"))
		restart()
		if got := b.cursor(); got != was {
			t.Errorf("restarted with a broken file: %s, then %s", was, got)
		}
		b.requireProblem(`"pink" is not a variant`)
		if n := b.log.count("is not a variant"); n != 1 {
			t.Errorf("said %d times", n)
		}

		write(t, path, flags("a=green", "b=red"))
		b.pass(within)
		b.require(3, "a=green b=red")
		write(t, path, flags("a=red", "b=red"))
		restart()
		b.require(4, "a=red b=red")
		if b.cursor().Epoch != was.Epoch {
			t.Errorf("epoch %s, then %s", was.Epoch, b.cursor().Epoch)
		}
		stop()
	})
}

// Without a state directory each process has an epoch of its own: its revisions begin
// anew, and cannot be compared with those before.
func TestEpochs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path, flags("a=red"))
	synctest.Test(t, func(t *testing.T) {
		one, two := start(t, Options{Paths: []string{path}}), start(t, Options{Paths: []string{path}})
		if one.cursor().Epoch == two.cursor().Epoch {
			t.Errorf("both are in epoch %s", one.cursor().Epoch)
		}
	})
}

// What an upstream sent before is replaced, and not taken for a version of the files.
func TestStateOfAnUpstream(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.yaml")
	upstream := snapshot.New(environment, snapshot.Epoch{Counter: 1, Random: 7}).Advance(100)
	write(t, path, "")
	synctest.Test(t, func(t *testing.T) {
		r := newReplica()
		r.Restore(upstream, time.Minute)
		if _, err := Open(t.Context(), Options{Paths: []string{path}, Replica: r, Logger: zerolog.Nop()}); err == nil {
			t.Error("opened with a broken file and the state of an upstream")
		}
		write(t, path, flags("a=red"))
		b := start(t, Options{Paths: []string{path}, Replica: r})
		b.require(1, "a=red")
		if b.cursor().Epoch == upstream.Cursor().Epoch {
			t.Error("it goes on in the upstream's epoch")
		}
	})
}

// brokenDisk is a journal that fails at will.
type brokenDisk struct {
	appendErr, syncErr error
	// last is what was to be appended last.
	last snapshot.Cursor
}

func (d *brokenDisk) Append(next *snapshot.Snapshot, _ snapshot.Delta) error {
	d.last = next.Cursor()
	return d.appendErr
}

func (d *brokenDisk) Sync(string) error { return d.syncErr }

// A change that is not durable is shown all the same, but in another epoch than the one
// to which a restart goes back.
func TestBrokenDisk(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*brokenDisk, error){
		"append": func(d *brokenDisk, err error) { d.appendErr = err },
		"sync":   func(d *brokenDisk, err error) { d.syncErr = err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "a.yaml")
			write(t, path, flags("a=red"))
			synctest.Test(t, func(t *testing.T) {
				disk := &brokenDisk{}
				b := start(t, Options{Paths: []string{path}, Journal: disk})
				durable := b.cursor()
				fail(disk, errors.New("disk full"))
				write(t, path, flags("a=blue"))
				b.pass(within)
				b.require(1, "a=blue")
				b.requireProblem("")
				if b.cursor().Epoch == durable.Epoch {
					t.Error("a restart would take the epoch back")
				}
				if n := gathered(t, b.source.metrics.journalFailures); n != 1 || b.log.count("disk full") != 1 {
					t.Errorf("%v failures counted", n)
				}

				was := b.cursor()
				if disk.last != was {
					t.Errorf("the journal is to write %s as soon as it can, shown is %s", disk.last, was)
				}

				fail(disk, nil)
				write(t, path, flags("a=green"))
				b.pass(within)
				b.require(2, "a=green")
				if disk.last != b.cursor() || disk.last.Epoch != was.Epoch {
					t.Errorf("written %s, shown %s after %s", disk.last, b.cursor(), was)
				}
			})
		})
	}
}
