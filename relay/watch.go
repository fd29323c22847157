package relay

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// Watch implements the service.
func (s *evaluationService) Watch(r *evaluationv1.WatchRequest, stream watchStream) error {
	chosen, err := selectionOf(r)
	if err != nil {
		return err
	}
	env, err := s.environment(r.GetEnvironment())
	if err != nil {
		return err
	}
	if _, err := env.snapshot(); err != nil {
		return err
	}
	right, err := env.passOf(stream.Context())
	if err != nil {
		return err
	}
	subject := contextOf(r.GetContext())
	s.here(&subject, time.Now())
	w := newWatch(env, chosen, subject, right)
	if err := right.check(w.shown); err != nil {
		return err
	}
	first, err := w.all(stream.Context())
	if err != nil {
		return err
	}
	if err := stream.Send(first); err != nil {
		return err
	}
	for {
		select {
		case <-w.changes.Changed():
		case <-w.pass.expired:
			if err := w.pass.check(w.shown); err != nil {
				return err
			}
			continue
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.draining:
			return errDraining
		}
		next, err := w.next(stream.Context(), time.Now())
		if err != nil {
			return err
		}
		if next == nil {
			continue
		}
		if err := stream.Send(next); err != nil {
			return err
		}
	}
}

// watch is one call. It keeps no answers: what the caller has seen is evaluated again
// from the snapshot that it has seen, for the few flags that a change concerns.
type watch struct {
	env    *environment
	chosen selection
	pass   *pass
	// only, if not nil, are the chosen keys.
	only map[string]bool
	// subject is as it was when the watch began.
	subject eval.Context
	// shown is the snapshot whose answers the caller has.
	shown *snapshot.Snapshot
	// shownAt are the times, as Context.Now, of answers that the caller has and that would
	// have been others when the watch began.
	shownAt map[string]int64
	changes *replica.Subscription
}

func newWatch(env *environment, chosen selection, subject eval.Context, p *pass) *watch {
	w := &watch{env: env, chosen: chosen, pass: p, subject: subject, shownAt: map[string]int64{}}
	w.shown, w.changes = env.replica.Subscribe()
	if chosen.keys == nil {
		return w
	}
	w.only = make(map[string]bool, len(chosen.keys))
	for _, key := range chosen.keys {
		w.only[key] = true
	}
	return w
}

// all answers all chosen flags.
func (w *watch) all(ctx context.Context) (*evaluationv1.WatchResponse, error) {
	src := source{env: w.env, snapshot: w.shown, right: w.pass.right}
	answers, err := src.answerAll(ctx, w.chosen, &w.subject)
	if err != nil {
		return nil, err
	}
	return w.response(answers), nil
}

// next takes in all changes that have come by now, and returns the answers that they
// change; nil if they change none.
func (w *watch) next(ctx context.Context, now time.Time) (*evaluationv1.WatchResponse, error) {
	before := w.shown
	touched, lost, newest, err := collect(ctx, w.changes)
	if err != nil {
		return nil, err
	}
	if newest == nil {
		return nil, w.env.missing()
	}
	saw := w.pass.right
	if err := w.pass.check(newest); err != nil {
		return nil, err
	}
	w.shown = newest
	var keys []string
	if lost || saw != w.pass.right || touched.len() > w.shown.Eval().FlagCount()/2 {
		keys = w.union(before.Eval(), w.shown.Eval())
	} else {
		keys = w.filter(touched.concerned(w.shown.Eval()))
	}
	var counted reasonTally
	var answers []*evaluationv1.EvaluateResponse
	for i, key := range keys {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r, same := w.show(key, before, saw, now.Unix())
		if same {
			continue
		}
		counted.add(string(r.Reason))
		answers = append(answers, answerOf(key, r))
	}
	if len(answers) == 0 {
		return nil, nil
	}
	w.env.answers.addAll(&counted)
	return w.response(answers), nil
}

// show evaluates a flag, and tells whether the caller has that answer from the snapshot
// before, in which it saw what it was allowed to then.
func (w *watch) show(key string, before *snapshot.Snapshot, saw *accesskey.Right, now int64) (r eval.Result, same bool) {
	shown, then, current := w.subject, w.subject, w.subject
	if at, ok := w.shownAt[key]; ok {
		shown.Now = at
	}
	current.Now = now
	sees := w.pass.right
	r = sees.Shown(key, w.shown.Eval().Evaluate(key, &current))
	same = sameAnswer(saw.Shown(key, before.Eval().Evaluate(key, &shown)), r)
	if sameAnswer(sees.Shown(key, w.shown.Eval().Evaluate(key, &then)), r) {
		delete(w.shownAt, key)
	} else {
		w.shownAt[key] = now
	}
	return r, same
}

// collect takes in all changes that have come by now, waiting for the first. lost: some
// of them are not known; newest is the snapshot after the last one in any case, nil if it
// was taken away.
func collect(ctx context.Context, changes *replica.Subscription) (t touched, lost bool, newest *snapshot.Snapshot, err error) {
	for {
		c, missed, err := changes.Next(ctx)
		if err != nil {
			return t, lost, nil, err
		}
		lost = lost || missed
		if !missed {
			t.add(c.Delta)
		}
		select {
		case <-changes.Changed():
			continue
		default:
		}
		if c.Snapshot != nil || missed { // else newer changes came meanwhile
			return t, lost, c.Snapshot, nil
		}
	}
}

func (w *watch) response(answers []*evaluationv1.EvaluateResponse) *evaluationv1.WatchResponse {
	return &evaluationv1.WatchResponse{
		Evaluations:         answers,
		EnvironmentRevision: w.shown.Cursor().Revision,
		Age:                 durationpb.New(w.env.replica.Age()),
	}
}

// touched are the flags and segments that changes put or deleted.
type touched struct{ flags, segments []string }

func (t *touched) len() int { return len(t.flags) + len(t.segments) }

func (t *touched) add(d snapshot.Delta) {
	for i := range d.Puts {
		t.addItem(d.Puts[i].Kind, d.Puts[i].Key)
	}
	for i := range d.Deletes {
		t.addItem(d.Deletes[i].Kind, d.Deletes[i].Key)
	}
}

func (t *touched) addItem(kind syncv1.Kind, key string) {
	switch kind {
	case syncv1.Kind_KIND_FLAG:
		t.flags = append(t.flags, key)
	case syncv1.Kind_KIND_SEGMENT:
		t.segments = append(t.segments, key)
	}
}

// concerned returns the flags whose answers may have changed, in the order of their
// keys: the touched ones, and all that depend on them over segments and prerequisites.
// A flag that depended on them before, and does not now, was touched itself.
func (t *touched) concerned(env *eval.Environment) []string {
	seen := map[string]bool{}
	var keys []string
	add := func(more []string) {
		for _, key := range more {
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
	}
	add(t.flags)
	for _, segment := range t.segments {
		add(env.SegmentDependants(segment))
	}
	for i := 0; i < len(keys); i++ {
		add(env.Dependants(keys[i]))
	}
	slices.Sort(keys)
	return keys
}

// filter keeps the chosen ones of the keys.
func (w *watch) filter(keys []string) []string {
	return slices.DeleteFunc(keys, func(key string) bool {
		if w.only != nil {
			return !w.only[key]
		}
		return !strings.HasPrefix(key, w.chosen.prefix)
	})
}

// union returns the chosen keys of both environments, in order.
func (w *watch) union(a, b *eval.Environment) []string {
	if w.only != nil {
		return w.chosen.keys
	}
	var keys []string
	for _, flags := range [][]*eval.Flag{w.chosen.of(a.Flags()), w.chosen.of(b.Flags())} {
		for _, f := range flags {
			keys = append(keys, f.Key())
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
