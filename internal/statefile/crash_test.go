package statefile

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// scenario does everything that writes, and reports how far it came: the last step
// whose Append succeeded, and the last one that was synced.
func scenario(d *Dir, steps []step, compactAt int) (attempted, appended, synced int) {
	attempted, appended, synced = -1, -1, -1
	if _, _, err := d.Load(production); err != nil {
		return attempted, appended, synced
	}
	for i, s := range steps {
		attempted = i
		if d.Append(s.state, s.delta) == nil {
			appended = i
		}
		if i%3 == 2 && d.Sync(production) == nil {
			synced = appended
		}
		if i%5 == 4 {
			_ = d.Confirm(s.state, time.Unix(int64(i), 0))
		}
		if i == compactAt {
			if e, err := d.environment(production); err == nil && e.rewrite() == nil {
				synced = appended
			}
		}
	}
	return attempted, appended, synced
}

// TestCrashAtEveryWrite kills the process, or the machine, at every operation on the
// file system: what is loaded afterwards was published, is not older than what was
// promised, and can be continued.
func TestCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 12)
	// A restored store: everything is replaced, by a lower revision.
	steps = append(steps, history(t, snapshot.Epoch{Counter: 2, Random: 7}, 4)...)
	const compactAt = 7
	whole := newMemFiles()
	whole.Operations = 1 << 20
	if _, appended, _ := scenario(openMem(t, whole), steps, compactAt); appended != len(steps)-1 {
		t.Fatalf("without a crash, step %d of %d was appended last", appended, len(steps))
	}
	operations := 1<<20 - whole.Operations
	if operations < 30 {
		t.Fatalf("only %d operations: the scenario does not write", operations)
	}
	for n := range operations {
		m := newMemFiles()
		m.Operations = n
		attempted, appended, synced := scenario(openMem(t, m), steps, compactAt)
		check := func(how string, left memFiles, atLeast int) {
			t.Helper()
			d := openMem(t, left)
			s := load(t, d)
			i := indexOf(t, steps, s)
			if i < atLeast || i > attempted {
				t.Errorf("killed at operation %d, %s: loaded step %d, want %d to %d", n, how, i, atLeast, attempted)
			}
			if d.Stats().SetAside > 0 {
				t.Errorf("killed at operation %d, %s: a file was set aside", n, how)
			}
			if how == "process" {
				continueAfterLoad(t, d, left, steps, i)
			}
		}
		check("process", m.afterKill(), appended)
		for _, part := range []float64{0, 0.5, 1} {
			check(fmt.Sprintf("power, %v of the data", part), m.afterPowerCut(false, part), synced)
			check(fmt.Sprintf("power, renamed, %v of the data", part), m.afterPowerCut(true, part), synced)
		}
	}
}

// continueAfterLoad appends what follows step i, and loads it again.
func continueAfterLoad(t *testing.T, d *Dir, m memFiles, steps []step, i int) {
	t.Helper()
	if i == len(steps)-1 {
		return
	}
	appendAll(t, d, steps[i+1:])
	if got := indexOf(t, steps, load(t, openMem(t, m.afterKill()))); got != len(steps)-1 {
		t.Errorf("continued from step %d, then loaded step %d, want %d", i, got, len(steps)-1)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 9)
	m := newMemFiles()
	d := openMem(t, m)
	appendAll(t, d, steps[:4])
	m.setSpace(10)
	for _, s := range steps[4:7] {
		if err := d.Append(s.state, s.delta); err == nil {
			t.Fatal("append to a full disk succeeded")
		}
	}
	if err := d.Sync(production); err == nil {
		t.Error("sync succeeded, though the newest state is not on disk")
	}
	if s := d.Stats(); s.Behind != 1 || s.WriteErrors == 0 {
		t.Errorf("stats %+v: want one environment behind, and errors", s)
	}
	if i := indexOf(t, steps, load(t, openMem(t, m.afterKill()))); i != 3 {
		t.Errorf("loaded step %d from a full disk, want the last one written, 3", i)
	}
	m.setSpace(-1)
	appendAll(t, d, steps[7:8])
	if i := indexOf(t, steps, load(t, openMem(t, m.afterKill()))); i != 7 {
		t.Errorf("loaded step %d once there was space, want 7: the gap is part of it", i)
	}
	if err := errors.Join(d.Sync(production), d.Confirm(steps[7].state, time.Now())); err != nil {
		t.Errorf("after recovery: %v", err)
	}
}

// TestFullDiskRecoversByItself: nothing else needs to change for the newest state to
// get on disk, whatever it is that failed.
func TestFullDiskRecoversByItself(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 5)
	other := history(t, snapshot.Epoch{Counter: 2, Random: 7}, 1)
	for _, c := range []struct {
		name string
		fail func(memFiles)
		last step
	}{
		{"no space for a delta", func(m memFiles) { m.setSpace(10) }, steps[4]},
		{"no space for a snapshot", func(m memFiles) { m.setSpace(200) }, other[0]},
		{"sync fails", func(m memFiles) { m.setFailSync(errors.New("input/output error")) }, steps[4]},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMemFiles()
			d := openWith(t, m, zerolog.Nop(), time.Millisecond)
			appendAll(t, d, steps[:4])
			c.fail(m)
			if errors.Join(d.Append(c.last.state, c.last.delta), d.Sync(production)) == nil {
				t.Fatal("nothing failed")
			}
			m.setSpace(-1)
			m.setFailSync(nil)
			eventually(t, func() bool { return d.Stats().Behind == 0 })
			if err := d.Sync(production); err != nil {
				t.Errorf("sync: %v", err)
			}
			if got := load(t, openMem(t, m.afterPowerCut(false, 0))); got == nil || got.Cursor() != c.last.state.Cursor() {
				t.Errorf("loaded %v, want %s", got, c.last.state.Cursor())
			}
		})
	}
}

// TestCompaction: a log does not grow without bound, and what is appended while it is
// folded into a snapshot is not lost.
func TestCompaction(t *testing.T) {
	t.Parallel()
	m := newMemFiles()
	d := openMem(t, m)
	state, _ := snapshot.New(production, testEpoch).Next(1, nil, nil)
	if err := d.Append(state, state.Full()); err != nil {
		t.Fatal(err)
	}
	items := []snapshot.Item{flagItem(t, "a", 2, 60<<10), flagItem(t, "b", 2, 60<<10)}
	for revision := int64(2); revision < 200; revision++ {
		items[0].ModRevision = revision
		var delta snapshot.Delta
		state, delta = state.Next(revision, slices.Clone(items[:1]), nil)
		if err := d.Append(state, delta); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return d.Stats().Bytes < compactFrom+200<<10 })
	if r := d.Stats().Rewrites; r < 2 {
		t.Errorf("%d snapshots were written, want the first and at least one more", r)
	}
	if got := load(t, openMem(t, m.afterKill())); got == nil || got.Cursor() != state.Cursor() {
		t.Errorf("loaded %v, want %s", got, state.Cursor())
	}
}

// TestConfirmWithoutLog: a state whose log cannot be continued, on a disk that takes no
// new one, is served; what cannot be noted is an error.
func TestConfirmWithoutLog(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 3)
	m := written(t, steps)
	m = m.with("production.log", func([]byte) []byte { return []byte("garbage") })
	m.setSpace(0)
	d := openWith(t, m, zerolog.Nop(), time.Millisecond)
	s := load(t, d)
	if err := d.Confirm(s, time.Now()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("confirm: %v, want no space", err)
	}
	m.setSpace(-1)
	eventually(t, func() bool { return d.Stats().Behind == 0 })
	if err := d.Confirm(s, time.Now()); err != nil {
		t.Errorf("confirm, with space: %v", err)
	}
}

// TestUseWhileClosing: what comes while the Dir is closed is refused.
func TestUseWhileClosing(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 3)
	d := openMem(t, newMemFiles())
	appendAll(t, d, steps[:2])
	e, err := d.environment(production)
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"append": e.append(steps[2].state, steps[2].delta), "sync": e.sync(), "confirm": e.confirm(steps[1].state, time.Now()),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
}

// TestCompactionOfConfirmations: a log grows in an environment that never changes, too.
func TestCompactionOfConfirmations(t *testing.T) {
	t.Parallel()
	d, err := Open(t.TempDir(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	state, _ := snapshot.New(production, testEpoch).Next(1, nil, nil)
	if err := d.Append(state, state.Full()); err != nil {
		t.Fatal(err)
	}
	for second := range int64(2 * compactFrom / (frameHeaderSize + markSize)) {
		if err := d.Confirm(state, time.Unix(second, 0)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return d.Stats().Bytes <= 2*compactFrom-compactFrom/2 })
}

// TestNoSpaceToCompact: a disk that has room for deltas, but not for a snapshot, takes
// the deltas, and the log is folded once there is room.
func TestNoSpaceToCompact(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 5)
	m := newMemFiles()
	d := openMem(t, m)
	appendAll(t, d, steps[:3])
	e, err := d.environment(production)
	if err != nil {
		t.Fatal(err)
	}
	m.setSpace(100)
	if e.rewrite() == nil {
		t.Fatal("there was room")
	}
	m.setSpace(1000)
	appendAll(t, d, steps[3:])
	if err := d.Sync(production); err != nil {
		t.Error(err)
	}
	if i := indexOf(t, steps, load(t, openMem(t, m.afterPowerCut(false, 0)))); i != 5 {
		t.Errorf("loaded step %d, want 5", i)
	}
	m.setSpace(-1)
	if err := e.maintain(false); err == nil {
		t.Error("it was tried again at once")
	}
	if err := errors.Join(e.maintain(true), e.maintain(false)); err != nil {
		t.Errorf("with room: %v", err)
	}
	if r := d.Stats().Rewrites; r != 2 {
		t.Errorf("%d snapshots, want the first and one more", r)
	}
}

// TestPowerCutWhileBusy cuts the power again and again while one goroutine appends, one
// syncs and one folds the log into snapshots: what was synced is always there.
func TestPowerCutWhileBusy(t *testing.T) {
	t.Parallel()
	steps := history(t, testEpoch, 150)
	m := newMemFiles()
	d := openMem(t, m)
	appendAll(t, d, steps[:1])
	e, err := d.environment(production)
	if err != nil {
		t.Fatal(err)
	}
	var appended, synced atomic.Int64
	done := make(chan struct{})
	var running sync.WaitGroup
	forever := func(f func() error) {
		running.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	forever(func() error {
		n := appended.Load()
		err := d.Sync(production)
		synced.Store(n)
		return err
	})
	forever(e.rewrite)
	forever(func() error {
		return d.Confirm(steps[appended.Load()].state, time.Now())
	})
	for i, s := range steps[1:] {
		if err := d.Append(s.state, s.delta); err != nil {
			t.Fatal(err)
		}
		appended.Store(int64(i + 1))
		if i%3 > 0 {
			continue
		}
		atLeast := int(synced.Load())
		if got := indexOf(t, steps, load(t, openMem(t, m.afterPowerCut(i%2 == 0, float64(i%5)/4)))); got < atLeast {
			t.Fatalf("after a power cut, step %d was loaded, and %d was synced", got, atLeast)
		}
		if got := indexOf(t, steps, load(t, openMem(t, m.afterKill()))); got != i+1 {
			t.Fatalf("after a kill, step %d was loaded, and %d was appended", got, i+1)
		}
	}
	close(done)
	running.Wait()
}

// eventually waits for what another goroutine does.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen within a minute")
		}
	}
}
