package linear

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// Op is what is asked of a flag.
type Op string

// The calls.
const (
	Get        Op = "get"
	Create     Op = "create"
	Update     Op = "update"
	SetEnabled Op = "set-enabled"
	Delete     Op = "delete"
)

// Call is one call.
type Call struct {
	Op Op
	// Flag names it over all environments.
	Flag string
	// Base is the revision that the call is based on; with SetEnabled, 0: on whatever is
	// there.
	Base int64
	// Content is the definition but for Enabled, in any form that tells two apart.
	Content string
	Enabled bool
}

// Outcome is what became of a call.
type Outcome string

// The outcomes. A call that was refused for what it says is none.
const (
	Done     Outcome = "done"
	NotFound Outcome = "not found"
	Exists   Outcome = "exists"
	Conflict Outcome = "conflict"
	Unknown  Outcome = "unknown"
)

// Answer is what the caller was told. With Done: the flag's revision after the call (of a
// deleted flag, that of the deletion); with Done of a Get: what it is.
type Answer struct {
	Outcome  Outcome
	Revision int64
	Content  string
	Enabled  bool
}

// flag is the state of one flag.
type flag struct {
	exists, existed bool
	// revision of the last change; 0: nobody was told. It is above floor.
	revision, floor int64
	content         string
	enabled         bool
}

var model = (&porcupine.NondeterministicModel{
	Partition: partition,
	Init:      func() []any { return []any{flag{}} },
	Step: func(state, input, output any) []any {
		next := state.(flag).step(input.(Call), output.(Answer))
		states := make([]any, len(next))
		for i, f := range next {
			states[i] = f
		}
		return states
	},
	DescribeOperation: func(input, output any) string { return describe(input.(Call), output.(Answer)) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}).ToModel()

func partition(history []porcupine.Operation) [][]porcupine.Operation {
	index := map[string]int{}
	var parts [][]porcupine.Operation
	for _, o := range history {
		name := o.Input.(Call).Flag
		n, ok := index[name]
		if !ok {
			n = len(parts)
			index[name], parts = n, append(parts, nil)
		}
		parts[n] = append(parts[n], o)
	}
	return parts
}

func describe(c Call, a Answer) string {
	return fmt.Sprintf("%s(base %d, %q, %t): %s at %d %q %t", c.Op, c.Base, c.Content, c.Enabled, a.Outcome, a.Revision, a.Content, a.Enabled)
}

// step returns the states that the call and its answer can lead to; none: they do not fit.
func (f flag) step(c Call, a Answer) []flag {
	if a.Outcome == Unknown {
		states := f.try(c, Answer{Outcome: Done})
		if !slices.Contains(states, f) {
			states = append(states, f) // it did not happen, or was refused
		}
		return states
	}
	return f.try(c, a)
}

// try returns the states after a call that was answered; an answer of revision 0 leaves it
// open.
func (f flag) try(c Call, a Answer) []flag {
	switch a.Outcome {
	case Done:
		return f.done(c, a)
	case NotFound:
		// A change that is based on a version finds another, even one that is deleted.
		return when(!f.exists && c.Op != Create && (c.Op == Get || c.Op == Delete || c.Base == 0 || !f.existed), f)
	case Exists:
		return when(f.exists && c.Op == Create, f)
	case Conflict:
		deleted := !f.exists && f.existed && c.Op != Delete
		return when(c.Base != 0 && (deleted || f.exists && f.revision != c.Base && !f.is(c)), f)
	}
	return nil
}

func when(fits bool, f flag) []flag {
	if fits {
		return []flag{f}
	}
	return nil
}

// is tells whether the flag is already as the call wants it.
func (f flag) is(c Call) bool {
	switch c.Op {
	case Update:
		return f.exists && f.content == c.Content && f.enabled == c.Enabled
	case SetEnabled:
		return f.exists && f.enabled == c.Enabled
	}
	return false
}

func (f flag) done(c Call, a Answer) []flag {
	switch {
	case c.Op == Create:
		if f.exists {
			return nil
		}
	case !f.exists:
		return nil
	case c.Op == Get:
		if f.content != a.Content || f.enabled != a.Enabled {
			return nil
		}
		return f.at(a.Revision)
	case f.is(c):
		return f.at(a.Revision)
	case c.Base != 0:
		based := f.at(c.Base)
		if based == nil {
			return nil
		}
		f = based[0]
	}
	return f.change(c, a.Revision)
}

// at is the flag known to be of a revision; 0: as it is.
func (f flag) at(revision int64) []flag {
	switch {
	case revision == 0 || revision == f.revision:
		return []flag{f}
	case f.revision != 0 || revision <= f.floor:
		return nil
	}
	f.revision = revision
	return []flag{f}
}

// change is the flag after the call, at a revision; 0: unknown.
func (f flag) change(c Call, revision int64) []flag {
	floor := max(f.floor, f.revision)
	if revision != 0 && revision <= floor {
		return nil
	}
	next := flag{exists: c.Op != Delete, existed: true, revision: revision, floor: floor}
	switch c.Op {
	case Create, Update:
		next.content, next.enabled = c.Content, c.Enabled
	case SetEnabled:
		next.content, next.enabled = f.content, c.Enabled
	}
	return []flag{next}
}
