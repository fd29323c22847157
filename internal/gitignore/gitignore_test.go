package gitignore_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/gitignore"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	const (
		ignored = gitignore.Ignored
		kept    = gitignore.Kept
		neither = gitignore.Undecided
	)
	for _, c := range []struct {
		patterns string
		path     string // a folder if it ends in '/'
		want     gitignore.Verdict
	}{
		{"", "a", neither},
		{"# a\n\n", "# a", neither},
		{`\#a`, "#a", ignored},
		{`\!a`, "!a", ignored},
		{"a", "a", ignored},
		{"a", "x/a", ignored},
		{"a\r\n", "a", ignored},
		{"\ufeffa", "a", ignored},
		{"a  ", "a", ignored},
		{`a\ `, "a ", ignored},
		{`a\ `, "a", neither},
		{"a", "ab", neither},
		{"/a", "a", ignored},
		{"/a", "x/a", neither},
		{"x/a", "x/a", ignored},
		{"x/a", "y/x/a", neither},
		{"a/", "a/", ignored},
		{"a/", "a", neither},
		{"a/", "x/a/", ignored},
		{"*.log\n!keep.log", "x/keep.log", kept},
		{"*.log\n!keep.log", "x/other.log", ignored},
		{"!keep.log\n*.log", "keep.log", ignored},
		{"*", "a", ignored},
		{"a*c", "abc", ignored},
		{"a*c", "ab/c", neither},
		{"x/*", "x/a", ignored},
		{"x/*", "x/y/a", neither},
		{"x/**", "x/y/a", ignored},
		{"x/**", "x/", neither},
		{"**/a", "a", ignored},
		{"**/a", "x/y/a", ignored},
		{"**/a", "xa", neither},
		{"x/**/a", "x/a", ignored},
		{"x/**/a", "x/y/z/a", ignored},
		{"x/**/a", "x/ya", neither},
		{"a**b", "axyb", ignored},
		{"?", "a", ignored},
		{"?", "ab", neither},
		{"[ab]", "b", ignored},
		{"[!ab]", "b", neither},
		{"[^ab]", "c", ignored},
		{"[a-c]x", "bx", ignored},
		{"[]-]x", "]x", ignored},
		{"[]-]x", "-x", ignored},
		{"[[:digit:]]", "7", ignored},
		{"[[:digit:]]", "d", neither},
		{`[\]]`, "]", ignored},
		{"[a", "[a", neither}, // not closed
		{"a.b", "axb", neither},
		{`a\*`, "a*", ignored},
		{`a\*`, "ab", neither},
		{"ünder*", "ünderdog", ignored},
	} {
		name, folder := strings.CutSuffix(c.path, "/")
		if got := gitignore.Parse(c.patterns).Match(name, folder); got != c.want {
			t.Errorf("%q of %q: got %v, want %v", c.path, c.patterns, got, c.want)
		}
	}
}

// What git ignores is ignored, and nothing else.
func TestAsGit(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	repository := t.TempDir()
	run := func(stdin string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), git, append([]string{"-C", repository, "-c", "core.excludesFile="}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		// check-ignore ends with 1 where nothing is ignored.
		if err := cmd.Run(); err != nil && (args[0] != "check-ignore" || cmd.ProcessState.ExitCode() != 1) {
			t.Fatalf("git %v: %v: %s", args, err, stderr.String())
		}
		return stdout.String()
	}
	run("", "init", "-q")

	piece := rapid.SampledFrom([]string{"a", "b", "ab", "*", "?", "[ab]", "[!a]", "[a-c]", `\a`, ".", "c"})
	element := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
			return "**" // beside others it is a '*', but not to every version of git
		}
		return strings.ReplaceAll(strings.Join(rapid.SliceOfN(piece, 1, 2).Draw(t, "pieces"), ""), "**", "*")
	})
	line := rapid.Custom(func(t *rapid.T) string {
		text := strings.Join(rapid.SliceOfN(element, 1, 3).Draw(t, "elements"), "/")
		return rapid.SampledFrom([]string{"", "", "!", "/"}).Draw(t, "before") + text + rapid.SampledFrom([]string{"", "", "/"}).Draw(t, "after")
	})
	name := rapid.SampledFrom([]string{"a", "b", "ab", "c", "bc", "aab", ".a", "a.b"})
	path := rapid.Map(rapid.SliceOfN(name, 1, 4), func(s []string) string { return strings.Join(s, "/") })
	rapid.Check(t, func(t *rapid.T) {
		patterns := strings.Join(rapid.SliceOfN(line, 1, 4).Draw(t, "patterns"), "\n") + "\n"
		paths := rapid.SliceOfNDistinct(path, 1, 20, rapid.ID).Draw(t, "paths")
		if err := os.WriteFile(filepath.Join(repository, ".gitignore"), []byte(patterns), 0o600); err != nil {
			t.Fatal(err)
		}
		ignored := run(strings.Join(paths, "\n")+"\n", "check-ignore", "--no-index", "--stdin")
		parsed := gitignore.Parse(patterns)
		for _, p := range paths {
			want := strings.Contains("\n"+ignored, "\n"+p+"\n")
			if got := leftOut(parsed, p); got != want {
				t.Fatalf("%q: got %v, git says %v", p, got, want)
			}
		}
	})
}

// leftOut asks as one who walks does: nothing below a folder that is ignored.
func leftOut(p *gitignore.Patterns, file string) bool {
	elements := strings.Split(file, "/")
	for i := range elements {
		if p.Match(strings.Join(elements[:i+1], "/"), i < len(elements)-1) == gitignore.Ignored {
			return true
		}
	}
	return false
}

func FuzzParse(f *testing.F) {
	f.Add("*.log\n!x/**/[a-z\n", "x/a.log")
	f.Fuzz(func(_ *testing.T, patterns, path string) {
		gitignore.Parse(patterns).Match(path, true)
	})
}
