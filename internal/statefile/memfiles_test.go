package statefile

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

// afterPowerCut is what may be left without power: renames that were not synced have
// happened or not, of the data not synced a part is there.
func (m *memFiles) afterPowerCut(renamed bool, part float64) *memFiles {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.durable
	if renamed {
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

func (m *memFiles) Open(name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.names[name]
	if i == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(slices.Clone(i.data))), nil
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

func (m *memFiles) Append(name string) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.names[name]
	if i == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{m, i}, nil
}

func (m *memFiles) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.operate() {
		return errKilled
	}
	if m.names[from] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
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
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	if f.files.failSync != nil {
		return f.files.failSync
	}
	if !f.files.operate() {
		return errKilled
	}
	f.inode.durable = slices.Clone(f.inode.data)
	return nil
}

func (f *memFile) Close() error { return nil }

// setSpace changes the space that is left.
func (m *memFiles) setSpace(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.space = n
}

// setFailSync makes syncs fail, or succeed again.
func (m *memFiles) setFailSync(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failSync = err
}
