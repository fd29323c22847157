package statefile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// forgetScenario appends, forgets, and appends what follows a new beginning. It reports
// whether Forget succeeded, and the last step of again that was appended.
func forgetScenario(d *Dir, steps, again []step) (tried, forgotten bool, appended int) {
	appended = -1
	if _, _, err := d.Load(production); err != nil {
		return false, false, appended
	}
	for _, s := range steps {
		if d.Append(s.state, s.delta) != nil {
			return false, false, appended
		}
	}
	forgotten = d.Forget(production) == nil
	for i, s := range again {
		if d.Append(s.state, s.delta) == nil {
			appended = i
		}
	}
	return true, forgotten, appended
}

// TestForgetAtEveryCrash kills the process, or the machine, at every operation on the
// file system: what is loaded is what there was before, nothing, or what came after; and
// once Forget has returned, never what there was before, nor is anything of it on disk.
func TestForgetAtEveryCrash(t *testing.T) {
	t.Parallel()
	steps, again := history(t, testEpoch, 4), history(t, snapshot.Epoch{Counter: 9}, 2)
	whole := newMemFiles()
	whole.Operations = 1 << 20
	whole.Names["production.log.corrupt"] = &inode{Data: []byte("secret")}
	if _, forgotten, appended := forgetScenario(openMem(t, whole), steps, again); !forgotten || appended != len(again)-1 {
		t.Fatalf("without a crash: forgotten %v, then step %d", forgotten, appended)
	}
	if i := indexOf(t, again, load(t, openMem(t, whole.afterKill()))); i != len(again)-1 {
		t.Fatalf("without a crash: loaded step %d", i)
	}
	operations := 1<<20 - whole.Operations
	for n := range operations {
		m := newMemFiles()
		m.Names["production.log.corrupt"] = &inode{Data: []byte("secret")}
		m.Operations = n
		tried, forgotten, appended := forgetScenario(openMem(t, m), steps, again)
		for _, left := range []memFiles{
			m.afterKill(), m.afterPowerCut(false, 0), m.afterPowerCut(false, 1), m.afterPowerCut(true, 0.5),
		} {
			var s *snapshot.Snapshot
			for range 2 { // the second time, what the first one has left
				d := openMem(t, left)
				s = load(t, d)
				if d.Stats().SetAside > 0 {
					t.Fatalf("killed at operation %d: a file was set aside", n)
				}
				_ = d.Close()
			}
			switch {
			case s == nil:
				if tried {
					requireNothingLeft(t, n, left)
				}
			case s.Cursor().Epoch == testEpoch && forgotten:
				t.Fatalf("killed at operation %d, after it was forgotten: loaded %s", n, s.Cursor())
			case s.Cursor().Epoch == testEpoch:
				indexOf(t, steps, s)
			default:
				indexOf(t, again, s)
			}
		}
		if s := load(t, openMem(t, m.afterKill())); appended >= 0 && indexOf(t, again, s) < appended {
			t.Fatalf("killed at operation %d: step %d was appended, loaded %v", n, appended, s)
		}
	}
}

// requireNothingLeft looks for files of a forgotten environment.
func requireNothingLeft(t *testing.T, n int, m memFiles) {
	t.Helper()
	for name, i := range m.Names {
		if strings.HasPrefix(name, "production") && len(i.Data) > 0 && !strings.HasSuffix(name, ".tmp") {
			t.Fatalf("killed at operation %d: %s is left", n, name)
		}
	}
}

// failing refuses to remove and rename as long as it is told to.
type failing struct {
	memFiles
	err *error
}

func (f failing) Remove(name string) error {
	if *f.err != nil {
		return *f.err
	}
	return f.memFiles.Remove(name)
}

// TestForgetThatFails: what cannot be removed is not loaded, is not appended to, and is
// removed as soon as it can be.
func TestForgetThatFails(t *testing.T) {
	t.Parallel()
	steps, again := history(t, testEpoch, 3), history(t, testEpoch, 1)
	broken := errors.New("input/output error")
	var err error
	m := newMemFiles()
	d := open(failing{m, &err}, lockless{}, zerolog.Nop(), time.Hour)
	defer d.Close()
	appendAll(t, d, steps)
	err = broken
	if got := d.Forget(production); !errors.Is(got, broken) {
		t.Fatalf("forget: %v", got)
	}
	if got := d.Append(again[0].state, again[0].delta); !errors.Is(got, broken) {
		t.Errorf("append to what is not forgotten yet: %v", got)
	}
	if got := d.Stats(); got.Behind != 1 || got.Bytes != 0 {
		t.Errorf("stats %+v", got)
	}
	if s, _, _ := d.Load(production); s != nil {
		t.Errorf("loaded %s", s.Cursor())
	}
	if s := load(t, openMem(t, m.afterKill())); s != nil {
		t.Errorf("loaded %s after a restart", s.Cursor())
	}
	if err := d.Confirm(steps[3].state, time.Now()); !errors.Is(err, broken) {
		t.Errorf("confirm: %v", err)
	}
	err = nil
	e, _ := d.environment(production)
	if err := e.maintain(true); err != nil {
		t.Fatal(err)
	}
	requireNothingLeft(t, 0, m)
	// A new beginning may be of a lower revision.
	appendAll(t, d, again)
	if i := indexOf(t, again, load(t, openMem(t, m.afterKill()))); i != 1 {
		t.Errorf("loaded step %d", i)
	}
}

// TestForgetWhileBusy: folding, syncing and confirming go on, and bring nothing back.
func TestForgetWhileBusy(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	d := openMem(t, m)
	e, err := d.environment(production)
	if err != nil {
		t.Fatal(err)
	}
	steps := history(t, testEpoch, 2)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := errors.Join(e.rewrite(), d.Sync(production), d.Confirm(steps[2].state, time.Now())); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 50 {
		appendAll(t, d, steps)
		if err := d.Forget(production); err != nil {
			t.Fatal(err)
		}
		if s := load(t, openMem(t, m.afterPowerCut(false, 1))); s != nil {
			t.Fatalf("loaded %s", s.Cursor())
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	requireNothingLeft(t, 0, m)
}
