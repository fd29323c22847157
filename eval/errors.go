package eval

import (
	"fmt"
	"strconv"
	"strings"
)

// FieldError is one thing wrong with a definition.
type FieldError struct {
	// Field is the path, such as 'rules[2].clauses[0].values[1]' (indices from 0, names
	// as in the proto). Empty: the definition as a whole.
	Field string
	// Problem says what is wrong and what would be right.
	Problem string
}

// Error returns 'field: problem'.
func (e FieldError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

// Errors is a non-empty list of field errors.
type Errors []FieldError

// Error returns the errors in one line, separated by semicolons.
func (e Errors) Error() string {
	var b strings.Builder
	for i := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(e[i].Error())
	}
	return b.String()
}

// maxProblems is how many problems are named one by one.
const maxProblems = 100

// problems collects field errors.
type problems struct {
	list  Errors
	count int
}

func (p *problems) add(at *path, format string, args ...any) {
	p.count++
	if p.count <= maxProblems {
		p.list = append(p.list, FieldError{Field: at.String(), Problem: fmt.Sprintf(format, args...)})
	}
}

// err returns the collected errors, or nil.
func (p *problems) err() error {
	if p.count == 0 {
		return nil
	}
	if more := p.count - len(p.list); more > 0 {
		p.list = append(p.list, FieldError{Problem: fmt.Sprintf("%d more problems", more)})
	}
	return p.list
}

// path leads to a field. It becomes text only where there is a problem. The nil path is
// the definition itself.
type path struct {
	parent *path
	name   string // empty: an element of a list in a list
	index  int    // in a list; -1: none
}

func (p *path) field(name string) *path       { return &path{parent: p, name: name, index: -1} }
func (p *path) item(name string, i int) *path { return &path{parent: p, name: name, index: i} }

func (p *path) String() string {
	if p == nil {
		return ""
	}
	s := p.parent.String()
	if s != "" && p.name != "" {
		s += "."
	}
	s += p.name
	if p.index >= 0 {
		s += "[" + strconv.Itoa(p.index) + "]"
	}
	return s
}

// quote quotes what a definition holds for a message: shortened, and valid UTF-8
// whatever it was.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
