package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// command runs the binary and returns what it prints, and its exit code.
func command(t *testing.T, server string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "tidegate"), args...)
	cmd.Env = append(cmd.Environ(), "TIDEGATE_SERVER="+server, "NO_COLOR=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// TestRollout: an operator starts, promotes, freezes and aborts a rollout with the binary; a relay
// serves each stage's share, and only ever more subjects until the end; who watches sees it.
func TestRollout(t *testing.T) {
	srv := bed.NewServer(t, bin, "--data-dir", t.TempDir())
	srv.Start()
	relay := bed.NewRelay(t, bin, srv.GRPC, t.TempDir())
	relay.Start()
	ok := func(args ...string) string {
		t.Helper()
		out, code := command(t, srv.GRPC, args...)
		if code != 0 {
			t.Fatalf("%v: exit code %d\n%s", args, code, out)
		}
		return out
	}
	ok("apply", "-f", "../../examples/flags.yaml", "-e", "production", "--reason", "flags")
	ok("rollout", "start", "-f", "../../examples/rollouts/new-checkout.yaml", "-e", "production", "--reason", "ready")

	evaluations := evaluationv1.NewEvaluationServiceClient(bed.Dial(t, relay.GRPC))
	const subjects = 2000
	treated := func() (map[int]bool, error) {
		on := map[int]bool{}
		for i := range subjects {
			r, err := evaluations.Evaluate(t.Context(), &evaluationv1.EvaluateRequest{
				Environment: "production", FlagKey: "new-checkout",
				Context: &evaluationv1.EvaluationContext{TargetingKey: fmt.Sprintf("user-%d", i)},
			})
			if err != nil {
				return nil, err
			}
			if r.GetBoolValue() {
				on[i] = true
			}
		}
		return on, nil
	}
	served := func(low, high int) map[int]bool {
		t.Helper()
		var on map[int]bool
		bed.Eventually(t, fmt.Sprintf("%d to %d of %d subjects are served the treatment", low, high, subjects), func() (err error) {
			if on, err = treated(); err == nil && (len(on) < low || len(on) > high) {
				err = fmt.Errorf("%d are", len(on))
			}
			return err
		})
		return on
	}
	first := served(5, 45) // 1%, within six standard deviations

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := exec.CommandContext(ctx, filepath.Join(bin, "tidegate"), "rollout", "watch", "new-checkout-1", "--server", srv.GRPC)
	var watched bytes.Buffer
	watch.Stdout, watch.Stderr = &watched, &watched
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	if out, code := command(t, srv.GRPC, "flag", "set", "new-checkout", "--default", "on", "-e", "production", "--reason", "all"); code != 1 ||
		!strings.Contains(out, `while rollout "new-checkout-1" owns it`) {
		t.Errorf("%d: %s", code, out)
	}
	ok("rollout", "promote", "new-checkout-1", "-e", "production", "--reason", "fine so far", "--stage", "3")
	second := served(300, 500)
	for subject := range first {
		if !second[subject] {
			t.Errorf("user-%d was served the treatment at 1%%, and no longer at 20%%", subject)
		}
	}

	// Frozen, it is not widened, and says why; it is aborted all the same.
	ok("panic", "-e", "production", "--reason", "search is down")
	if out, code := command(t, srv.GRPC, "rollout", "promote", "new-checkout-1", "-e", "production", "--reason", "faster"); code != 1 ||
		!strings.Contains(out, `environment "production" is frozen by `) || !strings.Contains(out, ": search is down; nothing was written") {
		t.Errorf("%d: %s", code, out)
	}
	bed.Eventually(t, "the decider holds for the freeze", func() error {
		if out := ok("rollout", "status", "new-checkout-1", "-e", "production"); !strings.Contains(out, "Held at 20%: frozen by ") {
			return errors.New(out)
		}
		return nil
	})
	ok("rollout", "abort", "new-checkout-1", "-e", "production", "--reason", "enough")
	served(0, 0)
	ok("panic", "lift", "--reason", "it is up")
	ok("flag", "set", "new-checkout", "--owner", "payments", "-e", "production", "--reason", "whom to ask")
	var exit *exec.ExitError
	if err := watch.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("watch ended with %v", err)
	}
	for _, part := range []string{"aborted at 0%, stage 3 of 5", "error: new-checkout-1 was aborted"} {
		if !strings.Contains(watched.String(), part) {
			t.Errorf("watch did not show %q:\n%s", part, watched.String())
		}
	}
}
