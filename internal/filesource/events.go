package filesource

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"

	"github.com/tidegate/tidegate/internal/manifest"
)

// events has the file system tell when there may be something to see, so that nobody waits for
// the next look. They are hints: they do not come over a network, nor beyond the system's limit
// of watches, nor through a mount that does not pass them on; looking goes on in any case. So
// whatever fails here is no error. One goroutine uses it.
type events struct {
	watcher *fsnotify.Watcher // nil: there are none
	// hints has one when something has happened since it was taken.
	hints chan struct{}
	done  sync.WaitGroup
}

func newEvents() *events {
	e := &events{hints: make(chan struct{}, 1)}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return e
	}
	e.watcher = watcher
	e.done.Go(func() {
		for {
			select {
			case _, open := <-watcher.Events:
				if !open {
					return
				}
			case _, open := <-watcher.Errors: // such as an overflow
				if !open {
					return
				}
			}
			select {
			case e.hints <- struct{}{}:
			default:
			}
		}
	})
	return e
}

func (e *events) close() {
	if e.watcher != nil {
		_ = e.watcher.Close() // nothing is lost with it
		e.done.Wait()
	}
}

// cover watches the folders where what was seen can change: those that the paths, and the files, and
// what links lead to, are in. They are watched by where they are, so that a link that leads
// elsewhere is another folder.
func (e *events) cover(paths []string, files []manifest.File) {
	if e.watcher == nil {
		return
	}
	wanted := make(map[string]bool)
	for _, path := range paths {
		want(wanted, filepath.Dir(path))
		want(wanted, path)
	}
	for _, f := range files {
		want(wanted, filepath.Dir(f.Path))
		if target, err := filepath.EvalSymlinks(f.Path); err == nil {
			wanted[filepath.Dir(target)] = true
		}
	}
	for _, watched := range e.watcher.WatchList() {
		if !wanted[watched] {
			_ = e.watcher.Remove(watched) // it may be gone
		}
	}
	for folder := range wanted { // those that are watched, too: another one may have come in its place
		_ = e.watcher.Add(folder) // else the looks have to do
	}
}

// want adds a folder, as it is without links.
func want(wanted map[string]bool, path string) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return
	}
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		wanted[target] = true
	}
}
