package webhook

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/notify"
)

// TestFreezePayload: who froze what and why is told, whole, and leads to no rollout.
func TestFreezePayload(t *testing.T) {
	e := notify.Event{
		ID: "evt_a", Kind: notify.Frozen, Time: time.Unix(1, 0), Environments: []string{"dev", "production"}, Actor: "ada <@all>",
		Reason: "checkout is down", Headline: "Until it is lifted, ...",
	}
	data, err := marshal(payloadOf(e, "https://x.example"))
	if err != nil {
		t.Fatal(err)
	}
	var got Payload
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "freeze.frozen" || !slices.Equal(got.Data.Environments, e.Environments) || got.Data.Reason != e.Reason || got.Data.Actor != e.Actor {
		t.Errorf("got %s", data)
	}
	for kind, want := range map[notify.Kind]string{notify.Frozen: "Frozen: dev, production", notify.Lifted: "No longer frozen: dev, production"} {
		e.Kind = kind
		slack, err := slackMessage(e, "https://x.example")
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{want, "checkout is down", "|Open tidegate>"} {
			if !strings.Contains(string(slack), part) {
				t.Errorf("%q is not in %s", part, slack)
			}
		}
		if strings.Contains(string(slack), "<@all>") {
			t.Errorf("it mentions somebody: %s", slack)
		}
	}
	if e.Environments = nil; titleOf(e) != "💧 No longer frozen: all environments" && titleOf(e) != "🧊 Frozen: all environments" {
		t.Errorf("all: %s", titleOf(e))
	}
}
