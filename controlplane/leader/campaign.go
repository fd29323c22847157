package leader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
)

const (
	// beats in the TTL of a lease.
	beats = 5
	// revokeTimeout bounds what is done after the context's end.
	revokeTimeout = time.Second
)

// office is what an elected leader holds.
type office struct {
	term  Term
	lease store.LeaseID
	// until is when the lease may have expired, by this process's monotonic clock.
	until time.Time
}

// campaign tries to become the leader; if that succeeds, it leads until the term is over.
// It is no error that another one was faster.
func (e *Elector) campaign(ctx context.Context, lead func(context.Context, Term) error) error {
	granting, cancel := context.WithTimeout(ctx, e.o.TTL)
	defer cancel()
	asked := time.Now()
	lease, err := e.o.Store.Grant(granting, e.o.TTL)
	if err != nil {
		return fmt.Errorf("a lease: %w", err)
	}
	// Whatever becomes of it: with the lease goes the key, even one whose put is still under
	// way.
	defer e.revoke(ctx, lease)

	o := &office{lease: lease, until: asked.Add(e.validity())}
	if o.term, err = e.claim(ctx, o); err != nil || o.term == 0 {
		return err
	}
	return e.hold(ctx, o, lead)
}

// validity is for how long a lease can be relied on: a bit less than its TTL, so that who
// leads has some time to end.
func (e *Elector) validity() time.Duration { return e.o.TTL - e.o.TTL/10 }

// claim puts the key, and returns the term; 0: another one holds it.
func (e *Elector) claim(ctx context.Context, o *office) (Term, error) {
	ctx, cancel := context.WithDeadline(ctx, o.until)
	defer cancel()
	record := e.newRecord()
	value, err := json.Marshal(record)
	if err != nil {
		return 0, err
	}
	out, err := e.o.Store.Commit(ctx, store.Txn{
		Compares: []store.Compare{store.Absent(Key)},
		Ops:      []store.Op{store.PutLeased(Key, value, o.lease)},
	})
	if err == nil && out.Committed {
		term := Term(out.Revision)
		e.see(sight{revision: out.Revision, record: record, term: term})
		return term, nil
	}
	if err != nil && !unknown(err) {
		return 0, fmt.Errorf("the claim: %w", err)
	}
	// Another one's, or this one's own after all.
	if _, lookErr := e.look(ctx); lookErr != nil {
		return 0, fmt.Errorf("what became of the claim: %w", errors.Join(err, lookErr))
	}
	if s, _ := e.sight(); s.term != 0 && s.record.Campaign == record.Campaign {
		return s.term, nil
	}
	if err != nil {
		return 0, fmt.Errorf("the claim: %w", err)
	}
	return 0, nil
}

// unknown tells whether a commit that failed may have happened.
func unknown(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// hold leads until the term is over, and returns why it is.
func (e *Elector) hold(ctx context.Context, o *office, lead func(context.Context, Term) error) error {
	leading, end := context.WithCancelCause(ctx)
	defer end(nil)
	e.terms.Inc()
	e.setTerm(o.term)
	e.o.Logger.Info().Int64("term", int64(o.term)).Msg("this server leads")
	began := time.Now()

	ended := make(chan error, 1)
	go func() {
		err := lead(leading, o.term)
		end(errResigned)
		ended <- err
	}()
	reason := e.keep(leading, o)
	end(reason)
	err := <-ended
	e.setTerm(0)

	switch {
	case ctx.Err() != nil:
		reason = nil
	case errors.Is(reason, errResigned) && err != nil:
		reason = err
	}
	e.o.Logger.Info().Err(reason).Int64("term", int64(o.term)).Dur("after", time.Since(began)).Msg("this server no longer leads")
	return reason
}

// keep keeps the lease alive, and returns when the term is over: ctx has ended, or the
// lease may have expired, or the key is another's.
func (e *Elector) keep(ctx context.Context, o *office) error {
	beat := time.NewTicker(e.o.TTL / beats)
	defer beat.Stop()
	for {
		s, changed := e.sight()
		if s.term != o.term { // it was, when it was claimed
			return fmt.Errorf("%w: the key is not this server's any more", ErrDeposed)
		}
		expiry := time.NewTimer(time.Until(o.until))
		select {
		case <-ctx.Done():
			expiry.Stop()
			return context.Cause(ctx)
		case <-changed:
		case <-expiry.C:
		case <-beat.C:
			if err := e.beat(ctx, o); err != nil {
				return err
			}
		}
		expiry.Stop()
		if !time.Now().Before(o.until) {
			return fmt.Errorf("%w: the store has not confirmed the lease for %v", ErrDeposed, e.validity())
		}
	}
}

// beat confirms the lease. Only a lease that is gone is an error: what else fails is tried
// again while there is time.
func (e *Elector) beat(ctx context.Context, o *office) error {
	asked := time.Now()
	attempt, cancel := context.WithTimeout(ctx, min(time.Until(o.until), 2*e.o.TTL/beats))
	defer cancel()
	err := e.o.Store.KeepAlive(attempt, o.lease)
	switch {
	case err == nil:
		o.until = asked.Add(e.validity())
	case errors.Is(err, store.ErrLeaseNotFound):
		return fmt.Errorf("%w: its lease has expired", ErrDeposed)
	case errors.Is(err, store.ErrClosed):
		return err
	case ctx.Err() == nil:
		e.o.Logger.Debug().Err(err).Msg("the leader's lease is not confirmed; trying again")
	}
	return nil
}

// revoke gives up a lease, and the key with it. What fails is left to expire.
func (e *Elector) revoke(ctx context.Context, lease store.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	if err := e.o.Store.Revoke(ctx, lease); err != nil {
		e.o.Logger.Debug().Err(err).Msg("the leader's lease is left to expire")
	}
}
