package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/tidegate/tidegate/internal/accesskey"
)

// sessionFile is where the token of a login is kept: for one address, and for connections that
// are secured as that was, as it must not go anywhere else.
func (o *clientOptions) sessionFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the login: %w", err)
	}
	name := url.PathEscape(o.address)
	if o.tls.Enabled() {
		name += ".tls"
	}
	return filepath.Join(dir, "tidegate", "sessions", name), nil
}

// savedSession is the token of a login at the address; empty: there is none.
func (o *clientOptions) savedSession() (string, error) {
	file, err := o.sessionFile()
	if err != nil {
		return "", nil //nolint:nilerr // where nothing can be kept, nothing was
	}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the login: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if _, err := accesskey.ParseSession(token); err != nil {
		return "", fmt.Errorf("the login in %s: %w: 'tidegate login' makes another", file, err)
	}
	return token, nil
}

// saveSession keeps a token where nobody else can read it. It is there whole or not at all.
func (o *clientOptions) saveSession(token string) error {
	file, err := o.sessionFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	made, err := os.CreateTemp(filepath.Dir(file), ".new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	_, err = made.WriteString(token + "\n")
	if err = errors.Join(err, made.Close()); err == nil {
		err = os.Rename(made.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("keep the login: %w", errors.Join(err, os.Remove(made.Name())))
	}
	return nil
}

// forgetSession removes the token of a login, if there is one.
func (o *clientOptions) forgetSession() error {
	file, err := o.sessionFile()
	if err != nil {
		return err
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the login: %w", err)
	}
	return nil
}
