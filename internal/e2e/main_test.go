// Package e2e tests real processes: the binaries as they ship, started, killed and
// started again.
package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/e2e/bed"
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
	if err := bed.Build("../..", dir, ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	return m.Run()
}
