// Package gitignore tells which paths a folder of source leaves out, by the patterns of
// gitignore(5) and with git's meaning of them. It is pure: who walks the folders reads the
// files and asks.
//
// A pattern that git cannot make sense of matches nothing, here as there.
package gitignore

import (
	"path"
	"regexp"
	"strings"
)

// Verdict is what patterns say of a path.
type Verdict int

const (
	// Undecided says that no pattern matches.
	Undecided Verdict = iota
	// Ignored says that the last pattern that matches leaves the path out.
	Ignored
	// Kept says that the last pattern that matches begins with '!'.
	Kept
)

// Patterns are those of one file, or of another list.
type Patterns struct{ list []pattern }

type pattern struct {
	verdict Verdict
	// folder: only folders match.
	folder bool
	// base: the last element of a path is matched, wherever it is; else all of it.
	base bool
	// Of these, the first that is set decides: most patterns need no expression.
	literal, suffix string
	expression      *regexp.Regexp
}

// Parse reads patterns, one a line.
func Parse(text string) *Patterns {
	p := &Patterns{}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		if one, ok := parse(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")); ok {
			p.list = append(p.list, one)
		}
	}
	return p
}

// Empty says that there are no patterns.
func (p *Patterns) Empty() bool { return len(p.list) == 0 }

// Match says what the patterns mean for a path, which is relative to the folder that they
// were written for and has '/' between its elements. What is below a folder that is ignored
// is for the caller not to ask: git lets no pattern bring it back.
func (p *Patterns) Match(name string, folder bool) Verdict {
	base := path.Base(name)
	for i := len(p.list) - 1; i >= 0; i-- {
		if p.list[i].matches(name, base, folder) {
			return p.list[i].verdict
		}
	}
	return Undecided
}

func (p *pattern) matches(name, base string, folder bool) bool {
	if p.folder && !folder {
		return false
	}
	if p.base {
		name = base
	}
	switch {
	case p.literal != "":
		return name == p.literal
	case p.suffix != "":
		return strings.HasSuffix(name, p.suffix)
	}
	return p.expression.MatchString(name)
}

// parse reads one line; ok is false if it has no pattern.
func parse(line string) (p pattern, ok bool) {
	if strings.HasPrefix(line, "#") {
		return p, false
	}
	line = trimSpaces(line)
	p.verdict = Ignored
	if rest, negated := strings.CutPrefix(line, "!"); negated {
		p.verdict, line = Kept, rest
	}
	line, p.folder = strings.CutSuffix(line, "/")
	p.base = !strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return p, false
	}
	const special = `*?[\`
	rest, star := strings.CutPrefix(line, "*")
	switch {
	case !strings.ContainsAny(line, special):
		p.literal = line
		return p, true
	case p.base && star && rest != "" && !strings.ContainsAny(rest, special):
		p.suffix = rest
		return p, true
	}
	source, ok := translate(line, p.base)
	if !ok {
		return p, false
	}
	expression, err := regexp.Compile(source)
	p.expression = expression
	return p, err == nil
}

// trimSpaces removes the spaces at the end, but for those after a backslash.
func trimSpaces(line string) string {
	trimmed := strings.TrimRight(line, " ")
	backslashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if backslashes%2 == 1 && len(trimmed) < len(line) {
		return trimmed + " "
	}
	return trimmed
}
