package filesource

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// However files are changed, the file system tells.
func TestEvents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
	}{
		{"written in place", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "a.yaml"), flags("a=blue")) }},
		{"replaced by a rename", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "..", "new"), flags("a=blue"))
			rename(t, filepath.Join(dir, "..", "new"), filepath.Join(dir, "a.yaml"))
		}},
		{"in a folder below", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "sub", "b.yaml"), flags("b=blue")) }},
		{"a file removed", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "a.yaml")) }},
		{"what a link leads to", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "..", "v1", "l.yaml"), flags("l=blue")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, dir := covered(t)
			c.change(t, dir)
			awaitHint(t, e)
		})
	}
}

// What a link leads to by now is watched, and what it led to no more.
func TestEventsFollow(t *testing.T) {
	t.Parallel()
	e, dir := covered(t)
	link(t, filepath.Join(dir, "..", "v2", "l.yaml"), filepath.Join(dir, "l.yaml"))
	e.cover([]string{dir}, lookAt([]string{dir}).files)
	watched := make(map[string]bool)
	for _, folder := range e.watcher.WatchList() {
		watched[filepath.Base(folder)] = true
	}
	if !watched["v2"] || watched["v1"] || !watched["sub"] || !watched["d"] {
		t.Errorf("%v are watched", watched)
	}
}

// covered is a folder whose files are watched, and one of which is a link.
func covered(t *testing.T) (*events, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "d")
	write(t, filepath.Join(dir, "a.yaml"), flags("a=red"))
	write(t, filepath.Join(dir, "sub", "b.yaml"), flags("b=red"))
	for _, version := range []string{"v1", "v2"} {
		write(t, filepath.Join(dir, "..", version, "l.yaml"), flags("l=red"))
	}
	link(t, filepath.Join(dir, "..", "v1", "l.yaml"), filepath.Join(dir, "l.yaml"))
	e := newEvents()
	t.Cleanup(e.close)
	if e.watcher == nil {
		t.Skip("the system has no watches left")
	}
	e.cover([]string{dir}, lookAt([]string{dir}).files)
	return e, dir
}

func awaitHint(t *testing.T, e *events) {
	t.Helper()
	select {
	case <-e.hints:
	case <-time.After(time.Minute):
		t.Fatal("the file system does not tell")
	}
}

// A system that has no watches left is looked at all the same.
func TestNoEvents(t *testing.T) {
	t.Parallel()
	e := &events{hints: make(chan struct{})}
	e.cover([]string{t.TempDir()}, nil)
	e.close()
}

// Who follows is woken by events, whatever the time between looks.
func TestWokenByEvents(t *testing.T) {
	t.Parallel()
	w := &watcher{events: &events{hints: make(chan struct{}, 1)}}
	w.events.hints <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.wait(ctx, time.Hour, w.events.hints); err != nil {
		t.Error(err)
	}
}
