//go:build !linux

package streamlog

import "time"

var start = time.Now()

// Now is the clock of [Record.Mono]: here, processes share it only as far as the wall
// clock was right when they started.
func Now() int64 { return start.UnixNano() + int64(time.Since(start)) }
