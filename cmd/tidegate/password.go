package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// askPassword reads a password: from a terminal without showing it, else one line of the
// standard input.
func askPassword(ctx context.Context, streams *streams, prompt string) (string, error) {
	file, ok := streams.in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return readPassword(streams)
	}
	fd := int(file.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	// Whoever interrupts it gets the terminal back as it was.
	stop := context.AfterFunc(ctx, func() { _ = term.Restore(fd, before) })
	defer stop()
	fmt.Fprint(streams.err, prompt)
	type read struct {
		line []byte
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		done <- read{line, err}
	}()
	select {
	case r := <-done:
		fmt.Fprintln(streams.err)
		if r.err != nil {
			return "", fmt.Errorf("read the password: %w", r.err)
		}
		return string(r.line), nil
	case <-ctx.Done():
		return "", errInterrupted
	}
}

// readPassword reads one line.
func readPassword(streams *streams) (string, error) {
	const most = 2 << 10
	data, err := io.ReadAll(io.LimitReader(streams.in, most))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line := strings.TrimRight(string(data), "\r\n")
	if line == "" || strings.ContainsAny(line, "\r\n") {
		return "", usagef("standard input: want one line, the password")
	}
	return line, nil
}
