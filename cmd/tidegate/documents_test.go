package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/internal/doccommands"
)

// TestDocumentedCommands: every command line of the documents, and of the commands' own examples,
// is one: the command is there, it has the flags, and nothing that it needs is missing.
func TestDocumentedCommands(t *testing.T) {
	for _, variable := range []string{environmentVariable, keyFileVariable} {
		t.Setenv(variable, "")
	}
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v, %v", paths, err)
	}
	checked := 0
	for _, path := range append(paths, "../../README.md", "../../CONTRIBUTING.md") {
		document, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range doccommands.Of(string(document), "tidegate") {
			checked++
			if problem := problemOf(call); problem != "" {
				t.Errorf("%s:%d: tidegate %s: %s", filepath.Base(path), call.Line, strings.Join(call.Args, " "), problem)
			}
		}
	}
	commandPaths(newRootCommand(&streams{}), func(cmd *cobra.Command) {
		for _, call := range doccommands.Of("    "+strings.ReplaceAll(cmd.Example, "\n", "\n    "), "tidegate") {
			checked++
			if problem := problemOf(call); problem != "" {
				t.Errorf("%s --help: tidegate %s: %s", cmd.CommandPath(), strings.Join(call.Args, " "), problem)
			}
		}
	})
	if checked < 100 {
		t.Errorf("only %d command lines were found", checked)
	}
}

// problemOf tells what is wrong with a call; empty: nothing that the command line alone shows.
func problemOf(call doccommands.Call) string {
	var args []string
	for i, word := range call.Args {
		switch {
		case word == "..." && (i == 0 || call.Args[i-1] != "--reason"): // what does not matter there
		case strings.ToUpper(word) == word && strings.ToLower(word) != word:
			args = append(args, "1") // REVISION, NUMBER
		default:
			args = append(args, word)
		}
	}
	cmd, rest, err := newRootCommand(&streams{}).Find(args)
	if err != nil {
		return err.Error()
	}
	if !cmd.Runnable() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return "no such command"
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err.Error()
	}
	if call.Inline || len(args) < len(call.Args) {
		return ""
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err.Error()
	}
	for name, usage := range map[string]string{"reason": reasonUsage, "environment": changedUsage} {
		f := cmd.Flags().Lookup(name)
		preview := cmd.Flags().Lookup("dry-run")
		if f != nil && f.Usage == usage && !f.Changed && (preview == nil || !preview.Changed) {
			return "--" + name + " is missing"
		}
	}
	return ""
}
