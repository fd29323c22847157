package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

const fileFlags = `apiVersion: tidegate/v1
flags:
  colour: {type: string, enabled: true, variants: {red: "#f00", blue: "#00f"}, default: `

// TestFile runs a relay on a file, with no server: a save is shown, a broken file is not,
// also if the relay is killed meanwhile, and the mended one is; without a version to fall
// back to, the relay refuses to start and says why. That a save is shown within a second
// is proven where time is under control, in internal/filesource.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flags.yaml")
	save := func(variant string) time.Time {
		t.Helper()
		if err := os.WriteFile(path, []byte(fileFlags+variant+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return time.Now()
	}
	save("red")
	a := bed.FreeAddrs(t, 4)
	management := "http://" + a[2]
	args := []string{"--file", path, "--grpc-addr", a[0], "--http-addr", a[1], "--management-addr", a[2], "--flagd-sync-addr", a[3]}
	relay := bed.NewProcess(t, bin, a[2], "tidegate-relay", append(args, "--state-dir", t.TempDir())...)
	relay.Start()
	evaluation := evaluationv1.NewEvaluationServiceClient(bed.Dial(t, a[0]))
	serves := func(want string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		r, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: "default", FlagKey: "colour"})
		if err == nil && r.GetVariant() != want {
			err = fmt.Errorf("serves %q, want %q", r.GetVariant(), want)
		}
		return err
	}
	if err := serves("red"); err != nil {
		t.Fatal(err)
	}
	saved := save("blue")
	bed.Eventually(t, "the save is shown", func() error { return serves("blue") })
	t.Logf("shown %v after the save", time.Since(saved).Round(time.Millisecond))

	save("pink")
	problem := func() error {
		resp, err := http.Get(management + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var body struct {
			Ready bool
			File  struct{ Problems []string }
		}
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			return err
		}
		if p := body.File.Problems; !body.Ready || len(p) != 1 || !strings.Contains(p[0], "flags.yaml:3:89: flags[colour].default: ") {
			return fmt.Errorf("readyz: %s: %+v", resp.Status, body)
		}
		return nil
	}
	bed.Eventually(t, "the mistake is told", problem)
	if err := serves("blue"); err != nil {
		t.Errorf("with a mistake in the file: %v", err)
	}
	relay.Kill()
	relay.Start()
	bed.Eventually(t, "the mistake is told again", problem)
	if err := serves("blue"); err != nil {
		t.Errorf("started with a mistake in the file: %v", err)
	}
	save("red")
	bed.Eventually(t, "the mended file is shown", func() error { return serves("red") })
	relay.Kill()

	save("pink")
	out, err := exec.Command(filepath.Join(bin, "tidegate-relay"), args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "\n"+path+":3:89: flags[colour].default: ") {
		t.Errorf("started with a mistake and nothing to fall back to: %v\n%s", err, out)
	}
}
