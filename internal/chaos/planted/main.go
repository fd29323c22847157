// Planted proves the fault suite: it plants one bug after the other into the code, has the
// scenario that is meant for it run again and again, with other seeds, and counts how often
// the bug was found, and for the right reason. The same scenario without the bug must pass.
//
// It is run from the root of the repository, as `make planted`. The scenarios are the
// tests beside it; they run real servers and relays in one process, as that is quick.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// limit is how long one run may take.
const limit = 60 * time.Second

func main() {
	runs := flag.Int("runs", 20, "how often each bug is planted")
	only := flag.String("bug", "", "the one bug to plant; empty: all")
	seed := flag.Uint64("seed", rand.Uint64(), "seed of the first run") //nolint:gosec // a seed
	parallel := flag.Int("parallel", 2, "how many runs at once")
	flag.Parse()
	if err := run(os.Stdout, os.Stderr, *runs, *parallel, *only, *seed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run plants the bugs, and fails if one is not found in 19 of 20 runs.
func run(out, progress io.Writer, runs, parallel int, only string, seed uint64) error {
	wanted := bugs
	if only != "" {
		wanted = slices.DeleteFunc(slices.Clone(bugs), func(b bug) bool { return b.name != only })
	}
	if len(wanted) == 0 || runs < 1 || parallel < 1 {
		return fmt.Errorf("bug %q, %d runs, %d at once: want a bug of internal/chaos/planted/bugs.go, and 1 or more", only, runs, parallel)
	}
	dir, err := os.MkdirTemp("", "tidegate-planted-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "planted.test")
	build := exec.Command("go", "test", "-c", "-tags", "faults", "-o", binary, "./internal/chaos/planted") //nolint:gosec,noctx // our own, and it ends
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the scenarios: %w\n%s", err, text)
	}
	fmt.Fprintf(out, "Seed %d.\n\n| bug | what it does | found by | caught | as | median |\n|---|---|---|---|---|---|\n", seed)
	var errs []error
	for _, b := range wanted {
		c := b.count(binary, runs, parallel, seed)
		fmt.Fprintf(out, "| `%s` | %s | %s | %d of %d | %s | %.1f s |\n", b.name, b.does, b.scenario,
			c.caught, runs, strings.Join(slices.Sorted(slices.Values(c.as)), ", "), c.median().Seconds())
		if err := c.judge(runs); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", b.name, err))
			fmt.Fprintf(progress, "%s: %v\n", b.name, err)
		}
	}
	return errors.Join(errs...)
}

// counts is what became of the runs of a bug.
type counts struct {
	mu     sync.Mutex
	caught int
	as     []string // by which guarantees, each once
	took   []time.Duration
	missed []string // what was printed where it was not caught
	sane   error    // of the run without the bug
}

// count runs the bug's scenario without it, and then with it.
func (b *bug) count(binary string, runs, parallel int, seed uint64) *counts {
	c := &counts{}
	if text, _, err := b.once(binary, false, seed); err != nil {
		c.sane = fmt.Errorf("%s fails without the bug, seed %d: %w\n%s", b.scenario, seed, err, text)
	}
	turns := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for i := range uint64(runs) {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			text, took, err := b.once(binary, true, seed+i)
			c.add(b.reason(text, err), took, fmt.Sprintf("seed %d: %v\n%s", seed+i, err, text))
		})
	}
	all.Wait()
	return c
}

// once runs the scenario in a process of its own.
func (b *bug) once(binary string, plant bool, seed uint64) (text []byte, took time.Duration, err error) {
	faults := b.faults
	if plant {
		faults = strings.Trim("plant="+b.name+","+b.faults, ",")
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^"+b.scenario+"$", "-seed", strconv.FormatUint(seed, 10)) //nolint:gosec // our own
	cmd.Env = append(os.Environ(), "TIDEGATE_FAULT="+faults)
	began := time.Now()
	text, err = cmd.CombinedOutput()
	return text, time.Since(began), cmp.Or(ctx.Err(), err)
}

// reason is the first of the guarantees that the run says was broken; empty: it did not end
// as it should.
func (b *bug) reason(text []byte, err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !bytes.Contains(text, []byte("--- FAIL: "+b.scenario)) {
		return ""
	}
	for _, name := range b.by {
		if bytes.Contains(text, []byte(name+": ")) {
			return name
		}
	}
	return ""
}

func (c *counts) add(reason string, took time.Duration, printed string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, took)
	if reason == "" {
		c.missed = append(c.missed, printed)
		return
	}
	c.caught++
	if !slices.Contains(c.as, reason) {
		c.as = append(c.as, reason)
	}
}

func (c *counts) median() time.Duration { return slices.Sorted(slices.Values(c.took))[len(c.took)/2] }

func (c *counts) judge(runs int) error {
	var missed error
	if c.caught*20 < runs*19 {
		missed = fmt.Errorf("caught in %d of %d runs, want 19 of 20; the first that missed it:\n%s", c.caught, runs, c.missed[0])
	}
	return errors.Join(c.sane, missed)
}
