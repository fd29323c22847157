package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Forget removes everything that is kept of an environment, also what was set aside as
// damaged, and returns once that survives a power cut. From then on nothing of it comes
// back, and a crash at any moment before leaves either all that could be loaded or
// nothing. The next Append begins anew. If it fails, what is left is not loaded, the Dir
// goes on trying by itself, and Append fails until it is done.
//
// It is called by the goroutine that appends.
func (d *Dir) Forget(environment string) error {
	e, err := d.environment(environment)
	if err != nil {
		return err
	}
	return e.forget()
}

// forget is Dir.Forget.
func (e *environment) forget() error {
	e.rewriting.Lock()
	defer e.rewriting.Unlock()
	e.syncing.Lock()
	defer e.syncing.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if errors.Is(e.failed, ErrClosed) {
		return ErrClosed
	}
	if e.log != nil {
		if err := e.log.Close(); err != nil {
			e.dir.logger.Warn().Err(err).Str("environment", e.name).Msg("closing the state log that is forgotten")
		}
	}
	e.loaded, e.forgetting = true, true
	e.shown, e.disk, e.log, e.unsynced = nil, nil, nil, false
	e.failed, e.notFolded, e.mustRewrite = nil, nil, false
	e.confirmed, e.logSize, e.snapshotSize = time.Time{}, 0, 0
	return e.removeLocked()
}

// finishForgetting removes what a failed Forget has left.
func (e *environment) finishForgetting() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case errors.Is(e.failed, ErrClosed):
		return ErrClosed
	case e.forgetting:
		return e.removeLocked()
	}
	return nil
}

// removeLocked removes the files. Renaming the snapshot is what forgets it: it takes no
// space, and happens or not; the log alone is never loaded. The file of that name goes
// last.
func (e *environment) removeLocked() error {
	files := e.dir.files
	err := ignoreNotExist(files.Rename(e.snapshotFile, e.forgottenFile))
	if err == nil {
		err = files.SyncDir()
	}
	if err == nil {
		for _, name := range []string{e.snapshotFile, e.logFile} {
			for _, f := range []string{name, temporary(name), aside(name)} {
				err = errors.Join(err, ignoreNotExist(files.Remove(f)))
			}
		}
	}
	if err == nil {
		err = files.SyncDir()
	}
	if err == nil {
		err = errors.Join(ignoreNotExist(files.Remove(e.forgottenFile)), files.SyncDir())
	}
	if err != nil {
		e.dir.writeErrors.Add(1)
		e.dir.logger.Error().Err(err).Str("environment", e.name).
			Msg("state that is to be forgotten cannot be removed; it is tried again")
		e.failed = fmt.Errorf("statefile: forget environment %q: %w", e.name, err)
		e.dir.wakeUp()
		return e.failed
	}
	e.forgetting, e.failed = false, nil
	e.dir.logger.Info().Str("environment", e.name).Msg("state is forgotten")
	return nil
}

// forgottenLocked tells whether a crash, or a disk that failed, has left files that are
// to be removed, and removes them.
func (e *environment) forgottenLocked() bool {
	f, err := e.dir.files.Open(e.forgottenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		_ = f.Close() // it was not read
	}
	e.forgetting = true
	_ = e.removeLocked() // what fails is kept, and tried again by the maintenance
	return true
}
