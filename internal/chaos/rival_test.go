//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/streamcheck/linear"
)

// rival reads, creates, changes, switches and deletes flags that others do the same to, at
// any server, and notes what it asked and was told. A call without an answer is made again,
// at any server, with the same request id: it is one call.
type rival struct {
	t        testing.TB
	number   int
	random   *rand.Rand
	servers  []controlv1.FlagServiceClient
	history  *linear.History
	bases    map[string]int64
	counters []string         // flags of the writers, which it reads only
	tolerate func(error) bool // as bed.Writer's; may be nil
}

// So many flags are fought for at a time; after so many calls they are others, as a
// history that is long takes long to check.
const (
	rivalFlags = 2
	rivalCalls = 400
)

func rivalKey(generation, number int) string { return fmt.Sprintf("rival-%d-%d", generation, number) }

// rivalGenerations is how many there may have been after so many calls.
func rivalGenerations(calls int) int { return calls/rivalCalls + 1 }

// rivalFlag is one of the definitions that are fought for.
func rivalFlag(key string, count int, enabled bool) *flagv1.Flag {
	return (&churned{key: key, count: count, enabled: enabled}).asFlag()
}

// content is what tells two definitions apart, but for whether they are enabled.
func content(f *flagv1.Flag) string {
	if len(f.GetVariants()) == 0 {
		return ""
	}
	return strconv.FormatFloat(f.GetVariants()[0].GetValue().GetNumberValue(), 'f', -1, 64)
}

// record has a writer's calls in the history, too; number is a client's of its own.
func (h *held) record(w *bed.Writer, number int) {
	call := func(op linear.Op, key string, base, value int64) func(int64) {
		c := linear.Call{Op: op, Flag: key, Base: base, Content: strconv.FormatInt(value, 10), Enabled: true}
		end := h.history.Call(number, c)
		return func(revision int64) {
			end(linear.Answer{Outcome: linear.Done, Revision: revision, Content: c.Content, Enabled: true})
		}
	}
	for _, key := range w.Keys {
		call(linear.Create, key, 0, 1)(w.Revision())
	}
	w.Record = func(key string, base, value int64) func(int64) { return call(linear.Update, key, base, value) }
}

func newRival(s *scenario, number int) *rival {
	r := &rival{
		t: s, number: number, tolerate: s.tolerate, random: rand.New(rand.NewPCG(s.seed, uint64(1000+number))),
		history: s.history, bases: map[string]int64{},
	}
	for _, w := range s.writers {
		r.counters = append(r.counters, w.Keys...)
	}
	for _, srv := range s.servers {
		r.servers = append(r.servers, controlv1.NewFlagServiceClient(bed.Dial(s, srv.GRPC)))
	}
	return r
}

func (r *rival) run(ctx context.Context) {
	ops := []linear.Op{linear.Get, linear.Get, linear.Create, linear.Update, linear.Update, linear.SetEnabled, linear.Delete}
	for ctx.Err() == nil {
		key := rivalKey(rivalGenerations(r.history.Len())-1, r.random.IntN(rivalFlags))
		definition := rivalFlag(key, r.random.IntN(3), r.random.IntN(2) == 0)
		c := linear.Call{Op: ops[r.random.IntN(len(ops))], Flag: key, Content: content(definition), Enabled: definition.GetEnabled()}
		switch {
		case c.Op == linear.Update || c.Op == linear.Delete:
			c.Base = max(r.bases[key], 1)
		case c.Op == linear.Get && r.random.IntN(2) == 0:
			c = linear.Call{Op: linear.Get, Flag: r.counters[r.random.IntN(len(r.counters))]}
		}
		end := r.history.Call(r.number, c)
		if a := r.answer(ctx, c, definition); a.Outcome != linear.Unknown {
			end(a)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// answer makes a call until there is an answer.
func (r *rival) answer(ctx context.Context, c linear.Call, definition *flagv1.Flag) linear.Answer {
	id := uuid.NewString()
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
		flag, revision, err := r.call(attempt, r.servers[r.random.IntN(len(r.servers))], c, definition, id)
		cancel()
		a := linear.Answer{Revision: revision, Content: content(flag), Enabled: flag.GetEnabled()}
		switch code := status.Code(err); {
		case err == nil:
			r.bases[c.Flag] = revision
			a.Outcome = linear.Done
			return a
		case code == codes.NotFound:
			return linear.Answer{Outcome: linear.NotFound}
		case code == codes.AlreadyExists:
			return linear.Answer{Outcome: linear.Exists}
		case code == codes.Aborted:
			return linear.Answer{Outcome: linear.Conflict}
		case code != codes.Unavailable && code != codes.DeadlineExceeded && code != codes.Canceled && (r.tolerate == nil || !r.tolerate(err)):
			r.t.Errorf("%+v: %v", c, err)
			return linear.Answer{Outcome: linear.Unknown}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return linear.Answer{Outcome: linear.Unknown}
}

func (r *rival) call(ctx context.Context, flags controlv1.FlagServiceClient, c linear.Call, definition *flagv1.Flag, id string) (*flagv1.Flag, int64, error) {
	const reason = "rivalry"
	switch c.Op {
	case linear.Create:
		a, err := flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: bed.Environment, Flag: definition, Reason: reason, RequestId: id})
		return a.GetFlag().GetFlag(), a.GetFlag().GetRevision(), err
	case linear.Update:
		a, err := flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{Environment: bed.Environment, Flag: definition, BaseRevision: c.Base, Reason: reason, RequestId: id})
		return a.GetFlag().GetFlag(), a.GetFlag().GetRevision(), err
	case linear.SetEnabled:
		a, err := flags.SetEnabled(ctx, &controlv1.SetEnabledRequest{Environment: bed.Environment, FlagKey: c.Flag, Enabled: c.Enabled, Reason: reason, RequestId: id})
		return a.GetFlag().GetFlag(), a.GetFlag().GetRevision(), err
	case linear.Delete:
		a, err := flags.DeleteFlag(ctx, &controlv1.DeleteFlagRequest{Environment: bed.Environment, FlagKey: c.Flag, BaseRevision: c.Base, Reason: reason, RequestId: id})
		return nil, a.GetEntry().GetRevision(), err
	}
	a, err := flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: bed.Environment, FlagKey: c.Flag})
	return a.GetFlag().GetFlag(), a.GetFlag().GetRevision(), err
}
