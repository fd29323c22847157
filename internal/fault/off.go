//go:build !faults

package fault

import "time"

// Enabled tells whether the binary was built to break.
const Enabled = false

// Point does nothing.
func Point(string) {}

// Planted is false.
func Planted(string) bool { return false }

// Now is the wall clock's time.
func Now() time.Time { return time.Now() }
