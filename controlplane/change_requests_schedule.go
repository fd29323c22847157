package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/mirror"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
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
	l := &schedule{ChangeRequests: s, fence: fence, said: make(map[due]string)}
	for {
		all, changed := scheduled.All()
		var timer <-chan time.Time
		if len(all) > 0 {
			timer = time.After(l.lookAt(ctx, all))
		}
		select {
		case <-changed:
		case <-timer:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// schedule is what a leader knows of what is scheduled.
type schedule struct {
	*ChangeRequests
	fence store.Compare
	// epoch in which all that is scheduled was looked at: what is not of it is no longer.
	epoch snapshot.Epoch
	// said is why each is not settled yet, so that it is said once.
	said map[due]string
}

// lookAt settles what is due; in another epoch than before all that is of an earlier one, too. It
// returns when to look again.
func (l *schedule) lookAt(ctx context.Context, all map[string]mirror.Entry[time.Time]) time.Duration {
	epoch, err := l.authority.readEpoch(ctx)
	if err == nil && errors.Is(l.authority.Err(), ErrDataLoss) {
		err = l.authority.Err() // what was rejected since is not known either
	}
	if err != nil {
		l.say(ctx, due{}, err)
		return l.look
	}
	delete(l.said, due{})
	wait, begun, settled := l.look, epoch.epoch != l.epoch, true
	for name, entry := range all {
		if left := entry.Value.Sub(l.authority.now()); left > 0 {
			wait = min(wait, left)
			if !begun {
				continue
			}
		}
		environment, number, _ := strings.Cut(name, "/")
		n, _ := strconv.ParseInt(number, 10, 64) // dueKey has made it
		d := due{environment, n}
		if err := l.settle(ctx, d, epoch); err != nil {
			settled = false
			l.say(ctx, d, err)
			continue
		}
		delete(l.said, d)
	}
	if settled {
		l.epoch = epoch.epoch
	}
	return wait
}

// say logs why something is not settled yet, unless it did.
func (l *schedule) say(ctx context.Context, d due, err error) {
	if ctx.Err() != nil || l.said[d] == err.Error() {
		return
	}
	l.said[d] = err.Error()
	l.authority.logger.Warn().Err(err).Str("environment", d.environment).Int64("number", d.number).Msg("a change request that is due is not applied yet; trying again")
}

// settle applies a change request that is due, or says why not. An error says that it is not
// known yet.
func (l *schedule) settle(ctx context.Context, d due, epoch *epochState) error {
	held, err := l.read(ctx, d.environment, d.number)
	if err != nil {
		return err
	}
	if held.GetState() != controlv1.ChangeRequest_STATE_OPEN || held.GetApplyAt() == nil {
		return nil // what is remembered of it is not what it is now
	}
	c := Caller{Actor: scheduleActor, Peer: l.o.InstanceID}
	if why := outlived(held.ChangeRequest, epoch); why != "" {
		return l.fail(ctx, c, d, held.revision, errors.New(why), l.fence)
	}
	late := l.authority.now().Sub(held.GetApplyAt().AsTime())
	if late < 0 {
		return nil
	}
	var refusal error
	if late <= tolerance {
		_, refusal = l.apply(ctx, c, &controlv1.ApplyChangeRequestRequest{Environment: d.environment, Number: d.number}, held,
			[]store.Compare{l.fence, store.Unchanged(epochKey, epoch.stored)})
	} else {
		refusal = l.tooLate(ctx, held.ChangeRequest)
	}
	var frozen *FrozenError
	switch {
	case refusal == nil:
		return nil
	case errors.Is(refusal, ErrUnavailable), errors.Is(refusal, ErrFull), ctx.Err() != nil:
		return refusal
	case errors.As(refusal, &frozen) && late <= tolerance:
		return refusal // it may be lifted in time
	}
	return l.fail(ctx, c, d, held.revision, refusal, l.fence)
}

// tooLate says why a change request was not applied while it was due.
func (s *ChangeRequests) tooLate(ctx context.Context, held *controlv1.ChangeRequest) error {
	at := held.GetApplyAt().AsTime().Format(time.RFC3339)
	_, err := s.authority.checkThawed(ctx, held.GetEnvironment(), s.authority.now())
	var frozen *FrozenError
	switch {
	case errors.Is(err, ErrUnavailable):
		return err
	case errors.As(err, &frozen):
		return fmt.Errorf("it was due at %s, and more than an hour later %w", at, err)
	}
	return fmt.Errorf("it could not be written within an hour of %s, when it was due: no server led, the store did not answer, or %s was frozen", at, held.GetEnvironment())
}

// outlived says that the store has begun another epoch since a change request was proposed; empty:
// it has not. One that says no epoch is of a server that knew nothing of this: it is of the first,
// if the store never had another.
func outlived(held *controlv1.ChangeRequest, now *epochState) string {
	if proto.Equal(held.GetEpoch(), now.epoch.Proto()) || held.GetEpoch() == nil && now.epoch.Counter == 1 {
		return ""
	}
	text := "the store was restored since it was proposed"
	if e := now.entry; e != nil {
		text = fmt.Sprintf("the store was restored, or began another epoch, since it was proposed (%s at %s: %s)",
			e.GetActor(), e.GetTime().AsTime().Format(time.RFC3339), truncate(e.GetReason(), maxConflictReason))
	}
	return text + "; it may have been rejected, withdrawn or applied in between: look whether it is still wanted, and propose it again"
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
