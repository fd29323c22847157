package refscan

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// binaryBytes are looked at to tell binary files from text, as git does.
const binaryBytes = 8000

// reader reads files, one after the other.
type reader struct {
	root     string
	matcher  *matcher
	maxBytes int64

	buffer bytes.Buffer
	result Result
	found  map[string]bool
}

// read looks through one file, whose name is relative to the root.
func (r *reader) read(name string) {
	data, err := r.load(name)
	switch {
	case errors.Is(err, errLarge):
		r.result.Large++
	case err != nil:
		r.result.Unread = append(r.result.Unread, err.Error())
	case bytes.IndexByte(data[:min(len(data), binaryBytes)], 0) >= 0:
		r.result.Binary++
	default:
		r.result.Files++
		r.result.Bytes += int64(len(data))
		r.search(name, data)
	}
}

var errLarge = errors.New("too large")

// load returns what is in a file, until the next call.
func (r *reader) load(name string) (data []byte, err error) {
	f, err := os.Open(filepath.Join(r.root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.Size() > r.maxBytes:
		return nil, errLarge
	}
	r.buffer.Reset()
	n, err := r.buffer.ReadFrom(io.LimitReader(f, r.maxBytes+1))
	switch {
	case err != nil:
		return nil, err
	case n > r.maxBytes: // it grew
		return nil, errLarge
	}
	return r.buffer.Bytes(), nil
}

func (r *reader) search(name string, data []byte) {
	at := position{line: 1}
	r.matcher.find(data, func(h hit) {
		at.advance(data, h.offset)
		ref := Reference{
			Key: h.key, Path: name, Line: at.line, Column: utf8.RuneCount(data[at.start:h.offset]) + 1,
			Alias: h.alias, Call: h.call,
		}
		if h.missing {
			r.result.Missing = append(r.result.Missing, ref)
			return
		}
		r.found[h.key] = true
		r.result.References = append(r.result.References, ref)
	})
}

// position is how far a text was counted: the line, and where it starts.
type position struct{ line, start int }

func (p *position) advance(data []byte, offset int) {
	passed := data[p.start:max(p.start, offset)]
	if last := bytes.LastIndexByte(passed, '\n'); last >= 0 {
		p.line += bytes.Count(passed, []byte{'\n'})
		p.start += last + 1
	}
}
