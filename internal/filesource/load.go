package filesource

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/manifest"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// load shows what the files hold, if all of it is sound: else everything that is wrong
// is the error.
func (s *Source) load(files []File) error {
	d, err := Parse(files)
	if err != nil {
		return err
	}
	if len(d.Flags)+len(d.Segments) == 0 {
		return fmt.Errorf("%s: there are no flags and no segments in it", strings.Join(s.o.Paths, ", "))
	}
	base := s.shown()
	if base == nil {
		base = snapshot.New(s.o.Replica.Environment(), newEpoch())
	}
	next, delta, err := change(base, d)
	if err != nil {
		return err
	}
	if err := verify(next, d); err != nil {
		return err
	}
	if next.Cursor().SameState(base.Cursor()) {
		s.o.Logger.Info().Int64("revision", base.Cursor().Revision).Msg("the files say what is served")
		return nil
	}
	return s.show(next, delta)
}

// Parse reads all files as one document. Everything that is wrong in any of them is the error:
// manifest.Errors.
func Parse(files []File) (*manifest.Document, error) {
	var documents []*manifest.Document
	var problems manifest.Errors
	for _, f := range files {
		d, err := manifest.Parse(f.Path, f.Data)
		var found manifest.Errors
		switch {
		case err == nil:
			documents = append(documents, d)
		case errors.As(err, &found):
			problems = append(problems, found...)
		default:
			return nil, err
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return manifest.Merge(documents...)
}

// change returns the state in which the document replaces what base holds: what it
// defines as base does keeps its revision.
func change(base *snapshot.Snapshot, d *manifest.Document) (*snapshot.Snapshot, snapshot.Delta, error) {
	revision := base.Cursor().Revision + 1
	defined := make(map[snapshot.ID]bool, len(d.Flags)+len(d.Segments))
	var puts []snapshot.Item
	put := func(kind syncv1.Kind, key string, m proto.Message) error {
		// Base has what this program, or an earlier version of it, encoded in the same way.
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		item := snapshot.Item{Kind: kind, Key: key, ModRevision: revision, Data: data}
		defined[item.ID()] = true
		if old, ok := base.Item(kind, key); !ok || !bytes.Equal(old.Data, data) {
			puts = append(puts, item)
		}
		return nil
	}
	errs := make([]error, 0, len(d.Flags)+len(d.Segments))
	for _, f := range d.Flags {
		errs = append(errs, put(syncv1.Kind_KIND_FLAG, f.GetKey(), f))
	}
	for _, segment := range d.Segments {
		errs = append(errs, put(syncv1.Kind_KIND_SEGMENT, segment.GetKey(), segment))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, snapshot.Delta{}, err
	}
	var deletes []snapshot.ID
	for item := range base.Items() {
		if !defined[item.ID()] {
			deletes = append(deletes, item.ID())
		}
	}
	next, delta := base.Next(revision, puts, deletes)
	return next, delta, nil
}

// verify checks what concerns several flags and segments; each for itself was compiled
// when it was parsed.
func verify(next *snapshot.Snapshot, d *manifest.Document) error {
	err := next.Eval().Check(nil, nil)
	var fields eval.Errors
	if errors.As(err, &fields) {
		problems := make(manifest.Errors, len(fields))
		for i, f := range fields {
			var ok bool
			if problems[i], ok = d.Explain(f.Field, f.Problem); !ok {
				problems[i] = manifest.Error{Field: f.Field, Problem: f.Problem}
			}
		}
		return problems
	}
	for _, r := range next.Rejections() {
		err = errors.Join(err, fmt.Errorf("%s: %w", r.Item.ID(), r.Err))
	}
	return err
}

// shown is the state that came from files; nil if there is none. A state directory may
// hold that of an upstream which was followed before.
func (s *Source) shown() *snapshot.Snapshot {
	if now := s.o.Replica.Snapshot(); now != nil && now.Cursor().Epoch.Counter == epochCounter {
		return now
	}
	return nil
}

// show writes a change to the journal, and publishes it. What comes after a change that
// is not durable must not be taken for a step back: it is shown in an epoch of its own.
func (s *Source) show(next *snapshot.Snapshot, d snapshot.Delta) error {
	if s.shown() == nil {
		d = next.Full()
	}
	if err := s.keep(next, d); err != nil {
		s.metrics.journalFailures.Inc()
		s.o.Logger.Error().Err(err).Msg("the change was not written to disk; it is served from memory")
		next = inEpoch(newEpoch(), next)
		d = next.Full()
		// The journal knows from it what to write as soon as it can.
		_ = s.o.Journal.Append(next, d)
	}
	if err := s.o.Replica.Publish(next, d); err != nil {
		return err
	}
	s.o.Logger.Info().Int64("revision", next.Cursor().Revision).Int("put", len(d.Puts)).Int("deleted", len(d.Deletes)).
		Int("flags", next.Eval().FlagCount()).Int("segments", next.Eval().SegmentCount()).Msg("serving what the files say")
	return nil
}

// keep makes a change durable.
func (s *Source) keep(next *snapshot.Snapshot, d snapshot.Delta) error {
	if s.o.Journal == nil {
		return nil
	}
	if err := s.o.Journal.Append(next, d); err != nil {
		return err
	}
	return s.o.Journal.Sync(next.Environment())
}

// epochCounter marks the epochs of files: a store counts from 1.
const epochCounter = 0

func newEpoch() snapshot.Epoch {
	return snapshot.Epoch{Counter: epochCounter, Random: rand.Uint64()} //nolint:gosec // it only has to differ
}

// inEpoch is the same state as the first one of an epoch.
func inEpoch(e snapshot.Epoch, s *snapshot.Snapshot) *snapshot.Snapshot {
	var puts []snapshot.Item
	for item := range s.Items() {
		item.ModRevision = 1
		puts = append(puts, item)
	}
	first, _ := snapshot.New(s.Environment(), e).Next(1, puts, nil)
	return first
}

// maxLogged bounds how many problems of one content are logged.
const maxLogged = 100

// logProblems logs each problem by itself.
func (s *Source) logProblems(err error) {
	var problems manifest.Errors
	many := errors.As(err, &problems)
	event := s.o.Logger.Error().Strs("paths", s.o.Paths)
	if many {
		event.Int("problems", len(problems))
	} else {
		event.Err(err)
	}
	event.Msg("the files are refused; what they said before is served")
	for _, p := range problems[:min(len(problems), maxLogged)] {
		s.o.Logger.Error().Str("at", p.Position.String()).Str("field", p.Field).Msg(p.Problem)
	}
	if rest := len(problems) - maxLogged; rest > 0 {
		s.o.Logger.Error().Int("problems", rest).Msg("more problems are not listed")
	}
}
