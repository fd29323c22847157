package webhook_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/notify/webhook"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) } //nolint:forbidigo // net/http takes no other

func rolledBack() notify.Event {
	return notify.Event{
		ID: "evt_mfrggzdfmztwq2lknnwg23tpob", Kind: notify.RolledBack, Time: time.Date(2026, 3, 1, 12, 0, 4, 250e6, time.UTC),
		Environment: "production", Rollout: "checkout-v2", Flag: "checkout", Control: "old", Treatment: "new",
		Description: "One page instead of three", Owner: "payments team, #payments", FromWeight: 500, ToWeight: 0,
		Decision: 7, Deciding: "errors",
		Headline: "Rolled back from 5%: errors are 3.1x those of the control (2.0 to 4.9), more than 1.05x is not allowed",
		Evidence: []notify.Evidence{
			{
				Guardrail: "errors", State: "breach", Summary: "3.1x (2.0 to 4.9), at most 1.05x is allowed",
				LogEvidence: notify.Number(math.Log(412)), LogNeeded: notify.Number(math.Log(250)), Estimate: 3.1, Lower: 2, Upper: 4.9,
				Treatment: notify.Count{Events: 13, Units: 261}, Control: notify.Count{Events: 50, Units: 4969},
			},
			{
				Guardrail: "latency", State: "unproven", Summary: "p99 4 ms slower (-20 to no bound)",
				LogEvidence: -0.9, LogNeeded: notify.Number(math.Log(500)), Estimate: 0.004, Lower: -0.02, Upper: notify.Number(math.Inf(1)),
				Treatment: notify.Count{Units: 261}, Control: notify.Count{Units: 4969},
			},
			{
				Guardrail: "accuracy", State: "no data", LogEvidence: notify.Number(math.NaN()), LogNeeded: notify.Number(math.Log(1000)),
				Estimate: notify.Number(math.NaN()), Lower: notify.Number(math.Inf(-1)), Upper: notify.Number(math.Inf(1)),
			},
		},
		Omitted: 2,
	}
}

// events are what golden files show.
func events() map[string]notify.Event {
	started := notify.Event{
		ID: "evt_a", Kind: notify.Started, Time: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), Environment: "staging",
		Rollout: "r", ToWeight: 100, Actor: "alice@example.com", Reason: "first try",
	}
	tripped := rolledBack()
	tripped.Kind, tripped.Relay, tripped.Evidence, tripped.Omitted = notify.Tripped, "eu-west-1/relay-7", tripped.Evidence[:1], 0
	hostile := notify.Event{
		ID: "evt_b", Kind: notify.Aborted, Time: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), Environment: "production",
		Rollout: "<!channel>", Owner: "<@U012> & <https://evil.example|payments>", Actor: "@channel @All @everyone",
		Reason: "`code` *bold* ~gone~ [click](https://evil.example) ![x](https://evil.example/x.png)\n> quoted",
		Evidence: []notify.Evidence{{
			Guardrail: "a<b", State: "safe", LogEvidence: 800, LogNeeded: 7, Summary: "<!here>",
		}},
	}
	advanced := notify.Event{
		ID: "evt_c", Kind: notify.Advanced, Time: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), Environment: "production",
		Rollout: "checkout-v2", FromWeight: 1, ToWeight: 2050, Treatment: "new", Decision: 3,
	}
	test := notify.Event{
		ID: "evt_d", Kind: notify.Test, Time: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), Actor: "alice@example.com",
		Headline: "This is a test. What happens to rollouts is told here.",
	}
	due := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	failed := notify.Event{
		ID: "evt_e", Kind: notify.ChangeFailed, Time: due.Add(time.Second), Environment: "production", ChangeRequest: 42,
		Keys: []string{"staff", "new-checkout"}, ApplyAt: &due, Actor: "alice@example.com", Reason: "the <launch>",
		Headline: "change request #42 has 1 of the 2 approvals that production asks for",
	}
	return map[string]notify.Event{
		"change_failed": failed,
		"rolled_back":   rolledBack(), "started": started, "tripped": tripped, "hostile": hostile, "advanced": advanced, "test": test,
	}
}

const link = "https://flags.example.com/environments/production/rollouts/checkout-v2"

func TestGolden(t *testing.T) {
	for name, e := range events() {
		for form, render := range map[string]func(notify.Event, string) ([]byte, error){
			"slack": webhook.SlackMessage, "webhook": webhook.MarshalPayload,
		} {
			t.Run(name+"/"+form, func(t *testing.T) {
				at := link
				if name == "started" {
					at = "" // no dashboard is configured
				}
				body, err := render(e, at)
				if err != nil {
					t.Fatal(err)
				}
				var pretty bytes.Buffer
				if err := json.Indent(&pretty, body, "", "  "); err != nil {
					t.Fatal(err)
				}
				golden(t, filepath.Join("testdata", "messages", name+"."+form+".json"), pretty.String()+"\n")
			})
		}
	}
}

// The vector of the reference implementations of Standard Webhooks.
func TestSign(t *testing.T) {
	at, body := time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)
	const id, want = "msg_p5jXN8AQM9LWM0D4loKWxJek", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got, err := webhook.Sign(secretText, id, at, body); err != nil || got != want {
		t.Errorf("signed %q: %v", got, err)
	}
	got, err := webhook.Sign(env["ROTATED"], id, at, body)
	if err != nil || !strings.HasPrefix(got, want+" v1,") || len(got) != 2*len(want)+1 {
		t.Errorf("signed with two secrets %q: %v", got, err)
	}
}

// special is what Slack would read as more than text.
var special = regexp.MustCompile("[<>`]|&(amp;|lt;|gt;)?")

// FuzzEscape: nothing that a user wrote means anything to Slack or Mattermost, and it is not
// longer than it may be.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{
		"<!channel>", "&lt;", "a & b", "@channel", "@HERE now", "[x](y)", "`", "é\xff\n", strings.Repeat("&", 5000), "@@all", "]((", "*a*", "~b~",
	} {
		f.Add(s, 100)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 10 + int(uint(limit)%3000)
		got := webhook.Escape(s, limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit {
			t.Errorf("%d characters: %q", utf8.RuneCountInString(got), got)
		}
		for _, m := range special.FindAllString(got, -1) {
			if m != "&amp;" && m != "&lt;" && m != "&gt;" {
				t.Errorf("%q is in %q", m, got)
			}
		}
		lower := strings.ToLower(got)
		for _, mention := range []string{"@channel", "@all", "@here", "@everyone", "](", "\n"} {
			if strings.Contains(lower, mention) {
				t.Errorf("%q is in %q", mention, got)
			}
		}
	})
}

// Slack refuses messages with texts that are too long, or none.
func TestSlackLimits(t *testing.T) {
	long := strings.Repeat("<&>", 2000)
	e := notify.Event{
		ID: "evt_a", Kind: notify.RolledBack, Environment: long, Rollout: long, Flag: long, Control: long, Treatment: long,
		Description: long, Owner: long, Deciding: long, Headline: long, Relay: long, Actor: long, Reason: long, Decision: math.MaxUint64,
	}
	for range 8 {
		e.Evidence = append(e.Evidence, notify.Evidence{Guardrail: long, State: long, Summary: long, LogEvidence: 5, LogNeeded: 6})
	}
	for _, e := range []notify.Event{e, {}} {
		body, err := webhook.SlackMessage(e, link)
		if err != nil {
			t.Fatal(err)
		}
		type object struct{ Text string }
		var m struct {
			Text   string
			Blocks []struct {
				Text     *object
				Fields   []object
				Elements []object
			}
		}
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		check := func(what, s string, most int) {
			if n := utf8.RuneCountInString(s); n == 0 || n > most {
				t.Errorf("%s has %d characters", what, n)
			}
		}
		check("text", m.Text, 12_000)
		for _, b := range m.Blocks {
			if b.Text == nil && len(b.Fields) == 0 && len(b.Elements) == 0 || len(b.Fields) > 10 || len(b.Elements) > 10 {
				t.Errorf("block %+v", b)
			}
			if b.Text != nil {
				check("section", b.Text.Text, 3000)
			}
			for _, f := range append(b.Fields, b.Elements...) {
				check("field", f.Text, 2000)
			}
		}
	}
}
