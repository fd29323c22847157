package relay

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// keepAliveEvery is how long streams of events are silent at most.
	keepAliveEvery = 20 * time.Second
	// retellAfter is how long after a change, at least, it is told again, and twice this
	// at most. A provider forgets what it keeps of a flag when it hears of a change, but
	// then keeps the answer that was on its way to it: without a second word it would go
	// on with that until the flag's next change, even past a kill switch.
	retellAfter = 500 * time.Millisecond
)

// The kinds of events.
const (
	eventReady     = "provider_ready"
	eventChange    = "configuration_change"
	eventKeepAlive = "keep_alive"
	eventShutdown  = "provider_shutdown"
)

// flagdEvent is an event of flagd's EventStream.
type flagdEvent struct {
	kind string
	data *structpb.Struct // of eventChange
}

// flagdEvents tells what happens to the flags of the call's environment until the caller
// goes or the relay drains: that it is ready, once there is something to evaluate, and
// then each change, twice. A caller that reads slowly gets fewer and larger events.
func (s *evaluationService) flagdEvents(ctx context.Context, send func(flagdEvent) error) error {
	env, err := s.called(ctx, "")
	if err != nil {
		return err
	}
	right, err := env.passOf(ctx)
	if err != nil {
		return err
	}
	defer env.streams.open(streamEvents)()
	if err := s.await(ctx, env); err != nil {
		return err
	}
	f := newFlagFeed(env, right)
	if err := f.pass.check(f.shown); err != nil {
		return err
	}
	if err := send(flagdEvent{kind: eventReady}); err != nil {
		return err
	}
	idle := time.NewTimer(keepAliveEvery)
	defer idle.Stop()
	var told retelling
	for {
		event := flagdEvent{kind: eventKeepAlive}
		select {
		case <-f.changes.Changed():
			changed, err := f.next(ctx)
			if err != nil {
				return err
			}
			if len(changed) == 0 {
				continue
			}
			told.add(changed)
			event = flagdEvent{kind: eventChange, data: changesOf(changed)}
		case <-told.due:
			again := told.take()
			if len(again) == 0 {
				continue
			}
			event = flagdEvent{kind: eventChange, data: changesOf(again)}
		case <-f.pass.expired:
			if err := f.pass.check(f.shown); err != nil {
				return err
			}
			continue
		case <-idle.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.draining:
			_ = send(flagdEvent{kind: eventShutdown}) // whoever is gone need not be told
			return errDraining
		}
		if err := send(event); err != nil {
			return err
		}
		idle.Reset(keepAliveEvery)
	}
}

// retelling is what is to be told again.
type retelling struct {
	// recent was told since due was set, older before that.
	recent, older []flagChange
	due           <-chan time.Time // nil: there is nothing to tell
}

func (r *retelling) add(changed []flagChange) {
	r.recent = append(r.recent, changed...)
	if r.due == nil {
		r.due = time.After(retellAfter)
	}
}

// take returns what is to be told now. It is called when it is due.
func (r *retelling) take() []flagChange {
	again := r.older
	r.older, r.recent, r.due = r.recent, nil, nil
	if len(r.older) > 0 {
		r.due = time.After(retellAfter)
	}
	return again
}

// changesOf is the data of a configuration_change.
func changesOf(changed []flagChange) *structpb.Struct {
	flags := make(map[string]*structpb.Value, len(changed))
	for _, c := range changed {
		flags[c.key] = object(map[string]*structpb.Value{"type": structpb.NewStringValue(c.how)})
	}
	return &structpb.Struct{Fields: map[string]*structpb.Value{"flags": object(flags)}}
}

func object(fields map[string]*structpb.Value) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}

// How a flag changed, in flagd's words.
const (
	flagCreated = "write"
	flagUpdated = "update"
	flagDeleted = "delete"
)

// flagChange is one flag whose answers may have changed, and how it did.
type flagChange struct{ key, how string }

// flagFeed tells which flags of an environment changed, over and over. It is used by one
// goroutine.
type flagFeed struct {
	// shown is what was there up to the changes that were told.
	shown   *snapshot.Snapshot
	changes *replica.Subscription
	pass    *pass
}

func newFlagFeed(env *environment, p *pass) *flagFeed {
	now, changes := env.replica.Subscribe()
	return &flagFeed{shown: now, changes: changes, pass: p}
}

// evalOf is what there is to evaluate in a snapshot that may be none.
func evalOf(s *snapshot.Snapshot) *eval.Environment {
	if s == nil {
		return nil
	}
	return s.Eval()
}

// next takes in all changes that have come by now, and returns the flags that they
// concern: all, if the way to the newest snapshot is not known, or it was taken away.
func (f *flagFeed) next(ctx context.Context) ([]flagChange, error) {
	before, saw := sight{evalOf(f.shown), f.pass.right}, f.pass.right
	touched, lost, newest, err := collect(ctx, f.changes)
	if err != nil {
		return nil, err
	}
	if err := f.pass.check(newest); err != nil {
		return nil, err
	}
	f.shown = newest
	after := sight{evalOf(newest), f.pass.right}
	if lost || saw != f.pass.right {
		return changesBetween(before, after, keysOf(before.env, after.env)), nil
	}
	return changesBetween(before, after, touched.concerned(after.env)), nil
}

// sight is what a caller sees of a state.
type sight struct {
	env   *eval.Environment
	right *accesskey.Right
}

func (s sight) sees(key string) bool { return s.right.Sees(s.env.Flag(key)) }

// changesBetween tells how each flag changed; those that are seen on neither side did not.
func changesBetween(before, after sight, keys []string) []flagChange {
	changed := make([]flagChange, 0, len(keys))
	for _, key := range keys {
		was, is := before.sees(key), after.sees(key)
		switch {
		case was && is:
			changed = append(changed, flagChange{key, flagUpdated})
		case is:
			changed = append(changed, flagChange{key, flagCreated})
		case was:
			changed = append(changed, flagChange{key, flagDeleted})
		}
	}
	return changed
}

// keysOf returns the keys of all flags that one of the two has, in order.
func keysOf(a, b *eval.Environment) []string {
	keys := make([]string, 0, b.FlagCount())
	for _, flags := range [][]*eval.Flag{a.Flags(), b.Flags()} {
		for _, f := range flags {
			keys = append(keys, f.Key())
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
