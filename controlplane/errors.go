package controlplane

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

var (
	// ErrUnavailable says that the store does not answer, or that this server lags behind
	// it. The outcome of a write is unknown; repeating it with the same request id
	// settles it.
	ErrUnavailable = errors.New("controlplane: the store does not answer")
	// ErrFull says that the store takes no more writes, not even the kill switch. Nothing
	// was written, and trying again does not help.
	ErrFull = errors.New("controlplane: the store is full and takes no writes: nothing was written; give etcd space, then clear its alarm (a server with an embedded etcd does both, where it can, when it starts)")
	// ErrTokenExpired says that a page token's revision was compacted.
	ErrTokenExpired = errors.New("controlplane: page token expired: start again from the first page")
	// ErrCorrupt says that what the store holds cannot be decoded.
	ErrCorrupt = errors.New("controlplane: the stored value cannot be decoded")
)

// InvalidError says what is wrong with the request. Nothing was written.
type InvalidError struct{ Fields eval.Errors }

// PreconditionError says how the change contradicts other flags, segments or rollouts, or
// that the epoch is another. Nothing was written.
type PreconditionError struct {
	Fields eval.Errors
	// NeedsApproval: it can be proposed as a change request.
	NeedsApproval bool
}

// NotFoundError says what is not there (such as `flag "a" in environment "production"`).
type NotFoundError struct{ What string }

// ExistsError says what is there already: a flag, a segment, or a request id that was
// used for another change.
type ExistsError struct{ What string }

// ConflictError says that the write was based on a version that is no longer current, and
// what happened since. Nothing was written.
type ConflictError struct {
	Conflict *controlv1.Conflict
	// flag of the rollout that the conflict is of; empty: it is of no rollout, or of one that is gone.
	flag string
}

func (e *InvalidError) Error() string      { return "invalid request: " + e.Fields.Error() }
func (e *PreconditionError) Error() string { return "not possible: " + e.Fields.Error() }
func (e *NotFoundError) Error() string     { return "not found: " + e.What }
func (e *ExistsError) Error() string       { return "already exists: " + e.What }

// Error says who changed what, when and why.
func (e *ConflictError) Error() string {
	c := e.Conflict
	what := resource{environment: c.GetEnvironment(), kind: kindOfControl(c.GetKind()), key: c.GetKey()}
	var b strings.Builder
	switch {
	case c.GetBaseRevision() == 0:
		fmt.Fprintf(&b, "%s exists already, at revision %d", what, c.GetCurrentRevision())
	case c.GetCurrentRevision() == 0:
		fmt.Fprintf(&b, "%s is no longer at revision %d: it was deleted", what, c.GetBaseRevision())
	default:
		fmt.Fprintf(&b, "%s is no longer at revision %d but at %d", what, c.GetBaseRevision(), c.GetCurrentRevision())
	}
	if latest := c.GetLatest(); latest != nil {
		fmt.Fprintf(&b, "; latest change: %s by %s at %s, reason %q",
			actionWord(latest.GetAction()), latest.GetActor(),
			latest.GetTime().AsTime().Format(time.RFC3339), latest.GetReason())
	}
	const shown = 3
	for i, change := range c.GetChanges() {
		if i == shown {
			fmt.Fprintf(&b, "; and %d more", len(c.GetChanges())-shown)
			break
		}
		separator := ", "
		if i == 0 {
			separator = "; since then: "
		}
		fmt.Fprintf(&b, "%s%s: %s -> %s", separator, change.GetPath(), brief(change.GetBefore()), brief(change.GetAfter()))
	}
	return b.String()
}

func actionWord(a controlv1.Action) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(a.String(), "ACTION_"), "_", " "))
}

// brief is a value's JSON as part of a sentence.
func brief(json string) string {
	if json == "" {
		return "nothing"
	}
	return truncate(json, 60)
}

// truncate cuts a text to at most so many bytes, and shows that it did.
func truncate(text string, longest int) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "..."
}

func invalid(field, problem string) error {
	return &InvalidError{Fields: eval.Errors{{Field: field, Problem: problem}}}
}

func precluded(field, problem string) error {
	return &PreconditionError{Fields: eval.Errors{{Field: field, Problem: problem}}}
}

// Unavailable says that the store failed.
func Unavailable(err error) error { return unavailable(err) }

// unavailable says that the store failed; a page or version may also have been
// compacted, which the caller has to look for first.
func unavailable(err error) error {
	switch {
	case errors.Is(err, ErrUnavailable):
		return err
	case errors.Is(err, store.ErrNoSpace):
		return ErrFull
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// nothingWritten tells whether a failed commit certainly did not happen.
func nothingWritten(err error) bool {
	return errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrNoSpace) ||
		errors.Is(err, store.ErrLeaseNotFound) || errors.Is(err, store.ErrDuplicateKey)
}
