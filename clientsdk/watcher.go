package clientsdk

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

const (
	// maxWatched bounds what a client that is asked for ever new keys makes a relay watch.
	maxWatched = 1000
	// rewatchAfter is how long new keys are collected before they are watched too.
	rewatchAfter = time.Second

	watchBackoffMin = 100 * time.Millisecond
	watchBackoffMax = 5 * time.Second
)

// noFlag is a prefix that no flag's key has: a watch on it tells that the relay is there
// and ready, and costs it nothing.
const noFlag = "."

// errRewatch ends a stream that lacks keys.
var errRewatch = errors.New("clientsdk: there are more flags to watch")

// watcher keeps one Watch stream to the relay, for a context that says nothing: it
// tells whether the relay is there, and of changes.
type watcher struct {
	client *remote
	ready  chan struct{} // closed at the first message
	grown  chan struct{} // signalled when there are keys that no stream watches
	alive  chan struct{} // signalled when the relay answers although no stream is there

	mu       sync.Mutex
	state    State // NOT_READY, READY or ERROR
	upstream string
	err      error
	flags    map[string]watched
}

// watched is what is known of a flag that this client evaluates.
type watched struct {
	// flagRevision of the newest answer, which was at environmentRevision.
	flagRevision, environmentRevision int64
	// notified is the environment's revision at which a change was told last.
	notified int64
	// answer to the empty context, without the value, which the revision covers.
	answer string
}

func newWatcher(c *remote) *watcher {
	return &watcher{
		client: c,
		ready:  make(chan struct{}),
		grown:  make(chan struct{}, 1),
		alive:  make(chan struct{}, 1),
		state:  StateNotReady,
		flags:  map[string]watched{},
	}
}

func (w *watcher) status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Status{State: w.state, Connected: w.state == StateReady, Upstream: w.upstream, Err: w.err}
}

// evaluated learns from the answer to an evaluation; true: the flag has changed.
func (w *watcher) evaluated(key string, r *evaluationv1.EvaluateResponse) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != StateReady {
		signal(w.alive)
	}
	was, known := w.flags[key]
	switch {
	case !known && len(w.flags) >= maxWatched:
		return false
	case known && r.GetEnvironmentRevision() <= was.environmentRevision:
		return false // nothing new, or overtaken by a newer answer
	}
	now := was
	now.flagRevision, now.environmentRevision = r.GetFlagRevision(), r.GetEnvironmentRevision()
	changed := known && was.flagRevision != now.flagRevision
	if changed {
		now.notified = now.environmentRevision
	}
	w.flags[key] = now
	if !known {
		signal(w.grown)
	}
	return changed
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) {
	backoff := watchBackoffMin
	for ctx.Err() == nil {
		answered, err := w.follow(ctx)
		switch {
		case errors.Is(err, errRewatch):
			continue
		case answered: // the relay went away or drains; another may be there already
			backoff = watchBackoffMin
		default:
			w.down(err)
			backoff = min(2*backoff, watchBackoffMax)
		}
		w.wait(ctx, backoff)
	}
}

// wait waits a random while below the limit; a shorter one as soon as an evaluation shows
// that the relay is back.
func (w *watcher) wait(ctx context.Context, limit time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(rand.N(limit)): //nolint:gosec // spreads load, keeps no secret
		return
	case <-w.alive:
	}
	select {
	case <-ctx.Done():
	case <-time.After(rand.N(watchBackoffMin)): //nolint:gosec // as above
	}
}

// follow watches over one stream, until it fails or keys are lacking.
func (w *watcher) follow(ctx context.Context) (answered bool, err error) {
	var keys sync.WaitGroup
	defer keys.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, watching := w.request()
	stream, err := w.client.rpc.Watch(ctx, request)
	if err != nil {
		return false, err
	}
	keys.Go(func() { w.awaitKeys(ctx, watching, cancel) })
	for {
		m, err := stream.Recv()
		if err != nil {
			if cause := context.Cause(ctx); errors.Is(cause, errRewatch) {
				err = cause
			}
			return answered, err
		}
		w.client.fresh(m.GetEnvironmentRevision(), m.GetAge().AsDuration())
		w.client.changed(w.answers(m, !answered))
		if !answered {
			answered = true
			p, _ := peer.FromContext(stream.Context()) //nolint:contextcheck // the stream's context, for what it holds
			w.up(p)
		}
	}
}

// awaitKeys cancels the stream when there are more keys than it watches.
func (w *watcher) awaitKeys(ctx context.Context, watching int, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.grown:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(rewatchAfter):
		}
		w.mu.Lock()
		lacking := len(w.flags) > watching
		w.mu.Unlock()
		if lacking {
			cancel(errRewatch)
			return
		}
	}
}

// request asks for the flags known so far.
func (w *watcher) request() (r *evaluationv1.WatchRequest, watching int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r = &evaluationv1.WatchRequest{Environment: w.client.cfg.environment}
	if len(w.flags) == 0 {
		r.KeyPrefix = noFlag
	}
	for key := range maps.Keys(w.flags) {
		r.FlagKeys = append(r.FlagKeys, key)
	}
	slices.Sort(r.FlagKeys)
	return r, len(r.FlagKeys)
}

// answers returns the keys of those flags in a message that changed since what was known.
// The first message of a stream counts even where it goes back: another relay speaks.
func (w *watcher) answers(m *evaluationv1.WatchResponse, first bool) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var changed []string
	for _, r := range m.GetEvaluations() {
		was, known := w.flags[r.GetFlagKey()]
		if !known || !first && m.GetEnvironmentRevision() < was.environmentRevision {
			continue
		}
		now := watched{
			flagRevision:        r.GetFlagRevision(),
			environmentRevision: m.GetEnvironmentRevision(),
			notified:            was.notified,
			answer:              r.GetVariant() + "\x00" + r.GetReason() + "\x00" + r.GetRule() + "\x00" + r.GetErrorCode(),
		}
		differs := was.flagRevision != now.flagRevision || was.answer != "" && was.answer != now.answer
		if differs && now.environmentRevision != now.notified {
			now.notified = now.environmentRevision
			changed = append(changed, r.GetFlagKey())
		}
		w.flags[r.GetFlagKey()] = now
	}
	return changed
}

func (w *watcher) up(p *peer.Peer) {
	w.mu.Lock()
	if w.state == StateNotReady {
		close(w.ready)
	}
	w.state, w.err = StateReady, nil
	if p != nil {
		w.upstream = p.Addr.String()
	}
	w.mu.Unlock()
	w.client.checkState()
}

func (w *watcher) down(err error) {
	if errors.Is(err, io.EOF) {
		err = errors.New("the relay ended the stream")
	}
	if s, ok := status.FromError(err); ok {
		err = errors.New(s.Code().String() + ": " + s.Message())
	}
	w.mu.Lock()
	if w.state == StateReady {
		w.state = StateError
	}
	w.err = err
	w.mu.Unlock()
	w.client.checkState()
}
