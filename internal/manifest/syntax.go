package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// readDocuments reads the YAML documents of a file, or its JSON, as nodes. Aliases are
// not expanded, so the nodes are never more than the file.
func (d *decoder) readDocuments(data []byte) ([]*yaml.Node, Errors) {
	if err := checkText(d.file, data); err != nil {
		return nil, Errors{*err}
	}
	if isJSON(d.file, data) {
		return d.readJSON(data)
	}
	documents, err := readNodes(data)
	if err != nil {
		return nil, Errors{syntaxError(d.file, data, err)}
	}
	return documents, nil
}

// readJSON reads a file that looks like JSON. If it is YAML with braces, it may not be.
func (d *decoder) readJSON(data []byte) ([]*yaml.Node, Errors) {
	n, failed := readJSON(d.file, data)
	if failed == nil {
		d.json = true
		return oneDocument(n), nil
	}
	if documents, err := readNodes(data); err == nil && !isJSONFile(d.file) {
		return documents, nil
	}
	return nil, Errors{*failed}
}

func oneDocument(n *yaml.Node) []*yaml.Node {
	if n == nil || isNull(n) {
		return nil
	}
	return []*yaml.Node{n}
}

func readNodes(data []byte) ([]*yaml.Node, error) {
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		switch {
		case errors.Is(err, io.EOF):
			return documents, nil
		case err != nil:
			return nil, err
		case len(document.Content) == 1 && !isNull(document.Content[0]): // null: between two '---'
			documents = append(documents, document.Content[0])
		}
	}
}

// checkText finds bytes that no YAML file may have.
func checkText(name string, data []byte) *Error {
	for _, bom := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(data, []byte(bom)) {
			return &Error{Position: Position{File: name, Line: 1, Column: 1}, Problem: "is UTF-16: save the file as UTF-8"}
		}
	}
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		at := Position{File: name, Line: line, Column: column}
		switch {
		case r == utf8.RuneError && size == 1:
			return &Error{Position: at, Problem: fmt.Sprintf("byte 0x%02x is not UTF-8: save the file as UTF-8", data[i])}
		case r == '\n':
			line, column = line+1, 0
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfffe, r == 0xffff:
			return &Error{Position: at, Problem: fmt.Sprintf("control character U+%04X: remove it, or write it as an escape in double quotes", r)}
		}
		i += size
		column++
	}
	return nil
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line \d+: )?`)

// syntaxError says what the YAML reader did not understand, and where. The reader tells
// lines inexactly or not at all: the faulty one ends the shortest beginning of the file
// that fails in the same way.
func syntaxError(name string, data []byte, err error) Error {
	message := func(err error) string { return syntaxLine.ReplaceAllString(err.Error(), "") }
	problem := message(err)

	lines := bytes.SplitAfter(data, []byte("\n"))
	ends := make([]int, len(lines))
	for i, end := 0, 0; i < len(lines); i++ {
		end += len(lines[i])
		ends[i] = end
	}
	i := sort.Search(len(lines)-1, func(i int) bool {
		_, err := readNodes(data[:ends[i]])
		return err != nil && message(err) == problem
	})
	line := strings.TrimRight(string(lines[i]), "\r\n")
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	return Error{
		Position: Position{File: name, Line: i + 1, Column: utf8.RuneCountInString(indent) + 1},
		Problem:  explainSyntax(problem, indent),
	}
}

// explainSyntax puts the reader's words into the author's.
func explainSyntax(problem, indent string) string {
	switch {
	case strings.Contains(indent, "\t"), strings.Contains(problem, "tab character"):
		return "a tab indents this line: indent with spaces"
	case strings.Contains(problem, "cannot start any token"):
		return "a value begins with one of @ ` %: put it in quotes"
	case strings.Contains(problem, "mapping values are not allowed"):
		return "a ':' is not expected here: indent the line as those above it, or put a text that holds ': ' in quotes"
	case strings.Contains(problem, "did not find expected key"):
		return "this line does not continue what is above it: check its indentation, and quotes that end too early"
	case strings.Contains(problem, "did not find expected '-' indicator"):
		return "a list ends here without its '- ': check the indentation"
	case strings.Contains(problem, "did not find expected ',' or ']'"):
		return "a list in [ ] lacks a ',' or its ']'"
	case strings.Contains(problem, "did not find expected ',' or '}'"):
		return "a mapping in { } lacks a ',' or its '}'"
	case strings.Contains(problem, "unexpected end of stream"), strings.Contains(problem, "unexpected document indicator"):
		return "a text in quotes is not closed"
	case strings.Contains(problem, "could not find expected ':'"):
		return "this is not 'name: value': a ':' is missing"
	case strings.Contains(problem, "unknown escape character"):
		return `a text in double quotes holds an unknown escape: write \\ for a backslash, or use single quotes`
	case strings.Contains(problem, "expected node content"):
		return "a value is missing, or a bracket is not closed"
	case strings.Contains(problem, "unknown anchor"):
		return "aliases are not supported: write the value out, or make a segment of clauses that repeat"
	case strings.Contains(problem, "exceeded max depth"):
		return "is nested too deeply"
	}
	return "is not YAML: " + problem
}
