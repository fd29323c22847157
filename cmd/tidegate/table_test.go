package main

import (
	"bytes"
	"testing"
)

func TestTable(t *testing.T) {
	t.Parallel()
	red := paint{colored: true}.red
	table := table{header: []string{"KEY", "VALUE", "NOTE"}}
	table.add(cell{"ключ", red}, plain("a\nb\x1b[31m"), plain(""))
	table.add(plain("k"), cell{}, plain("last"))
	var out bytes.Buffer
	table.write(&out)
	want := "KEY   VALUE        NOTE\n" +
		"\x1b[31mключ\x1b[0m  a b\\x1b[31m\n" +
		"k                  last\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}

func TestPaintOnlyOnTerminals(t *testing.T) {
	t.Parallel()
	if p := newPaint(&bytes.Buffer{}, false); p.red("x") != "x" || p.bold("x") != "x" {
		t.Error("a buffer is no terminal")
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "é 日本": "é 日本", "a\nb": "a\nb", "\x1b[2J": `\x1b[2J`, "a\tb": `a\tb`, "\u202e": `\u202e`, "\x00": `\x00`, "'": "'",
	} {
		if got := visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
