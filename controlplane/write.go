package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/internal/fault"
)

const (
	// Limits of one transaction. Each resource takes up to three compares and two puts
	// of the store's limit of operations.
	maxDiffering = 30
	maxTxnBytes  = store.MaxTxnBytes - 64<<10 // the rest is for the store's own encoding

	// A write is tried again when another came in between, and when the store did not
	// say what became of it, which its request record then tells.
	maxRaces    = 50
	maxOutages  = 3
	raceBackoff = 2 * time.Millisecond
	waitOutage  = 50 * time.Millisecond
)

// errRace: another write came in between; deciding again settles it.
var errRace = errors.New("controlplane: another write came in between")

// write carries out a plan.
func (a *Authority) write(ctx context.Context, p *plan) (*written, error) {
	w, err := a.settle(ctx, p)
	if !p.validateOnly {
		a.writes.WithLabelValues(outcome(w, err)).Inc()
	}
	if errors.Is(err, ErrFull) {
		a.logger.Error().Err(err).Str("environment", p.environment).Msg("cannot write")
	}
	fault.Point(fault.BeforeAnswer)
	return w, err
}

// settle attempts a plan until it is clear what becomes of it.
func (a *Authority) settle(ctx context.Context, p *plan) (*written, error) {
	digest, err := fingerprint(p.request)
	if err != nil {
		return nil, err
	}
	requestID := p.request.GetRequestId()
	if requestID == "" {
		requestID = uuid.NewString()
	}
	for _, name := range p.environments() {
		if err := a.checkEnvironment(ctx, name); err != nil {
			return nil, err
		}
	}
	races, outages := 0, 0
	for {
		w, err := a.attempt(ctx, p, requestID, digest)
		var wait time.Duration
		switch {
		case err == nil:
			return w, nil
		case errors.Is(err, errRace) && races < maxRaces:
			races++
			wait = raceBackoff * time.Duration(min(races, 10))
		case errors.Is(err, store.ErrUnavailable) && !nothingWritten(err) && outages < maxOutages:
			outages++
			wait = waitOutage << outages
		case errors.Is(err, errRace):
			return nil, fmt.Errorf("%w: after %d attempts other writes still came in between: nothing was written", ErrUnavailable, races)
		default:
			return nil, err
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)): //nolint:gosec // jitter
		case <-ctx.Done():
			return nil, unavailable(err)
		}
	}
}

// attempt decides on the current state, and commits if that has not changed since.
func (a *Authority) attempt(ctx context.Context, p *plan, requestID, digest string) (*written, error) {
	s, err := a.readState(ctx, p, requestID)
	if err != nil {
		return nil, err
	}
	if s.record != nil && !p.validateOnly && !p.unrecorded && !fault.Planted("retry-twice") {
		return a.replay(ctx, p, requestID, digest, s)
	}
	var differing []*draft
	for _, d := range s.drafts {
		if err := a.decide(ctx, d); err != nil {
			return nil, err
		}
		if d.differs {
			differing = append(differing, d)
		}
	}
	if len(differing) > p.maxDiffering() && !p.validateOnly {
		return nil, invalid("flags", fmt.Sprintf(
			"%d flags and segments differ from what is there; one transaction takes %d: send fewer at a time, those that others need first",
			len(differing), maxDiffering))
	}
	if err := s.admit(p, differing); err != nil {
		return nil, err
	}
	guarded := needGuard(differing) && !p.unseen
	if guarded {
		if err := a.checkReferences(ctx, p.environment, differing, s.revision); err != nil {
			return nil, err
		}
	}
	if p.validateOnly || len(differing) == 0 {
		return s.outcome(0), nil
	}
	lease, err := a.leases.current(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	txn, err := a.transaction(p, s, requestID, digest, lease, guarded)
	if err != nil {
		return nil, err
	}
	fault.Point(fault.BeforeCommit)
	apart := auditApart(&txn)
	out, err := a.store.Commit(ctx, txn)
	fault.Point(fault.AfterCommit)
	if err == nil && out.Committed && len(apart) > 0 {
		_, err = a.store.Commit(ctx, store.Txn{Ops: apart})
	}
	switch {
	case isLeaseLost(err):
		a.leases.drop(lease)
		return nil, errRace
	case errors.Is(err, store.ErrTooLarge):
		return nil, invalid("", "the change and its audit entries are larger than the store takes in one transaction: send less at a time")
	case err != nil:
		return nil, unavailable(err)
	case !out.Committed:
		return nil, errRace
	}
	return s.outcome(out.Revision), nil
}

// auditApart takes the audit entries out of a transaction, if there is the bug that they
// are written by another one.
func auditApart(t *store.Txn) (apart []store.Op) {
	if fault.Planted("audit-apart") {
		t.Ops = slices.DeleteFunc(t.Ops, func(op store.Op) bool {
			audit := strings.HasPrefix(op.Key, auditRoot)
			if audit {
				apart = append(apart, op)
			}
			return audit
		})
	}
	return apart
}
