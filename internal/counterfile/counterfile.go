// Package counterfile counts in a file that the process has mapped into its memory. An addition
// costs what it costs in memory, and is there when the process is killed right after it: the
// kernel has it. It is not there when the machine loses power.
package counterfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/google/uuid"
)

// Lanes is how many parts a counter has, so that goroutines that run at the same time rarely
// add to the same one.
const Lanes = 16

const magic = "TGCNTR\x00\x01"

// page is what the file holds, by the machine's own order of bytes.
type page struct {
	magic [len(magic)]byte
	id    [16]byte
	told  atomic.Uint64
	_     [32]byte
	lanes [Lanes]struct {
		n atomic.Uint64
		_ [56]byte
	}
}

const pageBytes = 4096

// File is a counter. It is safe for concurrent use; not by two processes. The mapping goes when
// nobody has the File any more: who is late with an addition does no harm.
type File struct{ page *page }

// Open opens the counter in a file, or makes one. Where files cannot be mapped, it counts in
// memory alone, from 0.
func Open(path string) (*File, error) {
	if err := ensure(path); err != nil {
		return nil, err
	}
	data, err := mapped(path)
	if errors.Is(err, errors.ErrUnsupported) {
		return &File{page: newPage()}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("counter %s: %w", path, err)
	}
	f := &File{page: (*page)(unsafe.Pointer(unsafe.SliceData(data)))} //nolint:gosec // it is mapped as large, and pages are aligned
	runtime.AddCleanup(f, unmap, data)
	if string(f.page.magic[:]) != magic {
		return nil, fmt.Errorf("counter %s: not a counter of this version of the program: remove it", path)
	}
	return f, nil
}

// ensure makes the file, unless it is there. All of it is written, so that there is room for it.
func ensure(path string) error {
	info, err := os.Stat(path) //nolint:gosec // the operator's own directory
	switch {
	case err == nil && info.Size() == pageBytes:
		return nil
	case err == nil:
		return fmt.Errorf("counter %s: %d bytes, want %d: remove it", path, info.Size(), pageBytes)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("counter: %w", err)
	}
	content := make([]byte, pageBytes)
	copy(content, unsafe.Slice((*byte)(unsafe.Pointer(newPage())), unsafe.Sizeof(page{}))) //nolint:gosec // its own bytes
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil { //nolint:gosec // as above
		return fmt.Errorf("counter: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil { //nolint:gosec // as above
		return fmt.Errorf("counter: %w", err)
	}
	return nil
}

func newPage() *page { return &page{magic: [len(magic)]byte([]byte(magic)), id: uuid.New()} }

// ID is the counter's own, since it was made.
func (f *File) ID() string {
	defer runtime.KeepAlive(f)
	return uuid.UUID(f.page.id).String()
}

// Add adds to one of the lanes.
func (f *File) Add(lane int, n uint64) {
	f.page.lanes[lane%Lanes].n.Add(n)
	runtime.KeepAlive(f)
}

// Sum is all that was added, since the counter was made.
func (f *File) Sum() (n uint64) {
	defer runtime.KeepAlive(f)
	for i := range f.page.lanes {
		n += f.page.lanes[i].n.Load()
	}
	return n
}

// Told is what SetTold was given last, by this process or an earlier one.
func (f *File) Told() uint64 {
	defer runtime.KeepAlive(f)
	return f.page.told.Load()
}

// SetTold notes how much of the sum somebody else knows of.
func (f *File) SetTold(n uint64) {
	f.page.told.Store(n)
	runtime.KeepAlive(f)
}
