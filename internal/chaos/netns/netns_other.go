//go:build !linux

// Package netns gives processes a network of their own, on Linux.
package netns

import (
	"errors"
	"os/exec"
)

// Available says why there can be no Network here.
func Available() error { return errors.New("network namespaces are Linux's") }

// Network is never there.
type Network struct{ Address string }

// Node is never there.
type Node struct{ Address string }

// New fails.
func New() (*Network, error) { return nil, Available() }

// Add fails.
func (*Network) Add() (*Node, error) { return nil, Available() }

// Close does nothing.
func (*Network) Close() error { return nil }

// Command makes a command that runs here.
func (*Node) Command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

// Unplug fails.
func (*Node) Unplug() error { return Available() }

// Plug fails.
func (*Node) Plug() error { return Available() }

// Mute fails.
func (*Node) Mute(...string) error { return Available() }

// Unmute fails.
func (*Node) Unmute(...string) error { return Available() }
