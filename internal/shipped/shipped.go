// Package shipped builds the project's binaries as `make build` does, for what starts them as
// processes. One way to build is also less to compile: a test that wants them finds them in Go's cache.
package shipped

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds the binaries, and other packages the same way, into dir, with more tags if there are any,
// separated by commas. root is the repository's.
func Build(ctx context.Context, root, dir, tags string, others ...string) error {
	args := append([]string{
		"build", "-trimpath", "-tags", "grpcnotrace," + tags, "-ldflags", "-s -w",
		"-o", dir + string(filepath.Separator), "./cmd/tidegate", "./cmd/tidegate-relay",
	}, others...)
	build := exec.CommandContext(ctx, "go", args...) //nolint:gosec // our own
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the binaries in %s: %w\n%s", root, err, out)
	}
	return nil
}
