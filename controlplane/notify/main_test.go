package notify_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const leaderKey = "/tidegate/v1/meta/leader"

// receiver is a target that takes or refuses what a test says. It remembers every attempt.
type receiver struct {
	mu sync.Mutex
	// answer to an attempt; nil takes everything.
	answer   func(ctx context.Context, e notify.Event) error
	attempts []attempt
}

type attempt struct {
	event notify.Event
	at    time.Time
	err   error
}

func (r *receiver) Send(ctx context.Context, e notify.Event) (string, error) {
	r.mu.Lock()
	answer := r.answer
	r.mu.Unlock()
	at := time.Now()
	var err error
	if answer != nil {
		err = answer(ctx, e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, attempt{e, at, err})
	return "thanks", err
}

func (r *receiver) answers(f func(context.Context, notify.Event) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// took are the headlines of what was taken, in order.
func (r *receiver) took() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, a := range r.attempts {
		if a.err == nil {
			all = append(all, a.event.Headline)
		}
	}
	return all
}

func (r *receiver) tried() []attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]attempt(nil), r.attempts...)
}

// bed is a store with a leader's key.
type bed struct {
	t     *testing.T
	store *memstore.Store
	fence store.Compare
	log   *syncBuffer
}

func newBed(t *testing.T) *bed {
	b := &bed{t: t, store: memstore.New(), log: &syncBuffer{}}
	b.elect()
	return b
}

// elect ends the term, and begins the next.
func (b *bed) elect() store.Compare {
	b.t.Helper()
	b.commit(store.Delete(leaderKey))
	out := b.commit(store.Put(leaderKey, []byte("x")))
	b.fence = store.CreatedAt(leaderKey, out.Revision)
	return b.fence
}

func (b *bed) commit(ops ...store.Op) store.Outcome {
	b.t.Helper()
	out, err := b.store.Commit(b.t.Context(), store.Txn{Ops: ops})
	if err != nil || !out.Committed {
		b.t.Fatalf("commit: %+v, %v", out, err)
	}
	return out
}

// notifier makes one for the named receivers.
func (b *bed) notifier(receivers map[string]notify.Sender, r prometheus.Registerer) *notify.Notifier {
	b.t.Helper()
	return b.notifierOn(b.store, receivers, r)
}

func (b *bed) notifierOn(s store.Store, receivers map[string]notify.Sender, r prometheus.Registerer) *notify.Notifier {
	b.t.Helper()
	o := notify.Options{Store: s, Logger: zerolog.New(b.log), Registerer: r}
	for name, sender := range receivers {
		o.Targets = append(o.Targets, notify.Target{Name: name, Sender: sender})
	}
	n, err := notify.New(o)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// run runs a notifier until the function that is returned is called, which returns its error.
func (b *bed) run(n *notify.Notifier) (stop func() error) {
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx, b.fence) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	b.t.Cleanup(func() { _ = stop() })
	return stop
}

// put commits an event's ops.
func (b *bed) put(n *notify.Notifier, e notify.Event) {
	b.t.Helper()
	b.commit(n.Ops(e)...)
}

// waiting are the keys in the outbox.
func (b *bed) waiting() []string { return b.keys("/tidegate/v1/n/") }

func (b *bed) keys(prefix string) []string {
	b.t.Helper()
	results, _, err := b.store.Read(b.t.Context(), store.Prefix(prefix))
	if err != nil {
		b.t.Fatal(err)
	}
	keys := make([]string, 0, len(results[0].KVs))
	for _, kv := range results[0].KVs {
		keys = append(keys, kv.Key)
	}
	return keys
}

// event is the n-th of a rollout.
func event(n int) notify.Event {
	return notify.Event{
		Kind: notify.RolledBack, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second),
		Environment: "production", Rollout: "checkout-v2", Flag: "checkout", Owner: "payments",
		FromWeight: 500, Decision: uint64(n), Headline: fmt.Sprintf("event %d", n),
	}
}

// syncBuffer is a log that is written while it is read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// inBubble runs a test with a clock of its own.
func inBubble(t *testing.T, f func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBed(t)) })
}
