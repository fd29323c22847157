//go:build !linux

package testbed

import (
	"errors"
	"time"
)

var errLinux = errors.New("processes are measured on Linux only")

// CPUTime is measured on Linux only.
func CPUTime(int) (time.Duration, error) { return 0, errLinux }

// Resident is measured on Linux only.
func Resident(int) (now, peak int64, err error) { return 0, 0, errLinux }

// ResetPeak works on Linux only.
func ResetPeak(int) error { return errLinux }

// Descriptors is known on Linux only.
func Descriptors() (int, error) { return 0, errLinux }
