package clientsdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// offlineEnvironment is what Status and messages call the flags of an Offline.
const offlineEnvironment = "offline"

// Offline is a Client without an upstream: it evaluates flags that the program gives it,
// with the same engine. For tests, package flagtest is handier.
//
// It is ready from the start, has no goroutine, and calls callbacks in the goroutine that
// calls Apply, before Apply returns; two Applies at once may call them at once.
type Offline struct {
	typed
	tracking
	local   local
	changes listeners[[]string]
	states  listeners[Status]

	mu     sync.Mutex // one Apply at a time; guards closed
	closed bool
}

var _ Client = (*Offline)(nil)

// NewOffline returns a client that has no flags yet.
func NewOffline(options ...OfflineOption) *Offline {
	cfg := config{clock: time.Now}
	for _, o := range options {
		o.offline(&cfg)
	}
	v := newView(nil, zerolog.Nop())
	r := replica.NewSet(replica.Options{HistoryBytes: -1, Observer: v}).Add(offlineEnvironment)
	r.Restore(snapshot.New(offlineEnvironment, snapshot.Epoch{}), 0)
	o := &Offline{local: local{replica: r, view: v, age: func() time.Duration { return 0 }, region: cfg.region, clock: cfg.clock}}
	o.typed = typed{source: &o.local, observe: cfg.observe}
	o.tracking = tracking{observed: cfg.observeTracked}
	return o
}

// Edit is a change of an Offline's flags and segments. What is there under the same key
// is replaced.
type Edit struct {
	Flags                         []*flagv1.Flag
	Segments                      []*flagv1.Segment
	DeletedFlags, DeletedSegments []string
}

// Apply applies an edit, whole or not at all. An error names every field that is wrong.
// The messages are copied.
func (o *Offline) Apply(e Edit) error {
	puts, deletes, err := e.items()
	if err != nil {
		return err
	}
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return ErrClosed
	}
	prev := o.local.replica.Snapshot()
	next, err := o.advance(prev, puts, deletes)
	o.mu.Unlock()
	if err != nil {
		return err
	}
	if keys := changedFlags(prev, next); len(keys) > 0 {
		o.changes.call(keys)
	}
	return nil
}

// advance publishes the state after an edit, if it is sound.
func (o *Offline) advance(prev *snapshot.Snapshot, puts []snapshot.Item, deletes []snapshot.ID) (*snapshot.Snapshot, error) {
	revision := prev.Cursor().Revision + 1
	for i := range puts {
		puts[i].ModRevision = revision
	}
	next, delta := prev.Next(revision, puts, deletes)
	var errs []error
	for _, r := range next.Rejections() {
		errs = append(errs, fmt.Errorf("%s: %w", r.Item.Key, r.Err))
	}
	if len(errs) == 0 {
		errs = append(errs, next.Eval().Check(nil, nil))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return next, o.local.replica.Publish(next, delta)
}

func (e Edit) items() (puts []snapshot.Item, deletes []snapshot.ID, err error) {
	put := func(kind syncv1.Kind, key string, m proto.Message) error {
		data, err := proto.Marshal(m)
		puts = append(puts, snapshot.Item{Kind: kind, Key: key, Data: data})
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	}
	errs := make([]error, 0, len(e.Flags)+len(e.Segments))
	for _, f := range e.Flags {
		errs = append(errs, put(syncv1.Kind_KIND_FLAG, f.GetKey(), f))
	}
	for _, s := range e.Segments {
		errs = append(errs, put(syncv1.Kind_KIND_SEGMENT, s.GetKey(), s))
	}
	for _, key := range e.DeletedFlags {
		deletes = append(deletes, snapshot.ID{Kind: syncv1.Kind_KIND_FLAG, Key: key})
	}
	for _, key := range e.DeletedSegments {
		deletes = append(deletes, snapshot.ID{Kind: syncv1.Kind_KIND_SEGMENT, Key: key})
	}
	return puts, deletes, errors.Join(errs...)
}

// Flag returns a flag's definition, the caller's own; nil if there is none.
func (o *Offline) Flag(key string) *flagv1.Flag {
	item, ok := o.local.replica.Snapshot().Item(syncv1.Kind_KIND_FLAG, key)
	if !ok {
		return nil
	}
	f := &flagv1.Flag{}
	if err := proto.Unmarshal(item.Data, f); err != nil {
		return nil // Apply encoded it
	}
	return f
}

// OnChange is [Client.OnChange].
func (o *Offline) OnChange(f func(flagKeys []string)) (stop func()) { return o.changes.add(f) }

// OnState is [Client.OnState]; the state of an Offline never changes by itself.
func (o *Offline) OnState(f func(Status)) (stop func()) { return o.states.add(f) }

// WaitReady returns at once.
func (o *Offline) WaitReady(context.Context) error {
	if o.Status().State == StateClosed {
		return ErrClosed
	}
	return nil
}

// Status tells READY, or CLOSED; an Offline is never stale.
func (o *Offline) Status() Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Status{State: StateReady, Environment: offlineEnvironment, Revision: o.local.replica.Snapshot().Cursor().Revision}
	if o.closed {
		s.State = StateClosed
	}
	return s
}

// Close ends notifications; the client still answers.
func (o *Offline) Close() error {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.changes.close()
	o.states.close()
	return nil
}
