package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/internal/manifest"
)

// maxFile bounds what is read as one file, in bytes.
const maxFile = 64 << 20

// readManifests reads files, folders and '-' as one document. Everything that is wrong
// in any of them is reported at once.
func readManifests(in io.Reader, paths []string) (*manifest.Document, error) {
	files, err := manifestFiles(paths)
	if err != nil {
		return nil, err
	}
	var (
		documents []*manifest.Document
		problems  []string
	)
	for _, file := range files {
		data, name, err := readManifest(in, file)
		if err != nil {
			return nil, err
		}
		d, err := manifest.Parse(name, data)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		documents = append(documents, d)
	}
	if len(problems) > 0 {
		return nil, invalidFiles(problems)
	}
	d, err := manifest.Merge(documents...)
	if err != nil {
		return nil, invalidFiles([]string{err.Error()})
	}
	return d, nil
}

func invalidFiles(problems []string) error {
	return fmt.Errorf("nothing was written:\n%s", visible(strings.Join(problems, "\n")))
}

func readManifest(in io.Reader, file string) (data []byte, name string, err error) {
	name = file
	if file == "-" {
		name = "<stdin>"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return nil, name, err
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	data, err = io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d MiB", name, maxFile>>20)
	}
	return data, name, err
}

// manifestFiles finds the files: those named, and in folders all *.yaml, *.yml and *.json
// at any depth, but hidden ones.
func manifestFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		if path == "-" {
			files = append(files, path)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		found, err := manifestFilesIn(path)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s holds no file *.yaml, *.yml or *.json", path)
		}
		files = append(files, found...)
	}
	return files, nil
}

func manifestFilesIn(folder string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != folder && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	return files, err
}
