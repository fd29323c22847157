package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
)

// readers read what the writers write from one relay, each in its way.
type readers struct {
	t                    *testing.T
	evaluation           evaluationv1.EvaluationServiceClient
	writers              []*writer
	calls, stream, watch *reader
}

func newReaders(t *testing.T, relay string, writers []*writer) *readers {
	t.Helper()
	rs := &readers{t: t, evaluation: evaluationv1.NewEvaluationServiceClient(dial(t, relay)), writers: writers}
	rs.calls = &reader{readers: rs, how: "EvaluateAll"}
	rs.stream = &reader{readers: rs, how: "EvaluateStream"}
	rs.watch = &reader{readers: rs, how: "Watch"}
	rs.calls.session, rs.stream.session, rs.watch.session = rs.calls.evaluateAll, rs.stream.evaluateStream, rs.watch.watch
	return rs
}

func (rs *readers) all() []*reader { return []*reader{rs.calls, rs.stream, rs.watch} }

// mustGoOn waits until each of the readers has had answers from now on.
func (rs *readers) mustGoOn(when string, which ...*reader) {
	rs.t.Helper()
	for _, r := range which {
		before := r.answers.Load()
		eventually(rs.t, r.how+" goes on "+when, func() error {
			if n := r.answers.Load(); n < before+20 {
				return fmt.Errorf("%d answers, %d before", n, before)
			}
			return nil
		})
	}
}

// mustNotFail demands that no call fails and no stream breaks meanwhile.
func (rs *readers) mustNotFail(meanwhile func()) {
	rs.t.Helper()
	before := make(map[*reader]int64)
	for _, r := range rs.all() {
		before[r] = r.failures.Load()
	}
	meanwhile()
	for _, r := range rs.all() {
		if n := r.failures.Load() - before[r]; n > 0 {
			rs.t.Errorf("%s failed %d times, though the relay was up", r.how, n)
		}
	}
}

// mustTellAge demands, while there is no server, that answers tell that they grow older,
// and that demands which cannot be met are refused, or answered as stale.
func (rs *readers) mustTellAge(ctx context.Context) {
	rs.t.Helper()
	ask := func(r *evaluationv1.EvaluateRequest) (*evaluationv1.EvaluateResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		r.Environment, r.FlagKey = "production", rs.writers[0].key
		return rs.evaluation.Evaluate(ctx, r)
	}
	eventually(rs.t, "max_age is refused", func() error {
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

// reader reads without pause in one way, and checks that nothing goes back.
type reader struct {
	*readers
	how string
	// session is one call, or a stream until it breaks.
	session func(context.Context) error

	revision          int64
	values            [killFlags]int64
	answers, failures atomic.Int64
}

func (r *reader) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.session(ctx); err != nil && ctx.Err() == nil {
			r.failures.Add(1)
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// see takes in an answer.
func (r *reader) see(revision int64, a *evaluationv1.EvaluateResponse) {
	i := slices.IndexFunc(r.writers, func(w *writer) bool { return w.key == a.GetFlagKey() })
	if i < 0 || a.GetReason() != "STATIC" {
		r.t.Errorf("%s: answered %v", r.how, a)
		return
	}
	if revision < r.revision {
		r.t.Errorf("%s: revision %d after %d", r.how, revision, r.revision)
	}
	if highest := r.writers[i].attempted.Load(); a.GetIntValue() < r.values[i] || a.GetIntValue() > highest {
		r.t.Errorf("%s of %s: %d after %d, when %d was the highest written", r.how, a.GetFlagKey(), a.GetIntValue(), r.values[i], highest)
	}
	r.revision, r.values[i] = revision, a.GetIntValue()
	r.answers.Add(1)
}

func (r *reader) evaluateAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all, err := r.evaluation.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{
		Environment: "production", KeyPrefix: "counter-", MinRevision: r.revision,
	})
	if status.Code(err) == codes.FailedPrecondition {
		r.t.Errorf("revision %d was seen before: %v", r.revision, err)
	}
	if err != nil {
		return err
	}
	if len(all.GetEvaluations()) != killFlags {
		return fmt.Errorf("%d flags", len(all.GetEvaluations()))
	}
	for _, a := range all.GetEvaluations() {
		r.see(all.GetEnvironmentRevision(), a)
	}
	return nil
}

// evaluateStream sends for all flags, then receives for all, and again.
func (r *reader) evaluateStream(ctx context.Context) error {
	stream, err := r.evaluation.EvaluateStream(ctx)
	if err != nil {
		return err
	}
	for id := uint64(0); ; id += killFlags {
		for i, w := range r.writers {
			// An error is that of the stream, which Recv tells.
			_ = stream.Send(&evaluationv1.EvaluateStreamRequest{
				Id: id + uint64(i), Request: &evaluationv1.EvaluateRequest{Environment: "production", FlagKey: w.key},
			})
		}
		for i, w := range r.writers {
			m, err := stream.Recv()
			if err != nil {
				return err
			}
			if a := m.GetResponse(); m.GetId() != id+uint64(i) || a.GetFlagKey() != w.key {
				r.t.Errorf("%s: got %v, want the answer to %d, for %s", r.how, m, id+uint64(i), w.key)
				continue
			}
			r.see(m.GetResponse().GetEnvironmentRevision(), m.GetResponse())
		}
	}
}

func (r *reader) watch(ctx context.Context) error {
	stream, err := r.evaluation.Watch(ctx, &evaluationv1.WatchRequest{Environment: "production", KeyPrefix: "counter-"})
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if first && len(m.GetEvaluations()) != killFlags {
			r.t.Errorf("%s: %d answers at first, want %d", r.how, len(m.GetEvaluations()), killFlags)
		}
		for _, a := range m.GetEvaluations() {
			r.see(m.GetEnvironmentRevision(), a)
		}
	}
}
