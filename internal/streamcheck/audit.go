package streamcheck

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Audited is the guarantee that the entries of a resource's history and the changes that
// the store made of it are one to one, in one unbroken chain.
const Audited Guarantee = "Audited"

// Audit holds the histories of resources of one life of the store to its changes.
type Audit struct {
	truth    *Truth
	life     int
	requests map[string]int64
}

// NewAudit checks histories against a life of the store, numbered from 1.
func NewAudit(t *Truth, life int) (*Audit, error) {
	if life < 1 || life > len(t.lives) {
		return nil, fmt.Errorf("streamcheck: the truth has %d lives, not one of number %d", len(t.lives), life)
	}
	return &Audit{truth: t, life: life, requests: map[string]int64{}}, nil
}

// Items are the flags and segments that the store ever changed in the environment.
func (a *Audit) Items(environment string) []ID {
	seen := map[ID]bool{}
	var items []ID
	for _, w := range a.writes(environment) {
		if !seen[w.id] {
			seen[w.id] = true
			items = append(items, w.id)
		}
	}
	return items
}

// write is one change of one item.
type write struct {
	step
	revision int64
}

func (a *Audit) writes(environment string) []write {
	h := a.truth.lives[a.life-1].environments[environment]
	if h == nil {
		return nil
	}
	var writes []write
	for _, v := range h.versions {
		for _, s := range v.steps {
			writes = append(writes, write{step: s, revision: v.revision})
		}
	}
	return writes
}

// Check checks the whole history of one resource, newest entry first, as ListFlagHistory
// and ListSegmentHistory give it. The error tells everything that is wrong; it is Audited.
func (a *Audit) Check(environment string, id ID, entries []*controlv1.AuditEntry) error {
	entries = slices.Clone(entries)
	slices.Reverse(entries)
	var changes []write
	for _, w := range a.writes(environment) {
		if w.id == id {
			changes = append(changes, w)
		}
	}
	var errs []error
	if len(changes) != len(entries) {
		errs = append(errs, fmt.Errorf("the store made %d changes, the history has %d entries", len(changes), len(entries)))
	}
	var hash []byte
	for i, e := range entries {
		var w *write
		if n := slices.IndexFunc(changes, func(w write) bool { return w.revision == e.GetRevision() }); n >= 0 {
			w = &changes[n]
		}
		if err := errors.Join(a.entry(environment, id, e, i, hash), matches(w, e)); err != nil {
			errs = append(errs, fmt.Errorf("entry %d, at revision %d: %w", i+1, e.GetRevision(), err))
		}
		var err error
		if hash, err = stored(e); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s of kind %d in environment %q: %w", Audited, id.Key, id.Kind, environment, errors.Join(errs...))
}

// entry checks an entry for itself; it is of the index-th change, after one of the hash.
func (a *Audit) entry(environment string, id ID, e *controlv1.AuditEntry, index int, hash []byte) error {
	request := environment + "/" + e.GetRequestId()
	other, used := a.requests[request]
	a.requests[request] = e.GetRevision()
	switch {
	case e.GetEnvironment() != environment || e.GetKey() != id.Key || int32(e.GetKind()) != id.Kind:
		return fmt.Errorf("it is of %s %q in environment %q", e.GetKind(), e.GetKey(), e.GetEnvironment())
	case e.GetSequence() != int64(index)+1:
		return fmt.Errorf("its sequence is %d", e.GetSequence())
	case !bytes.Equal(e.GetPreviousHash(), hash):
		return fmt.Errorf("it follows an entry of hash %x; the one before has %x", e.GetPreviousHash(), hash)
	case e.GetRequestId() == "" || used && other != e.GetRevision():
		return fmt.Errorf("its request %q has changed something at revision %d too", e.GetRequestId(), other)
	}
	return nil
}

// stored is the hash of an entry as the store has it: without its revision.
func stored(e *controlv1.AuditEntry) ([]byte, error) {
	e = proto.CloneOf(e)
	e.Revision = 0
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return sum[:], nil
}

// matches holds an entry to the change at its revision.
func matches(w *write, e *controlv1.AuditEntry) error {
	if w == nil {
		return errors.New("the store made no such change")
	}
	if e.GetPreviousRevision() != w.was.revision {
		return fmt.Errorf("it says that the state before was of revision %d; it was of %d (0: none)", e.GetPreviousRevision(), w.was.revision)
	}
	deleted := w.is.revision == 0
	if deleted != (e.GetAction() == controlv1.Action_ACTION_DELETED) || deleted != (e.GetResource() == nil) {
		return fmt.Errorf("it says %s, but the change leaves revision %d (0: deleted)", e.GetAction(), w.is.revision)
	}
	if deleted {
		return nil
	}
	var got, want proto.Message = e.GetFlag(), &flagv1.Flag{}
	if e.GetSegment() != nil {
		got, want = e.GetSegment(), &flagv1.Segment{}
	}
	if err := proto.Unmarshal(w.written, want); err != nil {
		return fmt.Errorf("what was written cannot be decoded: %w", err)
	}
	if !proto.Equal(got, want) {
		return errors.New("its version is not the one that was written")
	}
	return nil
}
