package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// refsConfigFile tells 'tidegate refs scan' by what other names source calls flags.
const refsConfigFile = ".tidegate-refs.yaml"

type refsConfig struct {
	Aliases    map[string][]string `yaml:"aliases"`
	AliasForms []string            `yaml:"aliasForms"`
	Calls      []string            `yaml:"calls"`
	Exclude    []string            `yaml:"exclude"`
}

// readRefsConfig reads the file that is named, or the folder's own if it has one.
func readRefsConfig(folder, name string) (*refsConfig, error) {
	config := &refsConfig{}
	own := name == ""
	if own {
		info, err := os.Stat(folder)
		switch {
		case err != nil:
			return nil, err
		case !info.IsDir():
			return config, nil
		}
		name = filepath.Join(folder, refsConfigFile)
	}
	data, err := os.ReadFile(name)
	switch {
	case own && errors.Is(err, fs.ErrNotExist):
		return config, nil
	case err != nil:
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(config); err != nil && !errors.Is(err, io.EOF) {
		problem := strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "yaml: ")
		problem = strings.ReplaceAll(problem, fmt.Sprintf(" in type %T", *config), "")
		return nil, fmt.Errorf("%s: %s; expected aliases, aliasForms, calls and exclude", name, problem)
	}
	return config, nil
}
