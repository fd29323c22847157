package streamcheck

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/tidegate/tidegate/internal/streamlog"
)

// The files of a run, in one directory.
const (
	// LogSuffix is how the names of stream logs end.
	LogSuffix = ".stream.jsonl"
	// TruthFile holds the truth, an Entry a line.
	TruthFile = "truth.jsonl"
)

// Run is what there is to check.
type Run struct {
	Truth *Truth
	// Logs are the records of each log.
	Logs [][]streamlog.Record
}

// Collect reads the files of a run.
func Collect(dir string) (*Run, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+LogSuffix))
	if err != nil {
		return nil, fmt.Errorf("streamcheck: %w", err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("streamcheck: no log (*%s) in %s", LogSuffix, dir)
	}
	slices.Sort(paths)
	run := &Run{}
	for _, path := range paths {
		err := reading(path, func(r io.Reader) error {
			records, err := streamlog.Read(r)
			run.Logs = append(run.Logs, records)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	err = reading(filepath.Join(dir, TruthFile), func(r io.Reader) error {
		run.Truth, err = ReadTruth(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

func reading(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("streamcheck: %w", err)
	}
	if err := errors.Join(read(f), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// ReadTruth reads entries, one a line.
func ReadTruth(r io.Reader) (*Truth, error) {
	t := &Truth{}
	d := json.NewDecoder(bufio.NewReader(r))
	d.DisallowUnknownFields()
	for n := 1; ; n++ {
		var e Entry
		switch err := d.Decode(&e); {
		case errors.Is(err, io.EOF):
			return t, nil
		case err != nil:
			return nil, fmt.Errorf("streamcheck: entry %d: %w", n, err)
		}
		if err := t.Add(e); err != nil {
			return nil, fmt.Errorf("entry %d: %w", n, err)
		}
	}
}

// WriteTruth returns what writes entries so that ReadTruth reads them.
func WriteTruth(w io.Writer) func(Entry) error {
	e := json.NewEncoder(w)
	return func(entry Entry) error { return e.Encode(entry) }
}

// boot is one run of one process.
type boot struct {
	process streamlog.Process
	records []streamlog.Record
}

// boots takes a log apart.
func boots(log []streamlog.Record) []boot {
	var list []boot
	for _, r := range log {
		if r.Event == streamlog.Start {
			list = append(list, boot{process: *r.Process})
		}
		if len(list) > 0 {
			b := &list[len(list)-1]
			b.records = append(b.records, r)
		}
	}
	return list
}
