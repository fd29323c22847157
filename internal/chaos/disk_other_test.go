//go:build unix && !linux

package chaos

import (
	"os"
	"path/filepath"
)

// smallDisk is a directory that can be made unwritable: small file systems are Linux's.
type smallDisk struct {
	s   *scenario
	dir string
}

func (s *scenario) smallDisk(name string, _ int) *smallDisk {
	s.Helper()
	s.Log("a disk that cannot be written stands for one that is full")
	d := &smallDisk{s: s, dir: s.folder(name)}
	s.must(os.MkdirAll(d.dir, 0o700))
	return d
}

func (d *smallDisk) data() string { return filepath.Join(d.dir, "data") }

func (d *smallDisk) fill() { d.s.must(os.Chmod(d.data(), 0o500)) }

func (d *smallDisk) free() { d.s.must(os.Chmod(d.data(), 0o700)) }
