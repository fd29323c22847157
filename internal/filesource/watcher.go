package filesource

import (
	"context"
	"errors"
	"time"
)

const (
	// lookEvery is the time between two looks at the files. If a look takes long, looking
	// takes at most one part in lookShare of the time.
	lookEvery = 200 * time.Millisecond
	lookShare = 20
	// rest is how long the files must have looked the same before they are read: whoever
	// writes them may be in the midst of it.
	rest = 400 * time.Millisecond
	// patience is how long the files may be without rest before that is worth a word.
	patience = 5 * time.Second
	// readEvery is how often files that look the same are read all the same: times may be
	// coarse, or kept by whoever replaces a file.
	readEvery = 10 * time.Second
)

// errRestless says that the files have not been at rest for too long to be read.
var errRestless = errors.New("the files keep changing: they are read once nothing has changed for " + rest.String())

// watcher tells what files hold, once they are at rest. One goroutine uses it.
type watcher struct {
	paths []string
	// judge is told what the files hold, or why they cannot be read, each time that this is
	// new; settled each time that they are found at rest, after that; unsettled while they
	// find no rest.
	judge     func(files []File, err error)
	settled   func(now time.Time)
	unsettled func()

	// seen is what the last look saw, since when it is seen; at rest last at calm.
	seen        look
	since, calm time.Time
	// judged is what was seen when the content was read last, at readAt.
	judged look
	readAt time.Time
	// content was judged.
	content checksum
	// events tell when to look, beside the looks that come anyway; nil: they do not.
	events *events
}

// Follow looks at files and folders (see manifest.Find) until ctx ends, and returns its error.
// It calls judge with what they hold, or with why they cannot be read, at first and each time
// that this is new; once they have been at rest, so that what is half written is not taken
// for whole; and with an error where they find no rest.
func Follow(ctx context.Context, paths []string, judge func(files []File, err error)) error {
	restless := false
	w := &watcher{paths: paths, calm: time.Now()}
	w.judge = judge
	w.settled = func(time.Time) { restless = false }
	w.unsettled = func() {
		if !restless {
			judge(nil, errRestless)
		}
		restless = true
		w.content = checksum{} // what comes to rest is told, whatever it is
	}
	w.events = newEvents()
	defer w.events.close()
	for {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
}

// step looks at the files once, does what is to be done, and waits until it is time for
// the next look, or ctx ends.
func (w *watcher) step(ctx context.Context) error {
	began := time.Now()
	seen := lookAt(w.paths)
	took := time.Since(began)
	w.take(seen, began)
	least, next := lookShare*took, lookEvery
	if left := rest - time.Since(w.since); left > 0 {
		next = min(next, left) // then they have been at rest
	}
	if err := w.wait(ctx, least, nil); err != nil {
		return err
	}
	var hints <-chan struct{}
	if w.events != nil {
		hints = w.events.hints
	}
	return w.wait(ctx, next-least, hints)
}

// wait waits for a time, at most until something happens to the files, or ctx ends.
func (w *watcher) wait(ctx context.Context, d time.Duration, hints <-chan struct{}) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	case <-hints:
	}
	return nil
}

// take is the state machine: it decides what a look means.
func (w *watcher) take(seen look, now time.Time) {
	if !seen.same(w.seen) {
		w.seen, w.since = seen, now
	}
	if now.Sub(w.since) < rest {
		if now.Sub(w.calm) > patience {
			w.unsettled()
		}
		return
	}
	w.calm = now
	if !seen.same(w.judged) || now.Sub(w.readAt) >= readEvery {
		w.read(now)
		return
	}
	w.settled(now)
}

// read reads the files that were seen, and has what they hold judged if it is new.
func (w *watcher) read(now time.Time) {
	if w.events != nil {
		w.events.cover(w.paths, w.seen.files)
	}
	files, sum, err := w.seen.read()
	if after := lookAt(w.paths); !after.same(w.seen) {
		w.seen, w.since = after, now
		return
	}
	if sum != w.content {
		w.content = sum
		w.judge(files, err)
	}
	w.judged, w.readAt = w.seen, now
	w.settled(now)
}
