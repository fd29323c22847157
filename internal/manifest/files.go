package manifest

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// MaxFileBytes bounds what is read as one file.
const MaxFileBytes = 64 << 20

// extensions are those of the files that count in a folder.
var extensions = []string{".yaml", ".yml", ".json"}

// File is a file that was found, as it was then.
type File struct {
	Path string
	Info fs.FileInfo
}

// Find returns the file that the path names, or, of a folder, all *.yaml, *.yml and
// *.json at any depth but hidden ones, in the order of their paths; none at all is an
// error. Links are followed; one that leads back to a folder above it adds nothing.
func Find(path string) ([]File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []File{{Path: path, Info: info}}, nil
	}
	files, err := findIn(path, []fs.FileInfo{info})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no file *.yaml, *.yml or *.json", path)
	}
	return files, err
}

// findIn is Find for a folder; within are the folders that lead to it, and itself.
func findIn(folder string, within []fs.FileInfo) ([]File, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, entry := range entries {
		counts := slices.Contains(extensions, filepath.Ext(entry.Name()))
		if strings.HasPrefix(entry.Name(), ".") || entry.Type().IsRegular() && !counts {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case info.IsDir() && !slices.ContainsFunc(within, func(above fs.FileInfo) bool { return os.SameFile(above, info) }):
			below, err := findIn(path, append(slices.Clip(within), info))
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
		case info.Mode().IsRegular() && counts:
			files = append(files, File{Path: path, Info: info})
		}
	}
	return files, nil
}

// ReadFile reads a file of at most MaxFileBytes.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return Read(path, f)
}

// Read reads all of a file of at most MaxFileBytes; name is for the error.
func Read(name string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFileBytes+1))
	if err == nil && len(data) > MaxFileBytes {
		err = fmt.Errorf("%s is larger than %d MiB", name, MaxFileBytes>>20)
	}
	return data, err
}
