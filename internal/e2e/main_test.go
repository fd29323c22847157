// Package e2e tests real processes: the binaries as they ship, started, killed and
// started again. It has no code of its own.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
)

// bin holds the binaries under test, built once.
var bin string

func TestMain(m *testing.M) {
	etcdtest.RunNodeIfAsked()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tidegate-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "./cmd/tidegate", "./cmd/tidegate-relay")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the binaries: %v\n%s", err, out)
		return 1
	}
	bin = dir
	return m.Run()
}
