package bed

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// Readers read what the writers write from one relay, each in its way.
type Readers struct {
	Evaluation           evaluationv1.EvaluationServiceClient
	Calls, Stream, Watch *Reader
	// Pause is made after each answer.
	Pause time.Duration

	t       testing.TB
	writers map[string]*Writer // by key of a flag
	keys    []string
}

// NewReaders makes readers of all the writers' flags, whose keys all begin with Prefix.
func NewReaders(t testing.TB, relay string, writers []*Writer) *Readers {
	t.Helper()
	rs := &Readers{t: t, Evaluation: evaluationv1.NewEvaluationServiceClient(Dial(t, relay)), writers: make(map[string]*Writer)}
	for _, w := range writers {
		for _, key := range w.Keys {
			rs.writers[key], rs.keys = w, append(rs.keys, key)
		}
	}
	rs.Calls, rs.Stream, rs.Watch = rs.reader("EvaluateAll"), rs.reader("EvaluateStream"), rs.reader("Watch")
	rs.Calls.session, rs.Stream.session, rs.Watch.session = rs.Calls.evaluateAll, rs.Stream.evaluateStream, rs.Watch.watch
	return rs
}

func (rs *Readers) reader(how string) *Reader {
	return &Reader{readers: rs, How: how, values: make(map[string]int64)}
}

// All lists the readers.
func (rs *Readers) All() []*Reader { return []*Reader{rs.Calls, rs.Stream, rs.Watch} }

// AwaitAll waits until the relay has all flags.
func (rs *Readers) AwaitAll(ctx context.Context) {
	rs.t.Helper()
	Eventually(rs.t, "the relay has the flags", func() error { return rs.Calls.session(ctx) })
}

// MustGoOn waits until each of the readers has had answers from now on.
func (rs *Readers) MustGoOn(when string, which ...*Reader) {
	rs.t.Helper()
	for _, r := range which {
		before := r.Answers.Load()
		Eventually(rs.t, r.How+" goes on "+when, func() error {
			if n := r.Answers.Load(); n < before+20 {
				return fmt.Errorf("%d answers, %d before", n, before)
			}
			return nil
		})
	}
}

// MustNotFail demands that no call fails and no stream breaks meanwhile.
func (rs *Readers) MustNotFail(meanwhile func()) {
	rs.t.Helper()
	before := make(map[*Reader]int64)
	for _, r := range rs.All() {
		before[r] = r.Failures.Load()
	}
	meanwhile()
	for _, r := range rs.All() {
		if n := r.Failures.Load() - before[r]; n > 0 {
			rs.t.Errorf("%s failed %d times, though the relay was up: %v", r.How, n, *r.lastFailure.Load())
		}
	}
}

// Ask asks for the first flag.
func (rs *Readers) Ask(ctx context.Context, r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	r.Environment, r.FlagKey = Environment, rs.keys[0]
	return rs.Evaluation.Evaluate(ctx, r)
}

// MustTellAge demands, while there is no server, that answers tell that they grow older,
// and that demands which cannot be met are refused, or answered as stale.
func (rs *Readers) MustTellAge(ctx context.Context) {
	rs.t.Helper()
	ask := func(r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) { return rs.Ask(ctx, r) }
	Eventually(rs.t, "max_age is refused", func() error {
		a, err := ask(&evaluationv1.EvaluateRequest{MaxAge: durationpb.New(500 * time.Millisecond)})
		if code := status.Code(err); code != codes.FailedPrecondition {
			return fmt.Errorf("answered %v with %v, want FAILED_PRECONDITION", a, code)
		}
		return nil
	})
	old, err := ask(&evaluationv1.EvaluateRequest{
		MaxAge: durationpb.New(500 * time.Millisecond), StalePolicy: evaluationv1.StalePolicy_STALE_POLICY_ANSWER,
	})
	if err != nil || old.GetReason() != "STALE" {
		rs.t.Errorf("%v, %v; want reason STALE", old, err)
	}
	older, err := ask(&evaluationv1.EvaluateRequest{MinRevision: old.GetEnvironmentRevision()})
	if err != nil || older.GetReason() != "STATIC" || older.GetAge().AsDuration() <= old.GetAge().AsDuration() {
		rs.t.Errorf("%v, %v; want an answer older than %v", older, err, old.GetAge().AsDuration())
	}
	if a, err := ask(&evaluationv1.EvaluateRequest{MinRevision: old.GetEnvironmentRevision() + 1}); status.Code(err) != codes.FailedPrecondition {
		rs.t.Errorf("revision %d + 1 was asked for: %v, %v; want FAILED_PRECONDITION", old.GetEnvironmentRevision(), a, err)
	}
}

// Reader reads without pause in one way, and checks that nothing goes back, and that what
// was written together is seen together.
type Reader struct {
	How string
	// Answers and Failures count; a call that is not answered, or a stream that breaks, is
	// one failure.
	Answers, Failures atomic.Int64

	readers *Readers
	// session is one call, or a stream until it breaks.
	session  func(context.Context) error
	revision int64
	values   map[string]int64
	// lastFailure tells why, where there must be none.
	lastFailure atomic.Pointer[error]
}

// Run reads until ctx ends.
func (r *Reader) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.session(ctx); err != nil && ctx.Err() == nil {
			r.Failures.Add(1)
			r.lastFailure.Store(&err)
			time.Sleep(5 * time.Millisecond)
		}
		r.rest(ctx)
	}
}

// see takes in an answer of a snapshot, which tells its age.
func (r *Reader) see(revision int64, age *durationpb.Duration, a *evaluationv1.EvaluateResponse) {
	key := a.GetFlagKey()
	if age == nil {
		r.readers.t.Errorf("%s: %s is answered without an age", r.How, key)
	}
	w := r.readers.writers[key]
	if w == nil || a.GetReason() != "STATIC" {
		r.readers.t.Errorf("%s: answered %v", r.How, a)
		return
	}
	if revision < r.revision {
		r.readers.t.Errorf("%s: revision %d after %d", r.How, revision, r.revision)
	}
	if highest := w.attempted.Load(); a.GetIntValue() < r.values[key] || a.GetIntValue() > highest {
		r.readers.t.Errorf("%s of %s: %d after %d, when %d was the highest written", r.How, key, a.GetIntValue(), r.values[key], highest)
	}
	r.revision, r.values[key] = revision, a.GetIntValue()
	r.Answers.Add(1)
}

// rest is a reader's pause.
func (r *Reader) rest(ctx context.Context) {
	if r.readers.Pause <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(r.readers.Pause):
	}
}

func (r *Reader) evaluateAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	all, err := r.readers.Evaluation.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{
		Environment: Environment, KeyPrefix: Prefix, MinRevision: r.revision,
	})
	if status.Code(err) == codes.FailedPrecondition {
		r.readers.t.Errorf("revision %d was seen before: %v", r.revision, err)
	}
	if err != nil {
		return err
	}
	if len(all.GetEvaluations()) != len(r.readers.keys) {
		return fmt.Errorf("%d flags", len(all.GetEvaluations()))
	}
	for _, a := range all.GetEvaluations() {
		r.see(all.GetEnvironmentRevision(), all.GetAge(), a)
	}
	r.together()
	return nil
}

// together demands that flags that are always written together have one value: what was
// seen last came from one snapshot.
func (r *Reader) together() {
	for key, w := range r.readers.writers {
		if first := w.Keys[0]; r.values[key] != r.values[first] {
			r.readers.t.Errorf("%s at revision %d: %s is %d and %s is %d, though always written together",
				r.How, r.revision, first, r.values[first], key, r.values[key])
		}
	}
}

// evaluateStream sends for all flags, then receives for all, and again.
func (r *Reader) evaluateStream(ctx context.Context) error {
	stream, err := r.readers.Evaluation.EvaluateStream(ctx)
	if err != nil {
		return err
	}
	for id := uint64(0); ; id += uint64(len(r.readers.keys)) {
		for i, key := range r.readers.keys {
			// An error is that of the stream, which Recv tells.
			_ = stream.Send(&evaluationv1.EvaluateStreamRequest{
				Id: id + uint64(i), Request: &evaluationv1.EvaluateRequest{Environment: Environment, FlagKey: key},
			})
		}
		for i, key := range r.readers.keys {
			m, err := stream.Recv()
			if err != nil {
				return err
			}
			a := m.GetResponse()
			if m.GetId() != id+uint64(i) || a.GetFlagKey() != key {
				r.readers.t.Errorf("%s: got %v, want the answer to %d, for %s", r.How, m, id+uint64(i), key)
				continue
			}
			r.see(a.GetEnvironmentRevision(), a.GetAge(), a)
		}
		r.rest(ctx)
	}
}

func (r *Reader) watch(ctx context.Context) error {
	stream, err := r.readers.Evaluation.Watch(ctx, &evaluationv1.WatchRequest{Environment: Environment, KeyPrefix: Prefix})
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if first && len(m.GetEvaluations()) != len(r.readers.keys) {
			r.readers.t.Errorf("%s: %d answers at first, want %d", r.How, len(m.GetEvaluations()), len(r.readers.keys))
		}
		for _, a := range m.GetEvaluations() {
			r.see(m.GetEnvironmentRevision(), m.GetAge(), a)
		}
		r.together()
	}
}
