package bed

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Prefix begins the keys of what writers write and readers read.
const Prefix = "counter-"

// Writer counts up the value of one flag, or of some in one transaction, each time based
// on what it wrote before, and retries with the same request id until it has an answer.
type Writer struct {
	Keys []string
	// Pause is made after each write.
	Pause time.Duration
	// Tolerate tells errors after which the write is tried again, beside those that say
	// that the server is not there; may be nil.
	Tolerate func(error) bool
	// Record is told of each write of a flag when it begins, and what it returns of its
	// revision, once that is known; may be nil.
	Record func(key string, base, value int64) (done func(revision int64))

	t            testing.TB
	flags        controlv1.FlagServiceClient
	revision     int64
	attempted    atomic.Int64 // the highest value that may be in the store
	acknowledged atomic.Int64 // the highest value that was acknowledged
	requests     []string     // ids of acknowledged writes, in order
	// pending is the write that has no answer yet, and its id.
	pending   func(context.Context) (revision int64, err error)
	pendingID string
	recorded  []func(revision int64)
}

// NewWriter makes a writer and its flags, whose keys must begin with Prefix.
func NewWriter(ctx context.Context, t testing.TB, server string, keys ...string) *Writer {
	t.Helper()
	w := &Writer{Keys: keys, t: t, flags: controlv1.NewFlagServiceClient(Dial(t, server))}
	w.create(ctx)
	return w
}

// Acknowledged is the highest value that was acknowledged.
func (w *Writer) Acknowledged() int64 { return w.acknowledged.Load() }

// Revision is that of the last write that was acknowledged; not while the writer runs.
func (w *Writer) Revision() int64 { return w.revision }

// Counter is a flag that serves a number.
func Counter(key string, value int64) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_INTEGER, Enabled: true,
		Variants:       []*flagv1.Variant{{Name: "count", Value: structpb.NewNumberValue(float64(value))}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "count"}},
	}
}

func (w *Writer) create(ctx context.Context) {
	w.t.Helper()
	w.pendingID = uuid.NewString()
	w.attempted.Store(1)
	request := &controlv1.ApplyRequest{Environment: Environment, Reason: "count", RequestId: w.pendingID}
	for _, key := range w.Keys {
		request.Flags = append(request.Flags, &controlv1.FlagWrite{Flag: Counter(key, 1), BaseRevision: proto.Int64(0)})
	}
	r, err := w.flags.Apply(ctx, request)
	if err != nil {
		w.t.Fatalf("create %s: %v", w.Keys, err)
	}
	w.acknowledge(r.GetRevision())
}

// next begins a write.
func (w *Writer) next() {
	w.pendingID = uuid.NewString()
	value := w.attempted.Add(1)
	if w.Record != nil {
		for _, key := range w.Keys {
			w.recorded = append(w.recorded, w.Record(key, w.revision, value))
		}
	}
	if len(w.Keys) == 1 {
		request := &controlv1.UpdateFlagRequest{
			Environment: Environment, Flag: Counter(w.Keys[0], value), BaseRevision: w.revision,
			Reason: "count", RequestId: w.pendingID,
		}
		w.pending = func(ctx context.Context) (int64, error) {
			r, err := w.flags.UpdateFlag(ctx, request)
			return r.GetFlag().GetRevision(), err
		}
		return
	}
	request := &controlv1.ApplyRequest{Environment: Environment, Reason: "count", RequestId: w.pendingID}
	for _, key := range w.Keys {
		request.Flags = append(request.Flags, &controlv1.FlagWrite{Flag: Counter(key, value), BaseRevision: proto.Int64(w.revision)})
	}
	w.pending = func(ctx context.Context) (int64, error) {
		r, err := w.flags.Apply(ctx, request)
		return r.GetRevision(), err
	}
}

// Run writes until ctx ends; run again, it goes on with the write that has no answer.
func (w *Writer) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if w.pending == nil {
			w.next()
		}
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		revision, err := w.pending(attempt)
		cancel()
		pause := w.Pause
		switch c := status.Code(err); {
		case err == nil:
			w.acknowledge(revision)
		case c == codes.Unavailable, c == codes.DeadlineExceeded, c == codes.Canceled, w.Tolerate != nil && w.Tolerate(err):
			pause = 10 * time.Millisecond
		default:
			w.t.Errorf("%s = %d: %v", w.Keys, w.attempted.Load(), err)
			return
		}
		if pause > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

func (w *Writer) acknowledge(revision int64) {
	if revision <= w.revision {
		w.t.Errorf("%s: revision %d after %d", w.Keys, revision, w.revision)
	}
	w.revision = revision
	w.requests = append(w.requests, w.pendingID)
	for _, done := range w.recorded {
		done(revision)
	}
	w.recorded = nil
	w.pending = nil
	w.acknowledged.Store(w.attempted.Load())
}

// Verify reads the store: each acknowledged write is in the history of each flag once and
// in order, and at most one unacknowledged one follows.
func (w *Writer) Verify(ctx context.Context) {
	w.t.Helper()
	for _, key := range w.Keys {
		w.verify(ctx, key)
	}
}

func (w *Writer) verify(ctx context.Context, key string) {
	w.t.Helper()
	var entries []*controlv1.AuditEntry
	for token := ""; ; {
		r, err := w.flags.ListFlagHistory(ctx, &controlv1.ListFlagHistoryRequest{
			Environment: Environment, FlagKey: key, PageSize: 100, PageToken: token,
		})
		if err != nil {
			w.t.Fatalf("history of %s: %v", key, err)
		}
		entries = append(entries, r.GetEntries()...)
		if token = r.GetNextPageToken(); token == "" {
			break
		}
	}
	if extra := len(entries) - len(w.requests); extra < 0 || extra > 1 {
		w.t.Fatalf("%s: %d writes acknowledged, %d in the history", key, len(w.requests), len(entries))
	}
	for i, id := range w.requests {
		e := entries[len(entries)-1-i] // newest first
		if e.GetRequestId() != id || e.GetSequence() != int64(i+1) {
			w.t.Fatalf("%s: entry %d is request %s, sequence %d; acknowledged was %s", key, i+1, e.GetRequestId(), e.GetSequence(), id)
		}
	}
}

// Served checks that the relay answers with what the store holds.
func (w *Writer) Served(ctx context.Context, evaluation evaluationv1.EvaluationServiceClient) error {
	for _, key := range w.Keys {
		if err := w.served(ctx, evaluation, key); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) served(ctx context.Context, evaluation evaluationv1.EvaluationServiceClient, key string) error {
	stored, err := w.flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: Environment, FlagKey: key})
	if err != nil {
		return err
	}
	want := int64(stored.GetFlag().GetFlag().GetVariants()[0].GetValue().GetNumberValue())
	if acknowledged := w.acknowledged.Load(); want < acknowledged {
		w.t.Fatalf("%s: the store holds %d, acknowledged was %d", key, want, acknowledged)
	}
	got, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: Environment, FlagKey: key})
	if err != nil {
		return err
	}
	if got.GetIntValue() != want || got.GetFlagRevision() != stored.GetFlag().GetRevision() {
		return fmt.Errorf("the relay serves %d at revision %d, the store holds %d at revision %d",
			got.GetIntValue(), got.GetFlagRevision(), want, stored.GetFlag().GetRevision())
	}
	return nil
}
