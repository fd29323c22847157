//go:build faults && unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/streamcheck"
	"github.com/tidegate/tidegate/internal/streamcheck/linear"
)

// writer writes flags at random, and is not told the outcome of every call: then it asks
// again, with the same request id.
type writer struct {
	number  int
	flags   controlv1.FlagServiceClient
	history *linear.History
	random  *rand.Rand
	bases   map[string]int64
}

// TestWrites has many write at once, at a server whose store does not always answer.
func TestWrites(t *testing.T) {
	s := newSite(t)
	way := &flaky{Store: s.store}
	srv := s.server("server", anywhere, way)
	s.relay("relay", anywhere, srv.addr)
	way.begin(s.random)
	history := linear.NewHistory()
	var writers sync.WaitGroup
	for n := range 6 {
		w := &writer{
			number: n, flags: s.flags(srv), history: history, random: rand.New(rand.NewPCG(*seed, uint64(n+1))), bases: map[string]int64{},
		}
		writers.Go(func() {
			for range 40 {
				w.step(t.Context())
			}
		})
	}
	writers.Wait()
	run := s.check()
	err := history.Check(20*time.Second, filepath.Join(s.dir, "linear.html"))
	if errors.Is(err, linear.ErrNotLinearizable) {
		t.Errorf("Linearizable: %v", err)
	} else if err != nil {
		t.Error(err)
	}
	s.audit(run, s.flags(srv))
}

// audit holds the flags' histories to what the store has changed.
func (s *site) audit(run *streamcheck.Run, flags controlv1.FlagServiceClient) {
	s.Helper()
	a, err := streamcheck.NewAudit(run.Truth, 1)
	s.must(err)
	for _, id := range a.Items(bed.Environment) {
		var entries []*controlv1.AuditEntry
		q := &controlv1.ListFlagHistoryRequest{Environment: bed.Environment, FlagKey: id.Key, PageSize: 100}
		for {
			r, err := flags.ListFlagHistory(s.Context(), q)
			if err != nil {
				s.Errorf("Audited: %v", err)
				break
			}
			entries = append(entries, r.GetEntries()...)
			if q.PageToken = r.GetNextPageToken(); q.PageToken == "" {
				break
			}
		}
		if err := a.Check(bed.Environment, id, entries); err != nil {
			s.Errorf("Audited: %v", err)
		}
	}
}

// step makes one call.
func (w *writer) step(ctx context.Context) {
	key := fmt.Sprintf("flag-%d", w.random.IntN(3))
	ops := []linear.Op{linear.Get, linear.Create, linear.Update, linear.Update, linear.SetEnabled, linear.Delete}
	c := linear.Call{
		Op: ops[w.random.IntN(len(ops))], Flag: key, Content: fmt.Sprint(w.number, w.random.IntN(1000)), Enabled: w.random.IntN(2) == 0,
	}
	if c.Op == linear.Update || c.Op == linear.Delete {
		c.Base = max(w.bases[key], 1)
	}
	end := w.history.Call(w.number, c)
	id := uuid.NewString()
	flag, revision, err := w.call(ctx, key, id, c)
	for attempts := 0; attempts < 20 && (err == nil && c.Op != linear.Get && w.random.IntN(4) == 0 || status.Code(err) == codes.Unavailable); attempts++ {
		flag, revision, err = w.call(ctx, key, id, c) // the answer was lost
	}
	a := linear.Answer{Revision: revision, Content: flag.GetDescription(), Enabled: flag.GetEnabled()}
	switch status.Code(err) {
	case codes.OK:
		a.Outcome = linear.Done
		w.bases[key] = revision
	case codes.NotFound:
		a.Outcome = linear.NotFound
	case codes.AlreadyExists:
		a.Outcome = linear.Exists
	case codes.Aborted:
		a.Outcome = linear.Conflict
		w.learn(ctx, key)
	default:
		a.Outcome = linear.Unknown
	}
	end(a)
}

// learn takes what is there as the next base.
func (w *writer) learn(ctx context.Context, key string) {
	if _, revision, err := w.call(ctx, key, "", linear.Call{Op: linear.Get}); err == nil {
		w.bases[key] = revision
	}
}

func (w *writer) call(ctx context.Context, key, id string, c linear.Call) (*flagv1.Flag, int64, error) {
	f := (&site{random: w.random}).flag(key, 0)
	f.Description, f.Enabled = c.Content, c.Enabled
	const environment, reason = bed.Environment, "test"
	switch c.Op {
	case linear.Create:
		r, err := w.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: environment, Flag: f, Reason: reason, RequestId: id})
		return r.GetFlag().GetFlag(), r.GetFlag().GetRevision(), err
	case linear.Update:
		r, err := w.flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{Environment: environment, Flag: f, BaseRevision: c.Base, Reason: reason, RequestId: id})
		return r.GetFlag().GetFlag(), r.GetFlag().GetRevision(), err
	case linear.SetEnabled:
		r, err := w.flags.SetEnabled(ctx, &controlv1.SetEnabledRequest{Environment: environment, FlagKey: key, Enabled: c.Enabled, Reason: reason, RequestId: id})
		return r.GetFlag().GetFlag(), r.GetFlag().GetRevision(), err
	case linear.Delete:
		r, err := w.flags.DeleteFlag(ctx, &controlv1.DeleteFlagRequest{Environment: environment, FlagKey: key, BaseRevision: c.Base, Reason: reason, RequestId: id})
		return nil, r.GetEntry().GetRevision(), err
	}
	r, err := w.flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: environment, FlagKey: key})
	return r.GetFlag().GetFlag(), r.GetFlag().GetRevision(), err
}
