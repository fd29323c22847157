package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// ErrLocked says that another process uses the directory.
var ErrLocked = errors.New("state directory is in use")

// lock takes the directory's lock; closing the file releases it.
func lock(dir string) (*os.File, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		// What is in a directory that has become read-only can still be served.
		var readErr error
		if f, readErr = os.Open(name); readErr != nil {
			return nil, err
		}
	}
	if err := lockFile(f); err != nil {
		holder := ""
		if text, readErr := os.ReadFile(name); readErr == nil {
			if pid, parseErr := strconv.Atoi(string(bytes.TrimSpace(text))); parseErr == nil {
				holder = fmt.Sprintf(" by process %d", pid)
			}
		}
		return nil, errors.Join(fmt.Errorf("%w%s: %s", err, holder, name), f.Close())
	}
	// The pid is for people, and not worth failing for: the lock is held.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}
