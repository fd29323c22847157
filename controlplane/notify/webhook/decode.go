package webhook

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Error is one thing wrong with the file, at a place.
type Error struct {
	File string
	// Line and Column from 1.
	Line, Column int
	// Field is its path, such as 'targets[0].url'; empty where the file is not YAML.
	Field string
	// Problem says what is wrong and what would be right.
	Problem string
}

func (e Error) Error() string {
	text := e.Problem
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, text)
}

// Errors is a non-empty list, in the order of the file.
type Errors []Error

// Error is one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// decoder reads YAML strictly, and collects what is wrong.
type decoder struct {
	file string
	errs Errors
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.errs = append(d.errs, Error{
		File: d.file, Line: max(n.Line, 1), Column: max(n.Column, 1), Field: path, Problem: fmt.Sprintf(format, args...),
	})
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// document returns the root of the only document; nil after an error.
func (d *decoder) document(data []byte) *yaml.Node {
	reader := yaml.NewDecoder(bytes.NewReader(data))
	var n, more yaml.Node
	switch err := reader.Decode(&n); {
	case errors.Is(err, io.EOF):
		d.fail(&n, "", "there is nothing in the file: it must begin with 'apiVersion: %s'", apiVersion)
		return nil
	case err != nil:
		problem, line := strings.TrimPrefix(err.Error(), "yaml: "), 1
		if m := yamlLine.FindStringSubmatchIndex(problem); m != nil {
			line, _ = strconv.Atoi(problem[m[2]:m[3]])
			problem = problem[:m[0]] + problem[m[1]:]
		}
		d.fail(&yaml.Node{Line: line}, "", "%s", problem)
		return nil
	}
	if err := reader.Decode(&more); !errors.Is(err, io.EOF) {
		d.fail(&more, "", "there is a second document: put all targets into one")
		return nil
	}
	return n.Content[0]
}

// fields reads a mapping that has no other fields, and returns where those are that it has.
func (d *decoder) fields(n *yaml.Node, path string, known map[string]func(*yaml.Node, string)) map[string]*yaml.Node {
	present := make(map[string]*yaml.Node)
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "must be a mapping of %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		return present
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		here := strings.TrimPrefix(path+"."+key.Value, ".")
		read := known[key.Value]
		switch {
		case read == nil:
			d.fail(key, here, "unknown field: expected one of %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case present[key.Value] != nil:
			d.fail(key, here, "is there twice")
		default:
			present[key.Value] = value
			read(value, here)
		}
	}
	return present
}

func (d *decoder) list(n *yaml.Node, path string, element func(*yaml.Node, string)) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, path, "must be a list: begin each element with '- ', or put them in [ ]")
		return
	}
	for i, e := range n.Content {
		element(e, path+"["+strconv.Itoa(i)+"]")
	}
}

// text reads a text that is not empty. What it is is not shown: it might be a secret in the
// wrong place.
func (d *decoder) text(into *string) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		switch {
		case n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str":
			d.fail(n, path, "must be a text")
		case strings.TrimSpace(n.Value) == "":
			d.fail(n, path, "must not be empty")
		default:
			*into = n.Value
		}
	}
}

// texts reads a list of at least one text, each of which is checked.
func (d *decoder) texts(into *[]string, check func(n *yaml.Node, path, text string)) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			d.fail(n, path, "is empty, which is nothing: leave it out for the default")
		}
		d.list(n, path, func(n *yaml.Node, path string) {
			var text string
			if d.text(&text)(n, path); text != "" {
				check(n, path, text)
				*into = append(*into, text)
			}
		})
	}
}

func (d *decoder) boolean(into *bool) func(*yaml.Node, string) {
	return func(n *yaml.Node, path string) {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(into) != nil {
			d.fail(n, path, "must be true or false")
		}
	}
}
