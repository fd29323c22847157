package e2e

import (
	"context"
	"fmt"
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
	// pending is the write that has no answer yet.
	pending *controlv1.UpdateFlagRequest
}

func newWriter(ctx context.Context, t *testing.T, key, server string) *writer {
	t.Helper()
	w := &writer{t: t, key: key, flags: controlv1.NewFlagServiceClient(dial(t, server))}
	w.create(ctx)
	return w
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

// run writes until ctx ends; run again, it goes on with the write that has no answer.
func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		if w.pending == nil {
			value := w.attempted.Add(1)
			w.pending = &controlv1.UpdateFlagRequest{
				Environment: "production", Flag: w.definition(value), BaseRevision: w.revision,
				Reason: "count", RequestId: uuid.NewString(),
			}
		}
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		r, err := w.flags.UpdateFlag(attempt, w.pending)
		cancel()
		switch c := status.Code(err); {
		case err == nil:
			w.acknowledge(r.GetFlag().GetRevision())
		case c != codes.Unavailable && c != codes.DeadlineExceeded && c != codes.Canceled:
			w.t.Errorf("%s = %d: %v", w.key, w.attempted.Load(), err)
			return
		default:
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (w *writer) acknowledge(revision int64) {
	if revision <= w.revision {
		w.t.Errorf("%s: revision %d after %d", w.key, revision, w.revision)
	}
	w.revision = revision
	w.requests = append(w.requests, w.pending.GetRequestId())
	w.pending = nil
	w.acknowledged.Store(w.attempted.Load())
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
