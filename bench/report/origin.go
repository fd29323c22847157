package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// origin is when and where figures were measured.
type origin struct{ date, commit, machine string }

func whence(ctx context.Context) (origin, error) {
	commit, err := git(ctx, "rev-parse", "--short", "HEAD")
	if err != nil {
		return origin{}, err
	}
	changed, err := git(ctx, "status", "--porcelain", "--", ":(top)", ":(top,exclude)"+page)
	if err != nil {
		return origin{}, err
	}
	if changed != "" {
		commit += " and changes"
	}
	cpu, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return origin{}, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return origin{}, err
	}
	return origin{
		date: time.Now().UTC().Format(time.DateOnly), commit: commit,
		machine: fmt.Sprintf("%s, %d cores, Linux %s, %s",
			model(string(cpu)), runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version()),
	}, nil
}

func git(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", args...).Output() //nolint:gosec // our own arguments
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// model is the processor's name, of /proc/cpuinfo.
func model(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// line says above a table how it came about.
func (o origin) line(p part) string {
	return fmt.Sprintf("`%s`; %s, commit %s; %s.", p.shown(), o.date, o.commit, o.machine)
}
