package dial

import (
	"fmt"
	"os"
	"strings"

	"github.com/tidegate/tidegate/internal/accesskey"
)

// Key is where the secret to present comes from: given as it is, or in a file that is read
// with each call, so that a key can be replaced while the process runs. Nil: none is
// presented.
func Key(secret, file string) func() (string, error) {
	switch {
	case secret != "":
		return func() (string, error) { return secret, nil }
	case file != "":
		return func() (string, error) { return readKey(file) }
	}
	return nil
}

func readKey(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("key file: %w", err)
	}
	secret := strings.TrimSpace(string(data))
	if _, err := accesskey.Parse(secret); err != nil {
		return "", fmt.Errorf("key file %s: %w", path, err)
	}
	return secret, nil
}
