package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// smallDisk is a file system of so many MiB, with root; where there is none, what it cannot
// do is said, and its directory is made unwritable instead of full.
func (s *scenario) smallDisk(name string, mib int) *smallDisk {
	s.Helper()
	d := &smallDisk{s: s, dir: s.folder(name)}
	s.must(os.MkdirAll(d.dir, 0o700))
	if os.Geteuid() != 0 {
		s.Log("a disk that cannot be written stands for one that is full: to mount one needs root")
		return d
	}
	s.must(syscall.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)))
	d.mounted = true
	s.Cleanup(func() { s.must(syscall.Unmount(d.dir, syscall.MNT_DETACH)) })
	return d
}

// smallDisk is a directory that can be full.
type smallDisk struct {
	s       *scenario
	dir     string
	mounted bool
}

// data is a folder on it.
func (d *smallDisk) data() string { return filepath.Join(d.dir, "data") }

// fill leaves no byte.
func (d *smallDisk) fill() {
	d.s.Helper()
	if !d.mounted {
		d.s.must(os.Chmod(d.data(), 0o500))
		return
	}
	f, err := os.Create(filepath.Join(d.dir, "ballast"))
	d.s.must(err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// free undoes fill.
func (d *smallDisk) free() {
	d.s.Helper()
	if !d.mounted {
		d.s.must(os.Chmod(d.data(), 0o700))
		return
	}
	d.s.must(os.Remove(filepath.Join(d.dir, "ballast")))
}
