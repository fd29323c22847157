package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const maxNotificationPage, defaultNotificationPage = 1000, 100

// notificationService tells what people were not told. What came of it is known to the leader,
// which is asked; if it does not answer, the answer is what the store has.
type notificationService struct {
	controlv1.UnimplementedNotificationServiceServer
	notifier *notify.Notifier
	leader   leaderCalls
	logger   zerolog.Logger
}

func (s notificationService) ListNotificationTargets(ctx context.Context, _ *controlv1.ListNotificationTargetsRequest) (*controlv1.ListNotificationTargetsResponse, error) {
	list, _, err := s.notifier.List(ctx, notify.Query{})
	if err != nil {
		return nil, controlplane.Unavailable(err)
	}
	byName := make(map[string]*controlv1.NotificationTarget)
	for _, t := range s.notifier.Targets() {
		target := &controlv1.NotificationTarget{Name: t.Name, Configured: true, Kind: t.Transport, Host: t.Host, Environments: t.Environments}
		for _, kind := range t.Told() {
			target.Events = append(target.Events, string(kind))
		}
		byName[t.Name] = target
	}
	for _, n := range list {
		t := byName[n.Target]
		if t == nil {
			t = &controlv1.NotificationTarget{Name: n.Target}
			byName[n.Target] = t
		}
		if n.State == notify.Dead {
			t.Dead++
		} else {
			t.Waiting++
		}
	}
	response := &controlv1.ListNotificationTargetsResponse{Server: s.leader.instanceID}
	for _, t := range byName {
		response.Targets = append(response.Targets, t)
	}
	slices.SortFunc(response.Targets, func(a, b *controlv1.NotificationTarget) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return response, nil
}

func (s notificationService) ListNotifications(ctx context.Context, r *controlv1.ListNotificationsRequest) (*controlv1.ListNotificationsResponse, error) {
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	if r.GetState() != controlv1.NotificationState_NOTIFICATION_STATE_DEAD {
		if told, ok := leaderTells(ctx, s, r, controlv1.NotificationServiceClient.ListNotifications); ok {
			return told, nil
		}
	}
	list, after, err := s.notifier.List(ctx, q)
	switch {
	case errors.Is(err, notify.ErrCursor):
		return nil, invalid("page_token", "belongs to another list: a page continues the request of the one before")
	case err != nil:
		return nil, controlplane.Unavailable(err)
	}
	response := &controlv1.ListNotificationsResponse{NextPageToken: base64.RawURLEncoding.EncodeToString([]byte(after))}
	for _, n := range list {
		response.Notifications = append(response.Notifications, notificationOf(n))
	}
	return response, nil
}

// queryOf reads and checks what a request asks for.
func queryOf(r *controlv1.ListNotificationsRequest) (notify.Query, error) {
	q := notify.Query{Target: r.GetTarget(), Limit: cmp.Or(int(r.GetPageSize()), defaultNotificationPage)}
	if err := checkName("target", r.GetTarget()); err != nil {
		return q, err
	}
	switch r.GetState() {
	case controlv1.NotificationState_NOTIFICATION_STATE_UNSPECIFIED:
	case controlv1.NotificationState_NOTIFICATION_STATE_WAITING:
		q.State = notify.Waiting
	case controlv1.NotificationState_NOTIFICATION_STATE_DEAD:
		q.State = notify.Dead
	default:
		return q, invalid("state", fmt.Sprintf("must be WAITING, DEAD, or unspecified for both; got %d", r.GetState()))
	}
	if q.Limit < 0 || q.Limit > maxNotificationPage {
		return q, invalid("page_size", fmt.Sprintf("must be 1 to %d, or 0 for %d; got %d", maxNotificationPage, defaultNotificationPage, r.GetPageSize()))
	}
	after, err := base64.RawURLEncoding.DecodeString(r.GetPageToken())
	if err != nil {
		return q, invalid("page_token", "is not one that this service gave out")
	}
	q.After = string(after)
	return q, nil
}

func (s notificationService) GetNotification(ctx context.Context, r *controlv1.GetNotificationRequest) (*controlv1.GetNotificationResponse, error) {
	if err := checkNamed(r); err != nil {
		return nil, err
	}
	n, err := s.notifier.Get(ctx, r.GetTarget(), r.GetId())
	if err != nil {
		return nil, notificationError(err, "notification", r)
	}
	if n.State == notify.Waiting {
		if told, ok := leaderTells(ctx, s, r, controlv1.NotificationServiceClient.GetNotification); ok {
			return told, nil
		}
	}
	return &controlv1.GetNotificationResponse{Notification: notificationOf(n)}, nil
}

func (s notificationService) RedeliverNotification(ctx context.Context, r *controlv1.RedeliverNotificationRequest) (*controlv1.RedeliverNotificationResponse, error) {
	if err := checkNamed(r); err != nil {
		return nil, err
	}
	if err := s.notifier.Redeliver(ctx, r.GetTarget(), r.GetId()); err != nil {
		return nil, notificationError(err, "dead letter", r)
	}
	s.note(ctx, r, "a dead letter is to be delivered again")
	return &controlv1.RedeliverNotificationResponse{}, nil
}

func (s notificationService) DiscardNotification(ctx context.Context, r *controlv1.DiscardNotificationRequest) (*controlv1.DiscardNotificationResponse, error) {
	if err := checkNamed(r); err != nil {
		return nil, err
	}
	if err := s.notifier.Discard(ctx, r.GetTarget(), r.GetId()); err != nil {
		return nil, notificationError(err, "dead letter", r)
	}
	s.note(ctx, r, "a dead letter is discarded")
	return &controlv1.DiscardNotificationResponse{}, nil
}

func (s notificationService) TestNotificationTarget(ctx context.Context, r *controlv1.TestNotificationTargetRequest) (*controlv1.TestNotificationTargetResponse, error) {
	if r.GetTarget() == "" {
		return nil, invalid("target", "is empty: want a target's name, as ListNotificationTargets shows them")
	}
	answer, err := s.notifier.Test(ctx, r.GetTarget(), callerOf(ctx).Actor)
	switch {
	case errors.Is(err, notify.ErrNoTarget):
		return nil, &controlplane.NotFoundError{What: fmt.Sprintf("target %q: server %q has %s", r.GetTarget(), s.leader.instanceID, s.targetNames())}
	case err != nil:
		return nil, err
	}
	s.logger.Info().Str("target", r.GetTarget()).Str("actor", callerOf(ctx).Actor).Bool("taken", answer.Taken).Msg("a test of notifications was sent")
	return &controlv1.TestNotificationTargetResponse{
		Taken: answer.Taken, Answer: answer.Text, Elapsed: durationpb.New(answer.Elapsed), Server: s.leader.instanceID, Id: answer.ID,
	}, nil
}

// targetNames is what there is to choose from.
func (s notificationService) targetNames() string {
	targets := s.notifier.Targets()
	if len(targets) == 0 {
		return "none: name a file that has some with 'tidegate server --notifications'"
	}
	names := make([]string, 0, len(targets))
	for _, t := range targets {
		names = append(names, t.Name)
	}
	return strings.Join(names, ", ")
}

// leaderTells has the leader answer in place of this server; false: this server leads, or there
// is nobody to ask, or no answer.
func leaderTells[Request, Response any](ctx context.Context, s notificationService, r Request, method func(controlv1.NotificationServiceClient, context.Context, Request, ...grpc.CallOption) (Response, error)) (Response, bool) {
	var none Response
	if s.notifier.Leads() {
		return none, false
	}
	told, asked, err := askLeader(ctx, s.leader, func(ctx context.Context, conn grpc.ClientConnInterface) (Response, error) {
		return method(controlv1.NewNotificationServiceClient(conn), ctx, r)
	})
	if err != nil {
		s.logger.Debug().Err(err).Msg("the leader does not tell what came of notifications")
	}
	return told, asked && err == nil
}

// named is a request that names a notification.
type named interface {
	GetTarget() string
	GetId() string
}

func checkNamed(r named) error {
	for _, f := range []struct{ field, value string }{{"target", r.GetTarget()}, {"id", r.GetId()}} {
		if f.value == "" {
			return invalid(f.field, "is empty: target and id name a notification, as ListNotifications shows them")
		}
		if err := checkName(f.field, f.value); err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses what would lead out of the place where notifications are.
func checkName(field, name string) error {
	if strings.Contains(name, "/") {
		return invalid(field, "has a slash in it, which no name has")
	}
	return nil
}

func notificationError(err error, what string, r named) error {
	switch {
	case errors.Is(err, notify.ErrNotFound):
		return &controlplane.NotFoundError{What: fmt.Sprintf("%s %q for target %q: it was taken, discarded, or never there", what, r.GetId(), r.GetTarget())}
	case errors.Is(err, notify.ErrDamaged):
		return &controlplane.PreconditionError{Fields: eval.Errors{{Field: "id", Problem: "this dead letter is damaged, and there is nothing to deliver: discard it"}}}
	}
	return controlplane.Unavailable(err)
}

// note logs who did something to a dead letter.
func (s notificationService) note(ctx context.Context, r named, what string) {
	s.logger.Info().Str("target", r.GetTarget()).Str("event", r.GetId()).Str("actor", callerOf(ctx).Actor).Msg(what)
}

func notificationOf(n notify.Notification) *controlv1.Notification {
	m := &controlv1.Notification{
		Target: n.Target, Id: n.ID, State: controlv1.NotificationState_NOTIFICATION_STATE_WAITING,
		QueuedAt: timestamp(n.Queued), DeadSince: timestamp(n.Died),
	}
	if n.State == notify.Dead {
		m.State = controlv1.NotificationState_NOTIFICATION_STATE_DEAD
	}
	if e := n.Event; e != nil {
		m.Event, m.EventTime = string(e.Kind), timestamp(e.Time)
		m.Environment, m.Rollout, m.Flag, m.Owner = e.Environment, e.Rollout, e.Flag, e.Owner
		m.Headline, m.Decision = e.Headline, e.Decision
	}
	if p := n.Progress; p != nil {
		m.Attempts, m.LastError = proto.Uint32(uint32(p.Attempts)), p.Problem
		m.NextAttemptAt = timestamp(p.Next)
	}
	return m
}

// timestamp is nil for no time.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func invalid(field, problem string) error {
	return &controlplane.InvalidError{Fields: eval.Errors{{Field: field, Problem: problem}}}
}
