package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/notify/webhook"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	hookPath   = "/services/T0000XYZ/hushHUSHhush"
	hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// hook is a receiver of notifications over HTTP.
type hook struct {
	mu     sync.Mutex
	status int // of its answers
	text   string
	bodies []string
	ids    []string
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies, h.ids = append(h.bodies, string(body)), append(h.ids, r.Header.Get("Webhook-Id"))
	w.WriteHeader(h.status)
	_, _ = io.WriteString(w, h.text)
}

func (h *hook) answers(code int, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status, h.text = code, text
}

// got are the bodies that came, and the ids in their headers.
func (h *hook) got() (bodies, ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.bodies), slices.Clone(h.ids)
}

// hooked are the targets 'team', which is Slack's, and 'bot', a webhook, at two hooks.
func hooked(t *testing.T) (team, bot *hook, targets []notify.Target) {
	t.Helper()
	team, bot = &hook{status: 200, text: "ok"}, &hook{status: 200, text: "thanks"}
	dir := t.TempDir()
	file := "apiVersion: tidegate/v1\ntargets:\n"
	for name, h := range map[string]*hook{"team": team, "bot": bot} {
		at := httptest.NewServer(h)
		t.Cleanup(at.Close)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(at.URL+hookPath), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(hookSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	file += "  - {name: team, kind: slack, urlFile: team, environments: [production]}\n" +
		"  - {name: bot, kind: webhook, urlFile: bot, secretFile: secret, events: [started, paused, resumed]}\n"
	name := filepath.Join(dir, "notifications.yaml")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := webhook.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return team, bot, targets
}

// list is what is not delivered, such as 'dead bot paused', in order.
func listed(t *testing.T, c controlv1.NotificationServiceClient, r *controlv1.ListNotificationsRequest) (lines []string, all []*controlv1.Notification) {
	t.Helper()
	response, err := c.ListNotifications(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range response.GetNotifications() {
		state := strings.ToLower(strings.TrimPrefix(n.GetState().String(), "NOTIFICATION_STATE_"))
		lines = append(lines, state+" "+n.GetTarget()+" "+n.GetEvent())
	}
	slices.Sort(lines)
	return lines, response.GetNotifications()
}

// TestNotificationService goes through what becomes of notifications, every method of the service,
// over gRPC, with receivers over HTTP.
func TestNotificationService(t *testing.T) {
	t.Parallel()
	team, bot, targets := hooked(t)
	s := start(t, Options{DataDir: t.TempDir(), Notify: targets, InstanceID: "server-a"})
	leads(t, s)
	notifications := controlv1.NewNotificationServiceClient(s.conn)
	bot.answers(404, "no such <hook>")
	team.answers(503, "later")
	s.createOff("f")
	rollouts := controlv1.NewRolloutServiceClient(s.conn)
	if _, err := rollouts.StartRollout(as(t), &controlv1.StartRolloutRequest{Environment: "production", Rollout: canary("r", "f"), Reason: "ready"}); err != nil {
		t.Fatal(err)
	}
	if _, err := rollouts.PauseRollout(as(t), &controlv1.PauseRolloutRequest{Environment: "production", Key: "r", Reason: "lunch"}); err != nil {
		t.Fatal(err)
	}
	want := []string{"dead bot paused", "dead bot started", "waiting team started"}
	eventually(t, "two are given up, one was tried", func() bool {
		lines, all := listed(t, notifications, &controlv1.ListNotificationsRequest{})
		return slices.Equal(lines, want) && all[0].GetAttempts() > 0
	})

	_, all := listed(t, notifications, &controlv1.ListNotificationsRequest{})
	waits, dead := all[0], all[1]
	for _, n := range all {
		if n.GetEnvironment() != "production" || n.GetRollout() != "r" || n.GetFlag() != "f" || n.GetQueuedAt() == nil || n.GetEventTime() == nil {
			t.Errorf("%v", n)
		}
	}
	if !strings.Contains(waits.GetLastError(), "answered 503 Service Unavailable: later") || waits.GetNextAttemptAt() == nil || waits.GetDeadSince() != nil {
		t.Errorf("it waits: %v", waits)
	}
	if !strings.Contains(dead.GetLastError(), "answered 404 Not Found: no such <hook>") || dead.GetAttempts() != 1 || dead.GetDeadSince() == nil || dead.GetNextAttemptAt() != nil {
		t.Errorf("it was given up: %v", dead)
	}
	for _, n := range all[1:] {
		got, err := notifications.GetNotification(t.Context(), &controlv1.GetNotificationRequest{Target: n.GetTarget(), Id: n.GetId()})
		if err != nil || !proto.Equal(got.GetNotification(), n) {
			t.Errorf("get: %v, %v", got, err)
		}
	}
	list, err := notifications.ListNotificationTargets(t.Context(), &controlv1.ListNotificationTargetsRequest{})
	if err != nil || list.GetServer() != "server-a" || len(list.GetTargets()) != 2 {
		t.Fatalf("targets: %v, %v", list, err)
	}
	if b, m := list.GetTargets()[0], list.GetTargets()[1]; b.GetName() != "bot" || b.GetKind() != "webhook" || b.GetDead() != 2 || b.GetWaiting() != 0 ||
		!b.GetConfigured() || !slices.Equal(b.GetEvents(), []string{"started", "paused", "resumed"}) || !strings.HasPrefix(b.GetHost(), "127.0.0.1:") ||
		m.GetKind() != "slack" || m.GetWaiting() != 1 || len(m.GetEvents()) != len(notify.DefaultKinds()) || !slices.Equal(m.GetEnvironments(), []string{"production"}) {
		t.Errorf("targets: %v", list)
	}

	// What is redelivered comes, under the id that it had; the other is discarded.
	bot.answers(200, "thanks")
	again := &controlv1.RedeliverNotificationRequest{Target: dead.GetTarget(), Id: dead.GetId()}
	if _, err := notifications.RedeliverNotification(as(t), again); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is delivered", func() bool {
		lines, _ := listed(t, notifications, &controlv1.ListNotificationsRequest{Target: "bot"})
		return len(lines) == 1
	})
	if _, ids := bot.got(); ids[len(ids)-1] != dead.GetId() {
		t.Errorf("ids %q, of which the last is not %s", ids, dead.GetId())
	}
	if _, err := notifications.DiscardNotification(as(t), &controlv1.DiscardNotificationRequest{Target: "bot", Id: all[2].GetId()}); err != nil {
		t.Error(err)
	}
	if lines, _ := listed(t, notifications, &controlv1.ListNotificationsRequest{State: controlv1.NotificationState_NOTIFICATION_STATE_DEAD}); len(lines) != 0 {
		t.Errorf("dead: %q", lines)
	}
	if _, err := notifications.RedeliverNotification(as(t), again); status.Code(err) != codes.NotFound {
		t.Errorf("redelivered twice: %v", err)
	}
	code, body := s.post("/tidegate.control.v1.NotificationService/ListNotifications", `{"target": "team"}`)
	if code != 200 || !strings.Contains(body, `"state":"NOTIFICATION_STATE_WAITING"`) {
		t.Errorf("over HTTP: %d %s", code, body)
	}
}

// TestNotificationTest: a test says what the target answered, and nothing that is secret.
func TestNotificationTest(t *testing.T) {
	t.Parallel()
	team, bot, targets := hooked(t)
	s := start(t, Options{Notify: targets, InstanceID: "server-a"})
	notifications := controlv1.NewNotificationServiceClient(s.conn)
	for name, tc := range map[string]struct {
		hook   *hook
		target string
		status int
		text   string
		taken  bool
		want   string
	}{
		"taken":                {team, "team", 200, "ok", true, "answered 200 OK: ok"},
		"taken, of a bot":      {bot, "bot", 204, "", true, "answered 204 No Content"},
		"refused":              {team, "team", 403, "invalid_token", false, "answered 403 Forbidden: invalid_token"},
		"repeats its URL":      {team, "team", 404, "no " + hookPath, false, "answered 404 Not Found: (not shown: it repeats the URL or a secret)"},
		"repeats, and took it": {bot, "bot", 200, hookSecret, true, "answered 200 OK: (not shown: it repeats the URL or a secret)"},
	} {
		tc.hook.answers(tc.status, tc.text)
		before, _ := tc.hook.got()
		got, err := notifications.TestNotificationTarget(as(t), &controlv1.TestNotificationTargetRequest{Target: tc.target})
		if err != nil || got.GetTaken() != tc.taken || !strings.HasSuffix(got.GetAnswer(), tc.want) || got.GetServer() != "server-a" || got.GetElapsed() == nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		bodies, _ := tc.hook.got()
		if len(bodies) != len(before)+1 || !strings.Contains(bodies[len(bodies)-1], "This is a test") || !strings.Contains(bodies[len(bodies)-1], "ada") {
			t.Errorf("%s: it got %q", name, bodies[len(before):])
		}
		if text := got.String(); strings.Contains(text, "hush") || strings.Contains(text, "MfKQ9") {
			t.Errorf("%s: a secret is in it: %s", name, text)
		}
	}
	if lines, _ := listed(t, notifications, &controlv1.ListNotificationsRequest{}); len(lines) != 0 {
		t.Errorf("tests are kept: %q", lines)
	}
}

// TestNotificationErrors: what is asked for wrongly is told with what would be right.
func TestNotificationErrors(t *testing.T) {
	t.Parallel()
	_, _, targets := hooked(t)
	shared := memstore.New()
	s := start(t, Options{Store: shared, Notify: targets, InstanceID: "server-a"})
	none := start(t, Options{InstanceID: "server-b"})
	if _, err := shared.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put("/tidegate/v1/n-dead/bot/evt_x", []byte("["))}}); err != nil {
		t.Fatal(err)
	}
	c, other := controlv1.NewNotificationServiceClient(s.conn), controlv1.NewNotificationServiceClient(none.conn)
	for name, tc := range map[string]struct {
		call func(context.Context) error
		code codes.Code
		want string
	}{
		"page size": {func(ctx context.Context) error {
			_, err := c.ListNotifications(ctx, &controlv1.ListNotificationsRequest{PageSize: 1001})
			return err
		}, codes.InvalidArgument, "page_size: must be 1 to 1000, or 0 for 100; got 1001"},
		"page token": {func(ctx context.Context) error {
			_, err := c.ListNotifications(ctx, &controlv1.ListNotificationsRequest{PageToken: "*"})
			return err
		}, codes.InvalidArgument, "page_token: is not one that this service gave out"},
		"page token of another list": {func(ctx context.Context) error {
			_, err := c.ListNotifications(ctx, &controlv1.ListNotificationsRequest{PageToken: "L3RpZGVnYXRl"})
			return err
		}, codes.InvalidArgument, "page_token: belongs to another list"},
		"state": {func(ctx context.Context) error {
			_, err := c.ListNotifications(ctx, &controlv1.ListNotificationsRequest{State: 7})
			return err
		}, codes.InvalidArgument, "state: must be WAITING, DEAD, or unspecified for both; got 7"},
		"a path for a target": {func(ctx context.Context) error {
			_, err := c.ListNotifications(ctx, &controlv1.ListNotificationsRequest{Target: "../c"})
			return err
		}, codes.InvalidArgument, "target: has a slash in it"},
		"no id": {func(ctx context.Context) error {
			_, err := c.GetNotification(ctx, &controlv1.GetNotificationRequest{Target: "bot"})
			return err
		}, codes.InvalidArgument, "id: is empty"},
		"a path for an id": {func(ctx context.Context) error {
			_, err := c.DiscardNotification(ctx, &controlv1.DiscardNotificationRequest{Target: "bot", Id: "a/b"})
			return err
		}, codes.InvalidArgument, "id: has a slash in it"},
		"not there": {func(ctx context.Context) error {
			_, err := c.GetNotification(ctx, &controlv1.GetNotificationRequest{Target: "bot", Id: "evt_y"})
			return err
		}, codes.NotFound, `not found: notification "evt_y" for target "bot": it was taken, discarded, or never there`},
		"not dead": {func(ctx context.Context) error {
			_, err := c.RedeliverNotification(ctx, &controlv1.RedeliverNotificationRequest{Target: "bot", Id: "evt_y"})
			return err
		}, codes.NotFound, `dead letter "evt_y" for target "bot"`},
		"damaged": {func(ctx context.Context) error {
			_, err := c.RedeliverNotification(ctx, &controlv1.RedeliverNotificationRequest{Target: "bot", Id: "evt_x"})
			return err
		}, codes.FailedPrecondition, "this dead letter is damaged, and there is nothing to deliver: discard it"},
		"no target": {func(ctx context.Context) error {
			_, err := c.TestNotificationTarget(ctx, &controlv1.TestNotificationTargetRequest{})
			return err
		}, codes.InvalidArgument, "target: is empty"},
		"unknown target": {func(ctx context.Context) error {
			_, err := c.TestNotificationTarget(ctx, &controlv1.TestNotificationTargetRequest{Target: "boat"})
			return err
		}, codes.NotFound, `not found: target "boat": server "server-a" has team, bot`},
		"no targets at all": {func(ctx context.Context) error {
			_, err := other.TestNotificationTarget(ctx, &controlv1.TestNotificationTargetRequest{Target: "bot"})
			return err
		}, codes.NotFound, `server "server-b" has none: name a file that has some with 'tidegate server --notifications'`},
	} {
		if err := tc.call(as(t)); status.Code(err) != tc.code || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNotificationsFromAnyServer: what only the leader knows, it is asked for; if nobody knows where
// it is, what the store has is told, and that the rest is not known.
func TestNotificationsFromAnyServer(t *testing.T) {
	t.Parallel()
	for name, found := range map[string]bool{"the leader is found": true, "nobody knows where it is": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			team, _, targets := hooked(t)
			team.answers(503, "later")
			s := shared{memstore.New()}
			servers := []*running{nil, nil}
			if found {
				servers = cluster(t, 2, Options{Notify: targets}, func(int) store.Store { return s })
			} else {
				for i := range servers {
					servers[i] = start(t, Options{Notify: targets, Store: s, InstanceID: fmt.Sprint("server-", i)})
				}
			}
			first := leads(t, servers...)
			leader, other := servers[first], servers[1-first]
			leader.createOff("f")
			rollouts := controlv1.NewRolloutServiceClient(leader.conn)
			if _, err := rollouts.StartRollout(as(t), &controlv1.StartRolloutRequest{Environment: "production", Rollout: canary("r", "f"), Reason: "ready"}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the leader has tried", func() bool {
				_, all := listed(t, controlv1.NewNotificationServiceClient(leader.conn), &controlv1.ListNotificationsRequest{Target: "team"})
				return len(all) == 1 && all[0].GetAttempts() > 0
			})
			notifications := controlv1.NewNotificationServiceClient(other.conn)
			_, all := listed(t, notifications, &controlv1.ListNotificationsRequest{Target: "team"})
			if len(all) != 1 || all[0].GetRollout() != "r" {
				t.Fatalf("%v", all)
			}
			got, err := notifications.GetNotification(t.Context(), &controlv1.GetNotificationRequest{Target: "team", Id: all[0].GetId()})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range append(all, got.GetNotification()) {
				if (n.Attempts != nil) != found || strings.Contains(n.GetLastError(), "503") != found {
					t.Errorf("%v", n)
				}
			}
			tested, err := notifications.TestNotificationTarget(as(t), &controlv1.TestNotificationTargetRequest{Target: "team"})
			if err != nil || tested.GetServer() != other.server.options.InstanceID {
				t.Errorf("the server that is asked tests: %v, %v", tested, err)
			}
		})
	}
}
