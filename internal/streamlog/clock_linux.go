package streamlog

import "golang.org/x/sys/unix"

// Now is the clock of [Record.Mono]: here all processes of the machine share it.
func Now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // it has no way to fail
	return t.Nano()
}
