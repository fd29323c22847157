package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

var (
	rounds = flag.Int("rounds", 6, "how often TestKill kills")
	seed   = flag.Uint64("seed", 0, "seed of TestKill; 0: a random one")
)

const killFlags = 5

// TestKill kills the server, the relay and both, at random, under a writing client
// (promises 1, 2 and 3 of docs/architecture.md): no acknowledged write is lost, a
// retried write happens once, the relay answers throughout and from its disk without a
// server, and no reader ever sees a revision or a value go back.
func TestKill(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d, %d rounds", *seed, *rounds)
	random := rand.New(rand.NewPCG(*seed, 0))

	srv := newServer(t, "--data-dir", t.TempDir())
	srv.start()
	relay := newEdge(t, srv.grpc, t.TempDir())
	relay.start()

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer func() { stop(); clients.Wait() }()
	writers := make([]*writer, killFlags)
	for i := range writers {
		w := &writer{t: t, key: fmt.Sprintf("counter-%d", i), flags: controlv1.NewFlagServiceClient(dial(t, srv.grpc))}
		w.create(ctx)
		writers[i] = w
		clients.Go(func() { w.run(ctx) })
	}
	read := &reader{t: t, evaluation: evaluationv1.NewEvaluationServiceClient(dial(t, relay.grpc)), writers: writers}
	eventually(t, "the relay has the flags", func() error { return read.once(ctx, time.Second) })
	clients.Go(func() { read.run(ctx) })

	for round := range *rounds {
		acknowledged, answered := writers[0].acknowledged.Load(), read.answered.Load()
		switch random.IntN(3) {
		case 0:
			t.Logf("round %d: kill the server", round)
			srv.kill()
			read.mustAnswer(ctx)
			srv.start()
		case 1:
			t.Logf("round %d: kill the relay", round)
			relay.kill()
			relay.start()
		case 2:
			t.Logf("round %d: kill both, start the relay first", round)
			srv.kill()
			relay.kill()
			relay.start()
			read.mustAnswer(ctx)
			srv.start()
		}
		eventually(t, "writes and answers go on", func() error {
			if writers[0].acknowledged.Load() <= acknowledged || read.answered.Load() <= answered {
				return errors.New("no progress")
			}
			return nil
		})
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond) // kill at odd moments
	}

	stop()
	clients.Wait()
	var writes int64
	for _, w := range writers {
		w.verify(t.Context())
		writes += w.acknowledged.Load()
		eventually(t, "the relay serves the last write of "+w.key, func() error { return w.served(t.Context(), read.evaluation) })
	}
	t.Logf("%d writes acknowledged, %d answers, %d refused while the relay was down", writes, read.answered.Load(), read.refused.Load())
}

// writer counts up the value of one flag, each time based on what it wrote before, and
// retries with the same request id until it has an answer.
type writer struct {
	t     *testing.T
	key   string
	flags controlv1.FlagServiceClient

	revision     int64
	attempted    atomic.Int64 // the highest value that may be in the store
	acknowledged atomic.Int64 // the highest value that was acknowledged
	requests     []string     // ids of acknowledged writes, in order
}

func (w *writer) definition(value int64) *flagv1.Flag {
	return &flagv1.Flag{
		Key: w.key, Type: flagv1.ValueType_VALUE_TYPE_INTEGER, Enabled: true,
		Variants:       []*flagv1.Variant{{Name: "count", Value: structpb.NewNumberValue(float64(value))}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "count"}},
	}
}

func (w *writer) create(ctx context.Context) {
	w.t.Helper()
	id := uuid.NewString()
	w.attempted.Store(1)
	r, err := w.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{
		Environment: "production", Flag: w.definition(1), Reason: "count", RequestId: id,
	})
	if err != nil {
		w.t.Fatalf("create %s: %v", w.key, err)
	}
	w.revision = r.GetFlag().GetRevision()
	w.acknowledged.Store(1)
	w.requests = append(w.requests, id)
}

func (w *writer) run(ctx context.Context) {
	for value := int64(2); ctx.Err() == nil; value++ {
		w.attempted.Store(value)
		request := &controlv1.UpdateFlagRequest{
			Environment: "production", Flag: w.definition(value), BaseRevision: w.revision,
			Reason: "count", RequestId: uuid.NewString(),
		}
		for ctx.Err() == nil {
			attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
			r, err := w.flags.UpdateFlag(attempt, request)
			cancel()
			if err == nil {
				if r.GetFlag().GetRevision() <= w.revision {
					w.t.Errorf("%s: revision %d after %d", w.key, r.GetFlag().GetRevision(), w.revision)
				}
				w.revision = r.GetFlag().GetRevision()
				w.requests = append(w.requests, request.GetRequestId())
				w.acknowledged.Store(value)
				break
			}
			if c := status.Code(err); c != codes.Unavailable && c != codes.DeadlineExceeded && c != codes.Canceled {
				w.t.Errorf("%s = %d: %v", w.key, value, err)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// verify reads the store: each acknowledged write is in the history once and in order,
// and at most one unacknowledged one follows.
func (w *writer) verify(ctx context.Context) {
	w.t.Helper()
	var entries []*controlv1.AuditEntry
	for token := ""; ; {
		r, err := w.flags.ListFlagHistory(ctx, &controlv1.ListFlagHistoryRequest{
			Environment: "production", FlagKey: w.key, PageSize: 100, PageToken: token,
		})
		if err != nil {
			w.t.Fatalf("history of %s: %v", w.key, err)
		}
		entries = append(entries, r.GetEntries()...)
		if token = r.GetNextPageToken(); token == "" {
			break
		}
	}
	if extra := len(entries) - len(w.requests); extra < 0 || extra > 1 {
		w.t.Fatalf("%s: %d writes acknowledged, %d in the history", w.key, len(w.requests), len(entries))
	}
	for i, id := range w.requests {
		e := entries[len(entries)-1-i] // newest first
		if e.GetRequestId() != id || e.GetSequence() != int64(i+1) {
			w.t.Fatalf("%s: entry %d is request %s, sequence %d; acknowledged was %s", w.key, i+1, e.GetRequestId(), e.GetSequence(), id)
		}
	}
}

// served checks that the relay answers with what the store holds.
func (w *writer) served(ctx context.Context, evaluation evaluationv1.EvaluationServiceClient) error {
	stored, err := w.flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: "production", FlagKey: w.key})
	if err != nil {
		return err
	}
	want := int64(stored.GetFlag().GetFlag().GetVariants()[0].GetValue().GetNumberValue())
	if acknowledged := w.acknowledged.Load(); want < acknowledged {
		w.t.Fatalf("%s: the store holds %d, acknowledged was %d", w.key, want, acknowledged)
	}
	got, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: "production", FlagKey: w.key})
	if err != nil {
		return err
	}
	if got.GetIntValue() != want || got.GetFlagRevision() != stored.GetFlag().GetRevision() {
		return fmt.Errorf("the relay serves %d at revision %d, the store holds %d at revision %d",
			got.GetIntValue(), got.GetFlagRevision(), want, stored.GetFlag().GetRevision())
	}
	return nil
}

// reader asks the relay without pause and checks that nothing goes back.
type reader struct {
	t          *testing.T
	evaluation evaluationv1.EvaluationServiceClient
	writers    []*writer

	mu                sync.Mutex
	revision          int64
	values            [killFlags]int64
	answered, refused atomic.Int64
}

func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.once(ctx, time.Second); err != nil {
			r.refused.Add(1)
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// mustAnswer demands answers while there is no server.
func (r *reader) mustAnswer(ctx context.Context) {
	r.t.Helper()
	for range 50 {
		if err := r.once(ctx, patience); err != nil {
			r.t.Fatalf("the relay does not answer without a server: %v", err)
		}
	}
}

func (r *reader) once(ctx context.Context, timeout time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	all, err := r.evaluation.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{Environment: "production", KeyPrefix: "counter-"})
	if err != nil {
		return err
	}
	if len(all.GetEvaluations()) != killFlags {
		return fmt.Errorf("%d flags", len(all.GetEvaluations()))
	}
	if all.GetEnvironmentRevision() < r.revision {
		r.t.Errorf("revision %d after %d", all.GetEnvironmentRevision(), r.revision)
	}
	r.revision = all.GetEnvironmentRevision()
	for i, e := range all.GetEvaluations() {
		if highest := r.writers[i].attempted.Load(); e.GetIntValue() < r.values[i] || e.GetIntValue() > highest {
			r.t.Errorf("%s: %d after %d, when %d was the highest written", e.GetFlagKey(), e.GetIntValue(), r.values[i], highest)
		}
		r.values[i] = e.GetIntValue()
	}
	r.answered.Add(1)
	return nil
}
