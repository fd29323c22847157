package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/mirror"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	// lookEvery bounds the wait for what is due: clocks are set.
	lookEvery = time.Second
	// tolerance is how late a change is still applied.
	tolerance = time.Hour
	// scheduleActor is whom the audit trail names for what is applied by itself. No identity can
	// have such a name.
	scheduleActor = "the schedule"
)

// due is a change request that is applied by itself.
type due struct {
	environment string
	number      int64
}

// Lead applies change requests when they are due, until ctx ends, which it returns. The fence is
// a condition of whatever it writes. That one is applied once, whoever leads and whatever clocks
// say, is because it is open before and not after, in one transaction with what it writes.
func (s *ChangeRequests) Lead(ctx context.Context, fence store.Compare) error {
	scheduled := mirror.New(mirror.Options[time.Time]{
		Store: s.authority.store, Prefix: dueRoot, Logger: s.authority.logger,
		Decode: func(kv store.KV) (time.Time, error) { return time.Parse(time.RFC3339Nano, string(kv.Value)) },
	})
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { scheduled.Run(ctx) })
	for {
		all, changed := scheduled.All()
		wait := s.look
		for name, entry := range all {
			if left := entry.Value.Sub(s.authority.now()); left > 0 {
				wait = min(wait, left)
				continue
			}
			environment, number, _ := strings.Cut(name, "/")
			n, _ := strconv.ParseInt(number, 10, 64) // dueKey has made it
			if err := s.settle(ctx, due{environment, n}, fence); err != nil && ctx.Err() == nil {
				s.authority.logger.Warn().Err(err).Str("environment", environment).Str("number", number).Msg("a change request that is due is not applied yet; trying again")
			}
		}
		var timer <-chan time.Time
		if len(all) > 0 {
			timer = time.After(wait)
		}
		select {
		case <-changed:
		case <-timer:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settle applies a change request that is due, or says why not. An error says that it is not
// known yet.
func (s *ChangeRequests) settle(ctx context.Context, d due, fence store.Compare) error {
	held, err := s.read(ctx, d.environment, d.number)
	if err != nil {
		return err
	}
	at, late := held.GetApplyAt().AsTime(), s.authority.now().Sub(held.GetApplyAt().AsTime())
	if held.GetState() != controlv1.ChangeRequest_STATE_OPEN || held.GetApplyAt() == nil || late < 0 {
		return nil // what is remembered of it is not what it is now
	}
	c := Caller{Actor: scheduleActor, Peer: s.o.InstanceID}
	refusal := fmt.Errorf("no server led from %s, when it was due, until an hour later", at.Format(time.RFC3339))
	if late <= tolerance {
		_, refusal = s.apply(ctx, c, &controlv1.ApplyChangeRequestRequest{Environment: d.environment, Number: d.number}, held, []store.Compare{fence})
	}
	switch {
	case refusal == nil:
		return nil
	case errors.Is(refusal, ErrUnavailable), errors.Is(refusal, ErrFull), ctx.Err() != nil:
		return refusal
	}
	return s.fail(ctx, c, d, held.revision, refusal, fence)
}

// fail closes a change request that was refused as it was at a revision. If it is another by
// now, as somebody has approved it meanwhile, that is to be tried again.
func (s *ChangeRequests) fail(ctx context.Context, c Caller, d due, revision int64, refusal error, fence store.Compare) error {
	why := truncate(inWords(refusal), maxReason)
	failed := s.stepping(d.environment, d.number, controlv1.Action_ACTION_FAILED, func(next *controlv1.ChangeRequest) error {
		s.finish(next, c, controlv1.ChangeRequest_STATE_FAILED, why)
		return nil
	})
	failed.base = &revision
	_, err := s.authority.write(ctx, &plan{
		request: &controlv1.ApplyChangeRequestRequest{Environment: d.environment, Number: d.number, Reason: why},
		caller:  c, environment: d.environment, changes: []*change{failed}, tell: s.o.Announce, fence: []store.Compare{fence},
	})
	if err != nil {
		return err
	}
	s.authority.logger.Warn().Str("environment", d.environment).Int64("number", d.number).Str("reason", why).Msg("a change request that was due could not be applied")
	return nil
}
