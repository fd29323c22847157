// Package memfiles is a directory in memory for tests of what survives: it knows what a killed
// process leaves, and what a power cut; it dies after a number of operations, and can be full.
package memfiles

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"
)

// ErrKilled is what a dead process's operations fail with: nobody sees it but tests.
var ErrKilled = errors.New("killed")

// Files is one directory. Its methods may be called from any goroutine, its fields changed by
// Set while others use it.
type Files struct {
	// Names is what is in the directory.
	Names map[string]*Inode
	// Operations that change something are left; negative: any number.
	Operations int
	// Space is left, in bytes; negative: any amount.
	Space int
	// FailSync makes syncs of files fail.
	FailSync error
	// Syncs of files that there were.
	Syncs int
	// OnSync, if not nil, is called before a file is synced.
	OnSync func()

	mu sync.Mutex
	// durable is what of the names was synced.
	durable map[string]*Inode
}

// Inode is a file.
type Inode struct {
	Data []byte
	// durable is what of the data was synced.
	durable []byte
}

// New makes an empty directory.
func New() *Files {
	return &Files{Names: map[string]*Inode{}, durable: map[string]*Inode{}, Operations: -1, Space: -1}
}

// Set changes what the disk does.
func (m *Files) Set(change func(m *Files)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// Flip inverts a bit of a file.
func (m *Files) Flip(name string, bit int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.Names[name]
	i.Data = slices.Clone(i.Data)
	i.Data[bit/8] ^= 1 << (bit % 8)
	i.durable = i.Data
}

// AfterKill is what a killed process leaves.
func (m *Files) AfterKill() *Files {
	m.mu.Lock()
	defer m.mu.Unlock()
	return left(m.Names, func(i *Inode) []byte { return i.Data })
}

// AfterPowerCut is what may be left without power: new names and renames that were not synced
// are there or not, of the data not synced a part is.
func (m *Files) AfterPowerCut(named bool, part float64) *Files {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.durable
	if named {
		names = m.Names
	}
	return left(names, func(i *Inode) []byte {
		if !bytes.HasPrefix(i.Data, i.durable) {
			return i.durable
		}
		return i.Data[:len(i.durable)+int(part*float64(len(i.Data)-len(i.durable)))]
	})
}

func left(names map[string]*Inode, content func(*Inode) []byte) *Files {
	c := New()
	for name, i := range names {
		data := slices.Clone(content(i))
		c.Names[name] = &Inode{Data: data, durable: data}
	}
	c.durable = maps.Clone(c.Names)
	return c
}

// operate counts an operation; false: the process is dead. mu is held.
func (m *Files) operate() bool {
	if m.Operations == 0 {
		return false
	}
	m.Operations--
	return true
}

// List returns the names that are there, and the sizes in bytes.
func (m *Files) List() (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sizes := make(map[string]int64)
	for name, i := range m.Names {
		sizes[name] = int64(len(i.Data))
	}
	return sizes, nil
}

// Open opens an existing file, to read and to write at its end.
func (m *Files) Open(name string) (*File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.Names[name]
	if i == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &File{m, i}, nil
}

// Create makes a new file, in place of one that exists.
func (m *Files) Create(name string) (*File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.operate() {
		return nil, ErrKilled
	}
	i := &Inode{}
	m.Names[name] = i
	return &File{m, i}, nil
}

// Rename gives a file another name, which another file may have had.
func (m *Files) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.operate() {
		return ErrKilled
	}
	if m.Names[from] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	m.Names[to] = m.Names[from]
	delete(m.Names, from)
	return nil
}

// Remove removes a file.
func (m *Files) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if !m.operate() {
		return ErrKilled
	}
	delete(m.Names, name)
	return nil
}

// SyncDir makes the names survive a power cut.
func (m *Files) SyncDir() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.operate() {
		return ErrKilled
	}
	m.durable = maps.Clone(m.Names)
	return nil
}

// File is a file that is open.
type File struct {
	files *Files
	inode *Inode
}

// Content is a copy of what is in the file.
func (f *File) Content() []byte {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	return slices.Clone(f.inode.Data)
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, at int64) (int, error) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	return bytes.NewReader(f.inode.Data).ReadAt(p, at)
}

// Write writes at the end. That of a dying process, or to a full disk, leaves a part.
func (f *File) Write(p []byte) (int, error) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if f.files.Operations == 0 {
		return 0, ErrKilled
	}
	n := len(p)
	var err error
	if !f.files.operate() || f.files.Operations == 0 {
		n, err = n/2, ErrKilled
	}
	if f.files.Space >= 0 {
		if f.files.Space < n {
			n, err = f.files.Space, syscall.ENOSPC
		}
		f.files.Space -= n
	}
	f.inode.Data = append(slices.Clone(f.inode.Data), p[:n]...)
	return n, err
}

// Truncate cuts the file to a size, which is not above its own.
func (f *File) Truncate(size int64) error {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if !f.files.operate() {
		return ErrKilled
	}
	f.inode.Data = slices.Clone(f.inode.Data[:size])
	return nil
}

// Sync makes what is in the file survive a power cut.
func (f *File) Sync() error {
	f.files.mu.Lock()
	before := f.files.OnSync
	f.files.mu.Unlock()
	if before != nil {
		before()
	}
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if f.files.FailSync != nil {
		return f.files.FailSync
	}
	if !f.files.operate() {
		return ErrKilled
	}
	f.files.Syncs++
	f.inode.durable = slices.Clone(f.inode.Data)
	return nil
}

// Close does nothing.
func (f *File) Close() error { return nil }
