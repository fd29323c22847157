package server

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

const instanceFile = "instance-id"

// instanceID reads the id kept in the directory, or makes one. Without a directory it
// is made of what stays the same over restarts.
func instanceID(dir, addr string) (string, error) {
	if dir == "" {
		host, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("instance id: %w", err)
		}
		return host + "/" + addr, nil
	}
	name := filepath.Join(dir, instanceFile)
	data, err := os.ReadFile(name)
	if err == nil {
		if id, err := uuid.ParseBytes(bytes.TrimSpace(data)); err == nil {
			return id.String(), nil
		}
		// Cut off by a crash: nobody knows an id that was never used.
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("instance id: %w", err)
	}
	id := uuid.NewString()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("instance id: %w", err)
	}
	if err := os.WriteFile(name, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("instance id: %w", err)
	}
	return id, nil
}
