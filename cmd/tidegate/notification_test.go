package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/notify/webhook"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/server"
)

// fakeNotifications answers NotificationService as a test says: a page for each notification.
type fakeNotifications struct {
	controlv1.UnimplementedNotificationServiceServer
	targets       []*controlv1.NotificationTarget
	notifications []*controlv1.Notification
	answer        *controlv1.TestNotificationTargetResponse
	settled       []string
}

func (f *fakeNotifications) ListNotificationTargets(context.Context, *controlv1.ListNotificationTargetsRequest) (*controlv1.ListNotificationTargetsResponse, error) {
	return &controlv1.ListNotificationTargetsResponse{Targets: f.targets, Server: "server-a"}, nil
}

func (f *fakeNotifications) ListNotifications(_ context.Context, r *controlv1.ListNotificationsRequest) (*controlv1.ListNotificationsResponse, error) {
	page := len(r.GetPageToken())
	if page >= len(f.notifications) {
		return &controlv1.ListNotificationsResponse{}, nil
	}
	answer := &controlv1.ListNotificationsResponse{NextPageToken: r.GetPageToken() + "x"}
	if n := f.notifications[page]; r.GetState() == 0 || r.GetState() == n.GetState() {
		answer.Notifications = append(answer.Notifications, n)
	}
	return answer, nil
}

func (f *fakeNotifications) GetNotification(_ context.Context, r *controlv1.GetNotificationRequest) (*controlv1.GetNotificationResponse, error) {
	for _, n := range f.notifications {
		if n.GetTarget() == r.GetTarget() && n.GetId() == r.GetId() {
			return &controlv1.GetNotificationResponse{Notification: n}, nil
		}
	}
	return nil, status.Error(codes.NotFound, "not found: it is gone")
}

func (f *fakeNotifications) RedeliverNotification(_ context.Context, r *controlv1.RedeliverNotificationRequest) (*controlv1.RedeliverNotificationResponse, error) {
	switch r.GetId() {
	case "evt_damaged":
		return nil, status.Error(codes.FailedPrecondition, "not possible: id: it is damaged: discard it")
	case "evt_gone":
		return nil, status.Error(codes.NotFound, "not found: it is gone")
	}
	f.settled = append(f.settled, r.GetId())
	return &controlv1.RedeliverNotificationResponse{}, nil
}

func (f *fakeNotifications) DiscardNotification(_ context.Context, r *controlv1.DiscardNotificationRequest) (*controlv1.DiscardNotificationResponse, error) {
	f.settled = append(f.settled, r.GetId())
	return &controlv1.DiscardNotificationResponse{}, nil
}

func (f *fakeNotifications) TestNotificationTarget(context.Context, *controlv1.TestNotificationTargetRequest) (*controlv1.TestNotificationTargetResponse, error) {
	return f.answer, nil
}

func (f *fakeNotifications) start(t *testing.T) string {
	t.Helper()
	return serve(t, func(s *grpc.Server) { controlv1.RegisterNotificationServiceServer(s, f) })
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(noon.Add(-d)) }

const (
	waiting = controlv1.NotificationState_NOTIFICATION_STATE_WAITING
	dead    = controlv1.NotificationState_NOTIFICATION_STATE_DEAD
)

func TestNotificationOutput(t *testing.T) {
	f := &fakeNotifications{
		targets: []*controlv1.NotificationTarget{
			{Name: "bot", Configured: true, Kind: "webhook", Host: "bot.example.com", Events: []string{"tripped", "rolled_back"}, Dead: 2},
			{Name: "gone", Waiting: 1},
			{Name: "team", Configured: true, Kind: "slack", Host: "hooks.slack.com", Environments: []string{"production", "staging"}, Events: []string{"started"}},
		},
		notifications: []*controlv1.Notification{
			{
				Target: "team", Id: "evt_a", State: waiting, Event: "rolled_back", Environment: "production", Rollout: "r", Flag: "f", Owner: "payments",
				EventTime: timestamppb.New(time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)), Headline: "Rolled back from 5%", Decision: 7,
				QueuedAt: ago(3 * time.Minute), Attempts: proto.Uint32(4), LastError: "hooks.slack.com answered 503\nlater", NextAttemptAt: ago(-time.Minute),
			},
			{Target: "gone", Id: "evt_b", State: waiting, Event: "started", Environment: "production", Rollout: "r", QueuedAt: ago(time.Second * 5), Attempts: proto.Uint32(0), NextAttemptAt: ago(0)},
			{Target: "team", Id: "evt_c", State: waiting, Event: "paused", Environment: "production", Rollout: "r", QueuedAt: ago(time.Second * 5)},
			{Target: "bot", Id: "evt_damaged", State: dead, DeadSince: ago(26 * time.Hour), Attempts: proto.Uint32(0), LastError: "the record is damaged"},
			{Target: "bot", Id: "evt_gone", State: dead, DeadSince: ago(time.Hour), Attempts: proto.Uint32(1), Event: "started", Rollout: "r", Environment: "dev"},
			{Target: "bot", Id: "evt_d", State: dead, DeadSince: ago(time.Hour), Attempts: proto.Uint32(1), Event: "started", Rollout: "r", Environment: "dev"},
		},
		answer: &controlv1.TestNotificationTargetResponse{
			Taken: true, Answer: "bot.example.com answered 200 OK: thanks", Elapsed: durationpb.New(12 * time.Millisecond), Server: "server-a", Id: "evt_t",
		},
	}
	t.Setenv(serverVariable, f.start(t))
	for line, want := range map[string]string{
		"notification targets": `
TARGET  KIND            HOST             ENVIRONMENTS        EVENTS               WAITING  DEAD
bot     webhook         bot.example.com  all                 tripped,rolled_back  0        2
gone    not configured  -                -                   -                    1        0
team    slack           hooks.slack.com  production,staging  started              0        0
`,
		"notification show team evt_x":      "\n! error: not found: it is gone\n[1]\n",
		"notification redeliver bot evt_d":  "\nevt_d for bot is tried again\n",
		"notification redeliver bot --all":  "\nevt_d for bot is tried again\n! evt_damaged: not possible: id: it is damaged: discard it (FailedPrecondition)\n",
		"notification discard bot evt_d":    "\nevt_d for bot is discarded\n",
		"notification test bot":             "\nbot took it after 12ms: bot.example.com answered 200 OK: thanks\n  sent by server-a, as evt_t\n",
		"notification show team":            "\n! error: say which one: TARGET ID, as 'tidegate notification list' shows them; got 1 (see 'tidegate notification show --help')\n[2]\n",
		"notification discard bot x --all":  "\n! error: with --all, say for which target: TARGET alone; got 2 (see 'tidegate notification discard --help')\n[2]\n",
		"notification redeliver bot":        "\n! error: say which one: TARGET ID, as 'tidegate notification list' shows them; got 1 (see 'tidegate notification redeliver --help')\n[2]\n",
		"notification test":                 "\n! error: say which one: TARGET, as 'tidegate notification targets' shows them; got 0 (see 'tidegate notification test --help')\n[2]\n",
		"notification list --state missing": "\n! error: --state missing: expected waiting or dead (see 'tidegate notification list --help')\n[2]\n",
	} {
		if got := "\n" + runLine(t, line); got != want {
			t.Errorf("%s:%s", line, got)
		}
	}
	c := &client{clientOptions: newClientOptions()}
	for name, tc := range map[string]struct {
		write func(io.Writer)
		want  string
	}{
		"list": {func(out io.Writer) { c.writeNotifications(out, f.notifications, noon) }, `
TARGET  ID           STATE             EVENT        ENVIRONMENT  ROLLOUT  ATTEMPTS  NEXT     ERROR
team    evt_a        waits for 3m0s    rolled back  production   r        4         in 1m0s  hooks.slack.com answered 503 later
gone    evt_b        waits for 5s      started      production   r        0         now      -
team    evt_c        waits for 5s      paused       production   r        ?         ?        -
bot     evt_damaged  dead for 26h0m0s  -            -            -        0         never    the record is damaged
bot     evt_gone     dead for 1h0m0s   started      dev          r        1         never    -
bot     evt_d        dead for 1h0m0s   started      dev          r        1         never    -
`},
		"show": {func(out io.Writer) { c.writeNotification(out, f.notifications[0], noon) }, `
evt_a for team: waits for 3m0s
  what          rolled back at 2026-03-01 11:00:00Z
  headline      Rolled back from 5%
  rollout       r
  environment   production
  flag          f
  owner         payments
  attempts      4
  last error    hooks.slack.com answered 503 later
  next attempt  in 1m0s
  evidence      tidegate rollout explain r 7 --environment production
`},
		"show what is damaged": {func(out io.Writer) { c.writeNotification(out, f.notifications[3], noon) }, `
evt_damaged for bot: dead for 26h0m0s
  what          not known: the record is damaged
  attempts      0
  last error    the record is damaged
  next attempt  never
`},
	} {
		var out strings.Builder
		if tc.write(&out); "\n"+out.String() != tc.want {
			t.Errorf("%s:\n%s", name, out.String())
		}
	}
	if all := strings.Join(f.settled, " "); strings.Count(all, "evt_d") != 3 || len(f.settled) != 3 {
		t.Errorf("settled: %s", all)
	}
	f.answer = &controlv1.TestNotificationTargetResponse{Answer: "bot.example.com: there was no answer in time", Elapsed: durationpb.New(10 * time.Second), Server: "server-a", Id: "evt_t"}
	if got := runLine(t, "notification test bot"); got != "bot did not take it after 10s: bot.example.com: there was no answer in time\n  sent by server-a, as evt_t\n! error: bot is not told\n[1]\n" {
		t.Error(got)
	}
	f.notifications, f.targets = nil, nil
	if got := runLine(t, "notification list") + runLine(t, "notification targets") + runLine(t, "notification redeliver bot --all"); got !=
		"nothing waits, and there are no dead letters\nnobody is told: server server-a is given no targets (tidegate server --notifications FILE)\nno dead letter for bot is tried again\n" {
		t.Error(got)
	}
}

// TestNotificationsByHand is what an operator does whose webhook was wrong: a server, its
// commands, and a receiver over HTTP.
func TestNotificationsByHand(t *testing.T) {
	refuses := make(chan bool, 1) // holds whether it does
	refuses <- true
	received := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		no := <-refuses
		refuses <- no
		if no {
			http.Error(w, "no such channel", http.StatusNotFound)
			return
		}
		received <- string(body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer receiver.Close()
	t.Setenv("TEAM_URL", receiver.URL+"/services/hushHUSHhush")
	file := filepath.Join(t.TempDir(), "notifications.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: tidegate/v1\ntargets:\n  - {name: team, kind: slack, urlEnv: TEAM_URL}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	targets, err := webhook.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s := startServerWith(t, server.Options{Notify: targets})
	t.Setenv(serverVariable, s.GRPCAddr())
	t.Setenv("USER", "ann")
	session := func(line string) string {
		t.Helper()
		text := strings.ReplaceAll(runLine(t, line), strings.TrimPrefix(receiver.URL, "http://"), "HOST")
		text = regexp.MustCompile(`evt_[a-z0-9]{26}`).ReplaceAllString(text, "EVENT")
		return regexp.MustCompile(`(after|for) [0-9.]+m?s`).ReplaceAllString(text, "$1 TIME")
	}
	if got, want := session("notification test team"), "team did not take it after TIME: HOST answered 404 Not Found: no such channel\n  sent by test, as EVENT\n! error: team is not told\n[1]\n"; got != want {
		t.Errorf("%s", got)
	}
	session("apply -f ../../examples/flags.yaml -e production --reason flags")
	if got := session(`rollout start r --flag new-checkout --to on -e production --reason ready --strategy canary --guardrail 'errors: rate <+0.5pp'`); strings.Contains(got, "!") {
		t.Fatal(got)
	}
	var list string
	for end := time.Now().Add(time.Minute); !strings.Contains(list, "dead"); time.Sleep(5 * time.Millisecond) {
		if list = session("notification list"); time.Now().After(end) {
			t.Fatalf("it is not given up: %s", list)
		}
	}
	fields := strings.Join(strings.Fields(list), " ")
	if want := "TARGET ID STATE EVENT ENVIRONMENT ROLLOUT ATTEMPTS NEXT ERROR team EVENT dead for TIME started production r 1 never HOST answered 404 Not Found: no such channel"; fields != want {
		t.Errorf("%s", fields)
	}
	<-refuses
	refuses <- false
	if got := session("notification redeliver team --all"); got != "EVENT for team is tried again\n" {
		t.Error(got)
	}
	if got := session("notification test team"); got != "team took it after TIME: HOST answered 200 OK: ok\n  sent by test, as EVENT\n" {
		t.Error(got)
	}
	for range 2 { // the test may come first
		if body := <-received; !strings.Contains(body, "Started: r in production") && !strings.Contains(body, `*By*\nann`) {
			t.Errorf("received %s", body)
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if list = session("notification list"); list == "nothing waits, and there are no dead letters\n" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is not taken: %s", list)
		}
	}
}
