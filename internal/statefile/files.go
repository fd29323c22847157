package statefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tidegate/tidegate/internal/fault"
)

// files is what this package asks of a file system; names are within one directory.
// The tests have one that fails, and one that loses power.
type files interface {
	// Open opens a file for reading.
	Open(name string) (io.ReadCloser, error)
	// Create makes a new file, in place of one that exists.
	Create(name string) (file, error)
	// Append opens an existing file to write at its end.
	Append(name string) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes renames and new names survive a power cut.
	SyncDir() error
}

type file interface {
	io.Writer
	Truncate(size int64) error
	Sync() error
	Close() error
}

// osFiles is a directory of the operating system.
type osFiles string

func (d osFiles) path(name string) string { return filepath.Join(string(d), name) }

func (d osFiles) Open(name string) (io.ReadCloser, error) { return os.Open(d.path(name)) }

func (d osFiles) Create(name string) (file, error) {
	return os.OpenFile(d.path(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (d osFiles) Append(name string) (file, error) {
	return os.OpenFile(d.path(name), os.O_WRONLY|os.O_APPEND, 0o600)
}

func (d osFiles) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d osFiles) Remove(name string) error { return os.Remove(d.path(name)) }

func (d osFiles) SyncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// temporary is the name under which a file is written.
func temporary(name string) string { return name + ".tmp" }

// writeTemporary writes and syncs a file beside the one that it is to replace, and
// returns it open at its end.
func writeTemporary(fsys files, name string, write func(io.Writer) error) (file, error) {
	f, err := fsys.Create(temporary(name))
	if err != nil {
		return nil, err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), ignoreNotExist(fsys.Remove(temporary(name))))
	}
	return f, nil
}

// replaceFile writes a file beside and renames it, so that name is whole whenever it is
// there.
func replaceFile(fsys files, name string, write func(io.Writer) error) error {
	f, err := writeTemporary(fsys, name, write)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	fault.Point(fault.StatefileBeforeRename)
	if err := fsys.Rename(temporary(name), name); err != nil {
		return err
	}
	fault.Point(fault.StatefileAfterRename)
	return fsys.SyncDir()
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
