package spool

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"
)

var errKilled = errors.New("killed")

// memFiles is a file system in memory that knows what a power cut would leave, dies
// after a number of operations, and can be full.
type memFiles struct {
	mu sync.Mutex
	// names is the directory, durable what of it was synced.
	names, durable map[string]*inode
	// operations that change something are left; negative: any number.
	operations int
	// space is left, in bytes; negative: any amount.
	space int
	// failSync makes syncs of files fail.
	failSync error
	syncs    int
	// onSync, if not nil, is called before a file is synced.
	onSync func()
}

type inode struct{ data, durable []byte }

func newMemFiles() *memFiles {
	return &memFiles{names: map[string]*inode{}, durable: map[string]*inode{}, operations: -1, space: -1}
}

// afterKill is what a killed process leaves.
func (m *memFiles) afterKill() *memFiles {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copy(m.names, func(i *inode) []byte { return i.data })
}

// afterPowerCut is what may be left without power: names that were not synced are there or
// not, of the data not synced a part is.
func (m *memFiles) afterPowerCut(named bool, part float64) *memFiles {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.durable
	if named {
		names = m.names
	}
	return m.copy(names, func(i *inode) []byte {
		if !bytes.HasPrefix(i.data, i.durable) {
			return i.durable
		}
		return i.data[:len(i.durable)+int(part*float64(len(i.data)-len(i.durable)))]
	})
}

func (m *memFiles) copy(names map[string]*inode, content func(*inode) []byte) *memFiles {
	c := newMemFiles()
	for name, i := range names {
		data := slices.Clone(content(i))
		c.names[name] = &inode{data: data, durable: data}
	}
	c.durable = maps.Clone(c.names)
	return c
}

// operate counts an operation; false: the process is dead.
func (m *memFiles) operate() bool {
	if m.operations == 0 {
		return false
	}
	m.operations--
	return true
}

func (m *memFiles) List() (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sizes := make(map[string]int64)
	for name, i := range m.names {
		sizes[name] = int64(len(i.data))
	}
	return sizes, nil
}

func (m *memFiles) Open(name string) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.names[name]
	if i == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{m, i}, nil
}

func (m *memFiles) Create(name string) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.operate() {
		return nil, errKilled
	}
	i := &inode{}
	m.names[name] = i
	return &memFile{m, i}, nil
}

func (m *memFiles) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.operate() {
		return errKilled
	}
	m.names[to] = m.names[from]
	delete(m.names, from)
	return nil
}

func (m *memFiles) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if !m.operate() {
		return errKilled
	}
	delete(m.names, name)
	return nil
}

func (m *memFiles) SyncDir() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.operate() {
		return errKilled
	}
	m.durable = maps.Clone(m.names)
	return nil
}

type memFile struct {
	files *memFiles
	inode *inode
}

// Write of a dying process, or to a full disk, leaves a part.
func (f *memFile) Write(p []byte) (int, error) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if f.files.operations == 0 {
		return 0, errKilled
	}
	n := len(p)
	var err error
	if !f.files.operate() || f.files.operations == 0 {
		n, err = n/2, errKilled
	}
	if f.files.space >= 0 {
		if f.files.space < n {
			n, err = f.files.space, syscall.ENOSPC
		}
		f.files.space -= n
	}
	f.inode.data = append(slices.Clone(f.inode.data), p[:n]...)
	return n, err
}

func (f *memFile) ReadAt(p []byte, at int64) (int, error) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	return bytes.NewReader(f.inode.data).ReadAt(p, at)
}

func (f *memFile) Truncate(size int64) error {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if !f.files.operate() {
		return errKilled
	}
	f.inode.data = slices.Clone(f.inode.data[:size])
	return nil
}

func (f *memFile) Sync() error {
	if f.files.onSync != nil {
		f.files.onSync()
	}
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if f.files.failSync != nil {
		return f.files.failSync
	}
	if !f.files.operate() {
		return errKilled
	}
	f.files.syncs++
	f.inode.durable = slices.Clone(f.inode.data)
	return nil
}

func (f *memFile) Close() error { return nil }

// set changes what the disk does.
func (m *memFiles) set(change func(m *memFiles)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// flip inverts a bit of a file.
func (m *memFiles) flip(name string, bit int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.names[name]
	i.data = slices.Clone(i.data)
	i.data[bit/8] ^= 1 << (bit % 8)
	i.durable = i.data
}

var _ io.ReaderAt = (*memFile)(nil)
