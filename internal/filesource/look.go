package filesource

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/tidegate/tidegate/internal/manifest"
)

// look is what can be seen of the files without reading them.
type look struct {
	files []manifest.File
	// err is why they cannot all be seen.
	err error
}

func lookAt(paths []string) look {
	var l look
	errs := make([]error, 0, len(paths))
	for _, path := range paths {
		found, err := manifest.Find(path)
		l.files = append(l.files, found...)
		errs = append(errs, err)
	}
	l.err = errors.Join(errs...)
	return l
}

// same tells whether two looks saw no difference: the same files, not replaced and not
// written to, or the same problem.
func (l look) same(o look) bool {
	return text(l.err) == text(o.err) && slices.EqualFunc(l.files, o.files, func(a, b manifest.File) bool {
		return a.Path == b.Path && a.Info.Size() == b.Info.Size() && a.Info.ModTime().Equal(b.Info.ModTime()) &&
			a.Info.Mode() == b.Info.Mode() && os.SameFile(a.Info, b.Info)
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// File is one that was read.
type File struct {
	Path string
	Data []byte
}

// checksum tells contents apart, and also the errors there are in the place of one.
type checksum [sha256.Size]byte

// read reads the files that were seen.
func (l look) read() (files []File, sum checksum, err error) {
	err = l.err
	for i := 0; i < len(l.files) && err == nil; i++ {
		f := File{Path: l.files[i].Path}
		// What is no file has no content to come back to, and may never end.
		if mode := l.files[i].Info.Mode(); !mode.IsRegular() {
			err = fmt.Errorf("%s is neither a file nor a folder", f.Path)
			break
		}
		f.Data, err = manifest.ReadFile(f.Path)
		files = append(files, f)
	}
	hash := sha256.New()
	add := func(part []byte) {
		hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write(part)
	}
	if err != nil {
		add([]byte(err.Error()))
	} else {
		for _, f := range files {
			add([]byte(f.Path))
			add(f.Data)
		}
	}
	hash.Sum(sum[:0])
	return files, sum, err
}
