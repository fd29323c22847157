package hub

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// send is the sending goroutine. It sleeps until one of the scopes has something to do,
// and lets that one do one step: so none starves the others, nor the heartbeats. It
// returns what ends the stream.
func (s *stream) send(ctx context.Context) error {
	if err := s.transmit(s.welcome()); err != nil {
		return err
	}
	// The first one early, so that streams opened together do not beat together.
	beat := time.NewTimer(rand.N(s.hub.o.Heartbeat)) //nolint:gosec // spreads load, guards nothing
	defer beat.Stop()
	cases := s.sleepCases(ctx, beat.C)
	for {
		switch i, _, _ := reflect.Select(cases); i {
		case wakeContext:
			return contextError(ctx)
		case wakeDrain:
			return s.part(errDraining())
		case wakeBeat:
			if err := s.checkEmpty(); err != nil {
				return err
			}
			if s.adopt() > 0 {
				cases = s.sleepCases(ctx, beat.C)
			}
			if err := s.authorize(s.scopes...); err != nil {
				return s.part(err)
			}
			if err := s.heartbeat(s.scopes...); err != nil {
				return err
			}
			beat.Reset(s.hub.o.Heartbeat)
		default:
			sc := s.scopes[i-wakeScopes]
			if err := sc.step(ctx, s); err != nil {
				return s.part(err)
			}
			cases[i].Chan = reflect.ValueOf(sc.wake)
		}
	}
}

// What wakes the sending goroutine; a scope's number is added to the last.
const (
	wakeContext = iota
	wakeDrain
	wakeBeat
	wakeScopes
)

// sleepCases lists what wakes the sending goroutine.
func (s *stream) sleepCases(ctx context.Context, beat <-chan time.Time) []reflect.SelectCase {
	receive := func(channel any) reflect.SelectCase {
		return reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(channel)}
	}
	cases := make([]reflect.SelectCase, wakeScopes+len(s.scopes))
	cases[wakeContext], cases[wakeDrain], cases[wakeBeat] = receive(ctx.Done()), receive(s.hub.draining), receive(beat)
	for i, sc := range s.scopes {
		cases[wakeScopes+i] = receive(sc.wake)
	}
	return cases
}

// checkEmpty ends a stream that has waited long enough for a first state: another
// upstream may have one. It is looked at with each heartbeat.
func (s *stream) checkEmpty() error {
	if time.Since(s.since) < s.hub.o.EmptyWait {
		return nil
	}
	for _, sc := range s.scopes {
		if sc.replica.Snapshot() != nil {
			return nil
		}
	}
	return status.Errorf(codes.Unavailable, "nothing to serve yet: there is no state of any of %q here", s.follower.Environments)
}

func (s *stream) welcome() *syncv1.StreamResponse {
	var head int64
	for _, sc := range s.scopes {
		if snap := sc.replica.Snapshot(); snap != nil {
			head = max(head, snap.Cursor().Revision)
		}
	}
	return &syncv1.StreamResponse{Message: &syncv1.StreamResponse_Welcome{Welcome: &syncv1.Welcome{
		HeartbeatInterval: durationpb.New(s.hub.o.Heartbeat),
		HeadRevision:      head,
		MaxScopes:         maxScopes,
		InstanceId:        s.hub.o.InstanceID,
		Hops:              s.hub.o.Hops(),

		UnknownEnvironments: s.unknown(),
	}}}
}

// heartbeat tells where the scopes are. Those that were sent nothing yet, are left out; an
// empty heartbeat still tells that the stream lives.
func (s *stream) heartbeat(scopes ...*scope) error {
	beat := &syncv1.Heartbeat{}
	for _, sc := range scopes {
		if status := sc.status(); status != nil {
			beat.Environments = append(beat.Environments, status)
		}
	}
	return s.transmit(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Heartbeat{Heartbeat: beat}})
}

func contextError(ctx context.Context) error { return status.FromContextError(ctx.Err()).Err() }
