package statefile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockOffset keeps the locked byte away from the text, which others may read.
const lockOffset = 1 << 20

// lockFile locks f for as long as it is open; ErrLocked if another process has it.
func lockFile(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: lockOffset})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}
