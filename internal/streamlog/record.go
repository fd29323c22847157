package streamlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Event says what a record is of.
type Event string

// The events. Those of a process:
const (
	// Start begins a run.
	Start Event = "start"
	// End ends a run in an orderly way; a killed process leaves none.
	End Event = "end"
)

// Those of what is shown; each is written before:
const (
	// Restore is a state from disk.
	Restore Event = "restore"
	// Full is a state that replaces everything.
	Full Event = "full"
	// Delta is a change of the state named by Base.
	Delta Event = "delta"
	// Advance is the same state at a later revision.
	Advance Event = "advance"
	// Confirm is the same state and revision, confirmed.
	Confirm Event = "confirm"
	// Purge takes the state away.
	Purge Event = "purge"
)

// Those of a follower:
const (
	// Resume is the first update of a stream: how it goes on (Mode) from where (Base) to
	// where (Cursor). It is written when the update is verified, before it is shown.
	Resume Event = "resume"
	// Append is a state that reached the operating system; with Error, one that did not.
	Append Event = "append"
	// Sync is the return of a sync to disk, of what was appended up to the record that
	// Covers names; with Error, a failure.
	Sync Event = "sync"
	// Ack is an acknowledgement; it is written before it is sent.
	Ack Event = "ack"
	// Forget is a journal that has let go of an environment; with Error, one that has not.
	Forget Event = "forget"
)

// The modes of a Resume.
const (
	ModeFull  = "full"
	ModeDelta = "delta"
	ModeNone  = "none"
)

// The sources of an age.
const (
	FromStore   = "store"   // summed over the hops from the store
	FromDisk    = "disk"    // by the wall clocks of two processes
	FromArrival = "arrival" // nobody stands for it
)

// Record is one line.
type Record struct {
	// Sequence is 1 for the first record of a run, and rises by 1.
	Sequence uint64 `json:"n"`
	// Run is new with each start of a process.
	Run string `json:"run"`
	// Mono is in nanoseconds, by a clock that all processes of a machine share where
	// there is one, and that nobody sets. Wall is for people.
	Mono int64  `json:"mono"`
	Wall string `json:"wall"`

	Event Event `json:"event"`
	// Process is set with Start.
	Process     *Process `json:"process,omitempty"`
	Environment string   `json:"environment,omitempty"`
	Base        *Cursor  `json:"base,omitempty"`
	Cursor      *Cursor  `json:"cursor,omitempty"`
	// Held is the digest of the items as held.
	Held string `json:"held,omitempty"`
	Mode string `json:"mode,omitempty"`
	// Puts and Deletes are what a Delta consists of.
	Puts    []Item `json:"puts,omitempty"`
	Deletes []Item `json:"deletes,omitempty"`
	// Age is how old the state is told to be, in nanoseconds; AgeFrom says who stands
	// for it.
	Age     int64  `json:"age,omitempty"`
	AgeFrom string `json:"age_from,omitempty"`
	Covers  uint64 `json:"covers,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Process is who writes a log.
type Process struct {
	// Instance is the same over restarts.
	Instance string `json:"instance"`
	// Kind is server, relay or sdk.
	Kind    string `json:"kind"`
	Version string `json:"version"`
	// Environments that it is to show.
	Environments []string `json:"environments"`
	// Durable: it keeps its states over restarts, and logs how.
	Durable bool `json:"durable,omitempty"`
}

// Cursor names one state.
type Cursor struct {
	Epoch    string `json:"epoch"`
	Revision int64  `json:"revision"`
	Digest   string `json:"digest"`
}

// SameState tells whether both name the same items, be it at different revisions.
func (c Cursor) SameState(o Cursor) bool { return c.Epoch == o.Epoch && c.Digest == o.Digest }

// String is EPOCH/REVISION/DIGEST.
func (c Cursor) String() string { return fmt.Sprintf("%s/%d/%s", c.Epoch, c.Revision, c.Digest) }

// Item names a version of one item.
type Item struct {
	Kind        int32  `json:"kind"`
	Key         string `json:"key"`
	ModRevision int64  `json:"rev"`
}

// String shows the record as it is in the log.
func (r Record) String() string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// ErrDamaged says that a log holds what no process writes.
var ErrDamaged = errors.New("streamlog: damaged")

// Read returns the records of a log. A line that ends early is passed over where that is
// what a killed process leaves: at the end of a run.
func Read(r io.Reader) ([]Record, error) {
	var records []Record
	var torn error // of the line before
	in := bufio.NewReader(r)
	for number := 1; ; number++ {
		line, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return records, fmt.Errorf("streamlog: line %d: %w", number, err)
		}
		whole := err == nil
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 {
			record, parsed := parse(line)
			switch {
			case torn != nil && (parsed != nil || record.Event != Start):
				return records, torn
			case parsed != nil:
				torn = fmt.Errorf("%w: line %d: %w", ErrDamaged, number, parsed)
			default:
				torn, records = nil, append(records, record)
			}
		}
		if !whole {
			return records, nil
		}
	}
}

func parse(line []byte) (Record, error) {
	var r Record
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Record{}, err
	}
	if d.More() {
		return Record{}, errors.New("more than one record")
	}
	return r, r.check()
}

// check tells whether the record has what its event needs.
func (r Record) check() error {
	switch r.Event {
	case Start:
		if r.Process == nil || r.Process.Instance == "" {
			return errors.New("a start without an instance")
		}
		return nil
	case End:
		return nil
	case Sync, Purge, Forget:
	case Restore, Full, Advance, Confirm, Append, Ack:
		if r.Cursor == nil {
			return fmt.Errorf("%s without a cursor", r.Event)
		}
	case Delta:
		if r.Cursor == nil || r.Base == nil {
			return errors.New("a delta without a cursor, or a base")
		}
	case Resume:
		if r.Cursor == nil || (r.Base == nil) != (r.Mode == ModeFull) {
			return fmt.Errorf("a resumption of mode %q without a cursor, or its base", r.Mode)
		}
	default:
		return fmt.Errorf("unknown event %q", r.Event)
	}
	if r.Environment == "" {
		return fmt.Errorf("%s without an environment", r.Event)
	}
	return nil
}
