// Package e2e tests real processes: the binaries as they ship, started, killed and
// started again.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/shipped"
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
	if err := shipped.Build(context.Background(), "../..", dir, ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	return m.Run()
}
