// Command report measures everything again and brings docs/benchmarks.md up to date.
//
//	go run ./bench/report [-only rivals,propagation]
//
// The page is its own template: people write its prose, and what stands between the two
// markers of a part, such as <!-- rivals --> and <!-- /rivals -->, is replaced by what the
// part's command measured, under a line that says how, when and where. A part that fails
// stays as it was. Run it from the repository's root, with nothing else on the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
)

const page = "docs/benchmarks.md"

func main() {
	only := flag.String("only", "", "parts to measure, separated by commas (default all): "+strings.Join(names(), ", "))
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stderr, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

// run measures one part after another and writes the page after each, so that what took
// minutes is kept when a later part fails.
func run(ctx context.Context, progress io.Writer, only string) error {
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	origin, err := whence(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, p := range chosen {
		fmt.Fprintf(progress, "%s: %s\n", p.name, p.shown())
		if err := renew(ctx, page, p, origin); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", p.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// renew measures a part and replaces it in the page.
func renew(ctx context.Context, file string, p part, o origin) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := replace(string(text), p.name, ""); err != nil { // before minutes are spent
		return err
	}
	table, err := p.measure(ctx)
	if err != nil {
		return err
	}
	if text, err = os.ReadFile(file); err != nil { // someone may have edited it meanwhile
		return err
	}
	renewed, err := replace(string(text), p.name, o.line(p)+"\n\n"+table)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(renewed), 0o644) //nolint:gosec // documentation, for everyone to read
}

// choose returns the named parts, in the page's order; all if none is named.
func choose(only string) ([]part, error) {
	if only == "" {
		return parts, nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.Contains(names(), name) {
			return nil, fmt.Errorf("-only: %q is no part of the page; there are %s", name, strings.Join(names(), ", "))
		}
	}
	var chosen []part
	for _, p := range parts {
		if slices.Contains(wanted, p.name) {
			chosen = append(chosen, p)
		}
	}
	return chosen, nil
}

func names() []string {
	all := make([]string, len(parts))
	for i, p := range parts {
		all[i] = p.name
	}
	return all
}
