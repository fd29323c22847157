package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// part is one table of the page.
type part struct {
	name    string   // of its markers
	dir     string   // where its command runs; empty: the repository's root
	command []string // prints the table
	// table makes one of what the command prints; nil: it is one.
	table func(output string) (string, error)
}

// parts are in the order of the page.
var parts = []part{
	{name: "rivals", dir: "bench/rivals", command: []string{"go", "run", "."}},
	{name: "flags", command: goBench("./eval", "Flags"), table: goBenchTable},
	{name: "rpc", command: []string{"go", "run", "./bench/rpc"}},
	{name: "propagation", command: []string{"go", "run", "./bench/propagation"}},
	{name: "fanout", command: []string{"go", "run", "./bench/fanout"}},
	{name: "wire", command: []string{"go", "run", "./bench/wire"}},
	{name: "footprint", command: []string{"go", "run", "./bench/footprint"}},
	{name: "sim", command: []string{"go", "run", "./bench/sim", "-runs", "200", "-method", "static,canary,peek,core"}, table: lastTable},
	{name: "healthy", command: []string{"go", "run", "./bench/sim", "-runs", "10000", "-method", "core", "-scenario", "healthy,diurnal,bursty,both-down"}, table: lastTable},
	{name: "trip", command: []string{"go", "run", "./bench/trip", "-runs", "50"}},
	{name: "clientsdk", command: goBench("./clientsdk", "."), table: goBenchTable},
	{name: "dashboard", command: []string{"make", "--no-print-directory", "webbench"}},
}

// goBench is the command of a package's benchmarks, which are run five times each.
func goBench(pkg, pattern string) []string {
	return []string{"go", "test", "-run", "^$", "-bench", pattern, "-benchmem", "-count", "5", pkg}
}

// lastTable is the last of several tables, between which there is prose.
func lastTable(output string) (string, error) {
	tables := strings.Split(output, "\n\n")
	for i := len(tables) - 1; i >= 0; i-- {
		if strings.HasPrefix(tables[i], "|") {
			return tables[i], nil
		}
	}
	return "", errors.New("there is no table")
}

// measure runs the command and returns its table. What the command writes to its
// standard error passes through.
func (p part) measure(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, p.command[0], p.command[1:]...) //nolint:gosec // one of parts
	cmd.Dir = p.dir
	cmd.Stderr = os.Stderr
	var output bytes.Buffer
	cmd.Stdout = &output
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w; it printed:\n%s", p.shown(), err, output.String())
	}
	table := output.String()
	if p.table != nil {
		var err error
		if table, err = p.table(table); err != nil {
			return "", fmt.Errorf("%s: %w", p.shown(), err)
		}
	}
	if !strings.HasPrefix(table, "|") {
		return "", fmt.Errorf("%s prints no table but:\n%s", p.shown(), table)
	}
	return strings.TrimRight(table, "\n"), nil
}

// shown is the command as it is typed in the repository's root.
func (p part) shown() string {
	words := make([]string, len(p.command))
	for i, word := range p.command {
		if words[i] = word; strings.ContainsAny(word, "$ ") {
			words[i] = "'" + word + "'"
		}
	}
	shown := strings.Join(words, " ")
	if p.dir != "" {
		shown = "cd " + p.dir + " && " + shown
	}
	return shown
}
