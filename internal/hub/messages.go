package hub

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

func (s *stream) welcome() *syncv1.StreamResponse {
	var head int64
	for _, sc := range s.scopes {
		if snap := sc.feed.replica.Snapshot(); snap != nil {
			head = max(head, snap.Cursor().Revision)
		}
	}
	s.path = s.hub.o.Path()
	return &syncv1.StreamResponse{Message: &syncv1.StreamResponse_Welcome{Welcome: &syncv1.Welcome{
		HeartbeatInterval: durationpb.New(s.hub.o.Heartbeat),
		HeadRevision:      head,
		MaxScopes:         maxScopes,
		InstanceId:        s.hub.o.InstanceID,
		Hops:              hops(s.path),
		Path:              s.path,

		UnknownEnvironments: s.unknown(),
	}}}
}

// hops is how far the last of a path is from its first, the control server.
func hops(path []string) uint32 { return uint32(max(len(path)-1, 0)) }

// onBeat is the turn that comes with each heartbeat.
func (s *stream) onBeat() error {
	if err := s.checkEmpty(); err != nil {
		return err
	}
	s.adopt()
	if err := s.authorize(s.scopes...); err != nil {
		return err
	}
	for _, sc := range s.scopes {
		if !sc.synced || !sc.sameEpoch() {
			sc.wake() // what it waits for may be time
		}
	}
	return s.heartbeat(s.scopes...)
}

// checkEmpty ends a stream that has waited long enough for a first state: another
// upstream may have one.
func (s *stream) checkEmpty() error {
	if time.Since(s.since) < s.hub.o.EmptyWait ||
		slices.ContainsFunc(s.scopes, func(sc *scope) bool { return !sc.feed.empty() }) {
		return nil
	}
	return status.Errorf(codes.Unavailable, "nothing to serve yet: there is no state of any of %q here", s.follower.Environments)
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
	if path := s.hub.o.Path(); !slices.Equal(path, s.path) {
		beat.Path, s.path = path, path
	}
	return s.say(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Heartbeat{Heartbeat: beat}})
}

// parting is the reason for a Goodbye.
type parting struct{ message *syncv1.Goodbye }

func (p *parting) Error() string {
	return fmt.Sprintf("goodbye %s: %s", p.message.GetCode(), p.message.GetMessage())
}

// backoff is how long a follower should stay away.
func backoff(code syncv1.Goodbye_Code) time.Duration {
	switch code {
	case syncv1.Goodbye_CODE_LOOP, syncv1.Goodbye_CODE_REVOKED:
		return 10 * time.Second // mended by people
	default:
		return time.Second
	}
}

func goodbye(code syncv1.Goodbye_Code, format string, args ...any) *parting {
	return goodbyeAfter(backoff(code), code, format, args...)
}

func goodbyeAfter(backoff time.Duration, code syncv1.Goodbye_Code, format string, args ...any) *parting {
	return &parting{&syncv1.Goodbye{
		Code: code, Backoff: durationpb.New(backoff), Message: fmt.Sprintf(format, args...),
	}}
}

func errDraining() error { return goodbye(syncv1.Goodbye_CODE_DRAINING, "shutting down") }

// part says goodbye, if that is what err asks for, and returns what ends the stream.
func (s *stream) part(err error) error {
	var p *parting
	if !errors.As(err, &p) {
		return err
	}
	s.hub.metrics.goodbyes.WithLabelValues(p.message.GetCode().String()).Inc()
	return s.say(&syncv1.StreamResponse{Message: &syncv1.StreamResponse_Goodbye{Goodbye: p.message}})
}
