package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/tidegate/tidegate/internal/manifest"
)

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

// filesUsage is what commands that read flags from files say of -f.
const filesUsage = "`FILE`, folder (all *.yaml, *.yml and *.json in it), or - for the standard input; may be repeated"

func invalidFiles(problems []string) error {
	return fmt.Errorf("nothing was written:\n%s", visible(strings.Join(problems, "\n")))
}

func readManifest(in io.Reader, file string) (data []byte, name string, err error) {
	if file == "-" {
		const name = "<stdin>"
		data, err = manifest.Read(name, in)
		return data, name, err
	}
	data, err = manifest.ReadFile(file)
	return data, file, err
}

// manifestFiles finds the files: those named, and those in the folders named.
func manifestFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		if path == "-" {
			files = append(files, path)
			continue
		}
		found, err := manifest.Find(path)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			files = append(files, f.Path)
		}
	}
	return files, nil
}
