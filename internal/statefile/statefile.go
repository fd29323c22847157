// Package statefile keeps a relay's snapshots on disk, so that it starts without an
// upstream and never goes back: a snapshot file an environment (written beside, synced,
// renamed) and a log of the deltas since, each with its length and checksum.
//
// A file that cannot be read whole (truncated, flipped bits, another version) is never
// used past the last record that verifies: it is set aside as NAME.corrupt, with a clear
// error in the log.
package statefile

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// Dir is a directory of state; it implements follower.Journal. One process at a time:
// Open takes a lock.
type Dir struct{}

func Open(dir string, logger zerolog.Logger) (*Dir, error) { panic("stub") }

// InstanceID returns the id kept in the directory, made at the first call.
func (d *Dir) InstanceID() (string, error) { panic("stub") }

// Load returns an environment's last state, and when it was last known to be current
// (wall clock); nil if there is none.
func (d *Dir) Load(environment string) (*snapshot.Snapshot, time.Time, error) { panic("stub") }

func (d *Dir) Append(next *snapshot.Snapshot, delta snapshot.Delta) error { panic("stub") }
func (d *Dir) Sync(environment string) error                              { panic("stub") }
func (d *Dir) Close() error                                               { panic("stub") }
