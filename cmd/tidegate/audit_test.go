package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/server"
)

// TestAuditProof: a trail is sealed, kept, exported, and proved by what was kept; what somebody
// changes in an export is found.
func TestAuditProof(t *testing.T) {
	s, _ := runServer(t, server.Options{Open: true, SealEvery: time.Millisecond})
	t.Setenv(serverVariable, s.GRPCAddr())
	dir := t.TempDir()
	try := func(want int, part string, args ...string) string {
		t.Helper()
		stdout, stderr, code := command(t, "", args...)
		if code != want || !strings.Contains(stdout+stderr, part) {
			t.Fatalf("%v: exit code %d, want %d, with %q in:\n%s%s", args, code, want, part, stdout, stderr)
		}
		return stdout
	}
	try(exitOK, "applied", "apply", "-f", "testdata/cli/files/one.yaml", "-e", "production", "--reason", "first")
	heads := ""
	for deadline := time.Now().Add(time.Minute); !strings.Contains(heads, `"entries":"3"`); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never sealed: %s", heads)
		}
		heads = try(exitOK, "", "audit", "head")
	}
	kept, exported := filepath.Join(dir, "heads"), filepath.Join(dir, "production.jsonl")
	if err := os.WriteFile(kept, []byte(heads), 0o600); err != nil {
		t.Fatal(err)
	}
	try(exitOK, "production: whole, 3 entries in 1 seals", "audit", "verify", "--head", kept)
	try(exitOK, "", "audit", "export", "-f", exported)
	try(exitOK, "what was kept is part of it", "audit", "verify", "--from", exported, "--head", kept)
	table := try(exitOK, "revision,time,environment", "audit", "export", "--format", "csv", "--kind", "flag")
	if rows, err := csv.NewReader(strings.NewReader(table)).ReadAll(); err != nil || len(rows) != 3 || rows[1][7] != "first" {
		t.Errorf("the table is %v, %v", rows, err)
	}
	whole, err := os.ReadFile(exported)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimSpace(whole), []byte("\n"))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a line less":             {bytes.Join(append(append([][]byte{}, lines[:1]...), lines[2:]...), nil), "is missing"},
		"the seal gone":           {bytes.Join(lines[:len(lines)-1], nil), "what is between is missing"},
		"another reason, legible": {bytes.Replace(whole, []byte(`"reason":"first"`), []byte(`"reason":"later"`), 1), "the readable form was changed"},
		"half a line":             {whole[:len(whole)/2], "line "},
		"nothing":                 {nil, "line 1"},
		"something else":          {[]byte("{}\n"), "expected what 'tidegate audit export' writes"},
	} {
		file := filepath.Join(dir, "changed")
		if err := os.WriteFile(file, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if stdout, stderr, code := command(t, "", "audit", "verify", "--from", file); code != exitFailure || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, want %q in:\n%s%s", name, code, c.want, stdout, stderr)
		}
	}
}
