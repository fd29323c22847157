package spool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// files is what this package asks of a file system; names are within one directory. The
// tests have one that fails, and one that loses power.
type files interface {
	// List returns the names that are there, and the sizes in bytes.
	List() (map[string]int64, error)
	// Open opens an existing file for reading.
	Open(name string) (file, error)
	// Create makes a new file, in place of one that exists.
	Create(name string) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes new names survive a power cut.
	SyncDir() error
}

type file interface {
	io.Writer // at the end
	io.ReaderAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// osFiles is a directory of the operating system.
type osFiles string

func (d osFiles) path(name string) string { return filepath.Join(string(d), name) }

func (d osFiles) List() (map[string]int64, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			sizes[e.Name()] = info.Size()
		}
	}
	return sizes, nil
}

func (d osFiles) Open(name string) (file, error) { return os.Open(d.path(name)) }

func (d osFiles) Create(name string) (file, error) {
	return os.OpenFile(d.path(name), os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
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

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
