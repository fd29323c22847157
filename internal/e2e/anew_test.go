package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestStoreMadeAnew starts a server on an empty directory in place of the one that it had. Relays
// that follow it go on to answer as before, over a restart of their own, also once the new store has
// flags; server and relay say why. A relay that has nothing gets the new store's state, and takes
// nobody over to it. Once somebody begins an epoch, all do.
func TestStoreMadeAnew(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	data := t.TempDir()
	srv := bed.NewServer(t, bin, "--data-dir", data)
	srv.Start()
	relay := bed.NewRelay(t, bin, srv.GRPC, t.TempDir())
	relay.Start()
	behind := bed.NewRelay(t, bin, relay.GRPC, t.TempDir())
	behind.Start()
	const key = "counter-0"
	set := func(value int64) {
		t.Helper()
		flags := controlv1.NewFlagServiceClient(bed.Dial(t, srv.GRPC))
		if _, err := flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{
			Environment: "production", Flag: bed.Counter(key, value), Reason: "count",
		}); err != nil {
			t.Fatal(err)
		}
	}
	answers := func(of *bed.Relay, value int64) error {
		r, err := evaluationv1.NewEvaluationServiceClient(bed.Dial(t, of.GRPC)).Evaluate(ctx,
			&evaluationv1.EvaluateRequest{Environment: "production", FlagKey: key})
		if err == nil && r.GetIntValue() != value {
			err = fmt.Errorf("%s answers %v, want %d", of.Name(), r, value)
		}
		return err
	}
	serves := func(value int64, relays ...*bed.Relay) {
		t.Helper()
		for _, r := range relays {
			bed.Eventually(t, fmt.Sprintf("%s answers %d", r.Name(), value), func() error { return answers(r, value) })
		}
	}
	set(7)
	serves(7, relay, behind)

	srv.Kill()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	srv.Start()
	refused := func() error {
		body := fetch(t, "http://"+srv.HTTP+"/readyz")
		switch {
		case !strings.Contains(body, "followers have the state of another store than this one") || !strings.Contains(body, "tidegate epoch begin"):
			return fmt.Errorf("readyz: %s", body)
		case !strings.Contains(srv.Log(), "FOLLOWERS HAVE THE STATE OF ANOTHER STORE"):
			return fmt.Errorf("the server's log does not tell: %s", srv.Log())
		case !strings.Contains(relay.Log(), "a store that was made anew"):
			return fmt.Errorf("the relay's log does not tell: %s", relay.Log())
		}
		return nil
	}
	bed.Eventually(t, "it is told", refused)
	if err := answers(relay, 7); err != nil {
		t.Error(err)
	}
	// A store that is filled again by hand is as much another one as an empty one.
	set(8)
	fresh := bed.NewRelay(t, bin, srv.GRPC, t.TempDir())
	fresh.Start()
	serves(8, fresh)
	told := strings.Count(relay.Log(), "a store that was made anew")
	relay.Kill()
	relay.Start()
	bed.Eventually(t, "the relay is refused after its restart", func() error {
		if strings.Count(relay.Log(), "a store that was made anew") <= told {
			return fmt.Errorf("the relay's log: %s", relay.Log())
		}
		return nil
	})
	for _, r := range []*bed.Relay{relay, behind} {
		if err := answers(r, 7); err != nil {
			t.Error(err)
		}
	}

	if out, code := command(t, srv.GRPC, "epoch", "begin", "--yes", "--reason", "a new start"); code != 0 || !strings.Contains(out, "epoch 2-") {
		t.Fatalf("%d: %s", code, out)
	}
	serves(8, relay, behind, fresh)
	bed.Eventually(t, "the server is well", func() error {
		if body := fetch(t, "http://"+srv.HTTP+"/readyz"); strings.Contains(body, "problems") {
			return fmt.Errorf("readyz: %s", body)
		}
		return nil
	})
}
