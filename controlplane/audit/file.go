package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// errFile says that it was the file that failed.
var errFile = errors.New("audit: write the file")

// lineBegin is how every line of a File begins.
const lineBegin = `{"trail":`

// DefaultFileBytes is how large a File grows before another one is begun.
const DefaultFileBytes = 100 << 20

// File is a file of audit entries, a line of JSON each, in the order of revisions. Each batch of
// entries is synced to the disk before more is asked for. When it would grow too large, it is
// renamed to its name, a dot and the last revision in it, and another one is begun; none
// is ever removed. A line that a crash cut off is cut off when the file is opened again, and
// written again: the file tells by itself how far it is. Entries of the last revision before a
// crash may be there twice.
type File struct {
	path string
	max  int64

	f        *os.File
	size     int64
	revision int64 // of the last line
}

// NewFile names a file, and makes sure that it can be written and is not something else.
// maxBytes 0: DefaultFileBytes.
func NewFile(path string, maxBytes int64) (*File, error) {
	f := &File{path: path, max: cmp.Or(maxBytes, DefaultFileBytes)}
	if _, err := f.open(); err != nil {
		return nil, err
	}
	f.close()
	return f, nil
}

// open opens the file for more, and returns the revision up to which everything is in it, or in
// the newest one that it was renamed to; 0: there is none.
func (f *File) open() (int64, error) {
	f.close()
	opened, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	size, last, err := lastLine(opened)
	if err == nil {
		err = opened.Truncate(size)
	}
	if err == nil {
		_, err = opened.Seek(size, io.SeekStart)
	}
	if err == nil && size == 0 {
		last, err = f.renamed()
	}
	if err != nil {
		return 0, errors.Join(err, opened.Close())
	}
	f.f, f.size, f.revision = opened, size, last
	if size == 0 {
		return last, nil // a file is renamed between revisions
	}
	return last - 1, nil
}

// lastLine returns where the last whole line ends, and its revision.
func lastLine(f *os.File) (size, revision int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	const step = 64 << 10
	var tail []byte
	for from := info.Size(); from > 0 && bytes.Count(tail, []byte("\n")) < 2; {
		part := make([]byte, min(step, from))
		from -= int64(len(part))
		if _, err := f.ReadAt(part, from); err != nil {
			return 0, 0, err
		}
		tail = append(part, tail...)
	}
	end := bytes.LastIndexByte(tail, '\n')
	if end < 0 {
		if begin := []byte(lineBegin); !bytes.HasPrefix(tail, begin) && !bytes.HasPrefix(begin, tail) {
			return 0, 0, notOurs(f)
		}
		return 0, 0, nil // the first line, cut off
	}
	line := tail[bytes.LastIndexByte(tail[:end], '\n')+1 : end]
	var l struct {
		Revision int64 `json:"revision"`
	}
	if err := json.Unmarshal(line, &l); err != nil || l.Revision <= 0 {
		return 0, 0, notOurs(f)
	}
	return info.Size() - int64(len(tail)-end-1), l.Revision, nil
}

func notOurs(f *os.File) error {
	return fmt.Errorf("%s: its last line is not an audit entry: is it another file?", f.Name())
}

// renamed is the last revision in what the file was renamed to; 0: it never was.
func (f *File) renamed() (newest int64, err error) {
	entries, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(f.path)+".")
		if n, err := strconv.ParseInt(suffix, 10, 64); ok && err == nil {
			newest = max(newest, n)
		}
	}
	return newest, nil
}

// write appends entries, whole revisions of them, and has them on the disk when it returns.
func (f *File) write(all []written) error {
	for _, w := range all {
		line, err := w.line()
		if err != nil {
			return err
		}
		if f.size > 0 && f.size+int64(len(line)) > f.max && w.kv.ModRevision > f.revision {
			if err := f.rotate(); err != nil {
				return err
			}
		}
		n, err := f.f.Write(line)
		f.size += int64(n)
		if err != nil {
			return err
		}
		f.revision = w.kv.ModRevision
	}
	if len(all) == 0 {
		return nil
	}
	return f.f.Sync()
}

// rotate begins another file.
func (f *File) rotate() error {
	if err := errors.Join(f.f.Sync(), f.f.Close()); err != nil {
		return err
	}
	f.f = nil
	name := f.path + "." + strconv.FormatInt(f.revision, 10)
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: it would be replaced", name)
	}
	if err := os.Rename(f.path, name); err != nil {
		return err
	}
	opened, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.f, f.size = opened, 0
	return syncDir(filepath.Dir(f.path))
}

// syncDir has the names in a directory on the disk.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (f *File) close() {
	if f.f != nil {
		_ = f.f.Close() // what was written is synced
		f.f = nil
	}
}
