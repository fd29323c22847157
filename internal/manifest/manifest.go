// Package manifest is the YAML form of flags and segments: what people keep in files.
// It reads with errors that name file, line, column and field, and writes what it reads.
package manifest

import (
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Document is what one file, or several, say.
type Document struct {
	Flags    []*flagv1.Flag
	Segments []*flagv1.Segment
}

// Position is a place in a file; Line and Column from 1.
type Position struct {
	File         string
	Line, Column int
}

// Error is one thing wrong, at a place.
type Error struct {
	Position Position
	Field    string // as in eval.FieldError, from the flag on: 'flags[new-checkout].rules[0].id'
	Problem  string
}

// Errors is a non-empty list, in the order of the file.
type Errors []Error

func (e Errors) Error() string { panic("stub") }

// Parse reads one file's content; name is for messages. Everything wrong is reported at
// once. Definitions are validated (compiled) too.
func Parse(name string, data []byte) (*Document, error) { panic("stub") }

// Locate finds the place of a field that the server named ('flags[KEY].rules[0].id').
func (d *Document) Locate(field string) (Position, bool) { panic("stub") }

// Marshal writes a document that Parse reads back as it was.
func Marshal(d *Document) ([]byte, error) { panic("stub") }
