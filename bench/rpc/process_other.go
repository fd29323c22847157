//go:build !linux

package main

import (
	"errors"
	"time"
)

var errLinux = errors.New("processor times and cores are measured on Linux only")

func onCore(int, func() error) error { return errLinux }

func pinSelf(int) error { return errLinux }

func cpuTime(int) (time.Duration, error) { return 0, errLinux }
