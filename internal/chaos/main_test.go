//go:build unix

// Package chaos is the fault suite: real processes, disturbed in every way that the fault
// matrix of docs/reliability.md names, one file a row; and runs of faults drawn from a
// seed. It has no code of its own beside the tools in its folders.
//
// The binaries are built with the tag 'faults' (see internal/fault). What needs root, a
// network or a small disk of its own, has another form without, which says so.
package chaos

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/shipped"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of all that is drawn at random; 0: a random one")
	duration = flag.Duration("duration", 12*time.Second, "how long TestRandom disturbs, and TestHalfDown")
)

// bin holds the binaries under test, built once.
var bin string

func TestMain(m *testing.M) {
	etcdtest.RunNodeIfAsked()
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// The tests wait more than they compute: many of those that may run together do.
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if *seedFlag == 0 {
		*seedFlag = rand.Uint64()
	}
	dir, err := os.MkdirTemp("", "tidegate-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := shipped.Build(context.Background(), "../..", dir, "faults"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	return m.Run()
}

// seeded returns a source that is each test's own, so that one run alone draws the same.
func seeded(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	name := fnv.New64a()
	_, _ = name.Write([]byte(t.Name()))
	t.Logf("again with: go test ./internal/chaos -run '^%s$' -args -seed %d", t.Name(), *seedFlag)
	return rand.New(rand.NewPCG(*seedFlag, name.Sum64())), *seedFlag
}
