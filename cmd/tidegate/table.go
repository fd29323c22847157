package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// cell is a piece of a table; paint, if not nil, colours it.
type cell struct {
	text  string
	paint func(string) string
}

func plain(text string) cell { return cell{text: singleLine(text)} }

func number(n int64) cell { return cell{text: strconv.FormatInt(n, 10)} }

// table lays cells out in columns as wide as they need to be.
type table struct {
	paint  paint
	header []string
	rows   [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

func (t *table) write(out io.Writer) {
	widths := make([]int, len(t.header))
	head := make([]cell, len(t.header))
	for i, h := range t.header {
		widths[i] = utf8.RuneCountInString(h)
		head[i] = cell{text: h, paint: t.paint.dim}
	}
	for _, row := range t.rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	writeRow(out, widths, head)
	for _, row := range t.rows {
		writeRow(out, widths, row)
	}
}

func writeRow(out io.Writer, widths []int, row []cell) {
	var b strings.Builder
	pad := 0 // written only before another cell: lines do not end in spaces
	for i, c := range row {
		if c.text != "" {
			b.WriteString(strings.Repeat(" ", pad))
			pad = 0
			if c.paint != nil {
				b.WriteString(c.paint(c.text))
			} else {
				b.WriteString(c.text)
			}
		}
		pad += widths[i] - utf8.RuneCountInString(c.text) + 2
	}
	fmt.Fprintln(out, b.String())
}
