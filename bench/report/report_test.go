package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestPageHasEveryPartOnceAndInOrder(t *testing.T) {
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for _, p := range parts {
		if _, err := replace(string(text), p.name, ""); err != nil {
			t.Error(err)
		}
		at := strings.Index(string(text), "<!-- "+p.name+" -->")
		if at < last {
			t.Errorf("part %s stands before the one that is measured before it", p.name)
		}
		last = at
	}
	if n := strings.Count(string(text), "<!-- /"); n != len(parts) {
		t.Errorf("the page has %d parts; %d are measured", n, len(parts))
	}
}

// What a part's command names must be there: a package, or a target.
func TestCommandsNamePackages(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if p.command[0] == "make" {
			if target := p.command[len(p.command)-1]; !strings.Contains(string(makefile), "\n"+target+":") {
				t.Errorf("%s: the Makefile has no target %s", p.shown(), target)
			}
			continue
		}
		pkg := ""
		for _, word := range p.command { // a benchmark's pattern may come before
			if strings.HasPrefix(word, ".") {
				pkg = word
			}
		}
		if out, err := exec.Command("go", "list", "-C", filepath.Join("../..", p.dir), pkg).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", p.shown(), out)
		}
	}
}

func TestReplace(t *testing.T) {
	const page = "Prose.\n<!-- a -->\nold\n<!-- /a -->\nMore.\n<!-- b -->\n<!-- /b -->\n"
	for _, c := range []struct{ name, page, part, want, err string }{
		{"one of two", page, "a", "Prose.\n<!-- a -->\nnew\n<!-- /a -->\nMore.\n<!-- b -->\n<!-- /b -->\n", ""},
		{"empty", page, "b", "Prose.\n<!-- a -->\nold\n<!-- /a -->\nMore.\n<!-- b -->\nnew\n<!-- /b -->\n", ""},
		{"none", page, "c", "", "the page has 0 lines <!-- c -->"},
		{"no end", "<!-- a -->\n", "a", "", "the page has 0 lines <!-- /a -->"},
		{"twice", page + page, "a", "", "the page has 2 lines <!-- a -->"},
		{"end first", "\n<!-- /a -->\n<!-- a -->\n", "a", "", "must stand before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := replace(c.page, c.part, "new")
			if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestReplacingTwiceIsReplacingOnce(t *testing.T) {
	const page = "<!-- a -->\n<!-- /a -->\n"
	once, err := replace(page, "a", "| table |")
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := replace(once, "a", "| table |"); err != nil || twice != once {
		t.Errorf("got %q, %v; want %q", twice, err, once)
	}
}

func TestGoBenchTable(t *testing.T) {
	const output = `goos: linux
cpu: A processor
BenchmarkFlags/10/one-2         	25064858	        47.60 ns/op	       0 B/op	       0 allocs/op
BenchmarkFlags/10/one-2         	25064858	        49.60 ns/op	       0 B/op	       0 allocs/op
BenchmarkFlags/10/one-2         	25064858	        40.00 ns/op	       0 B/op	       0 allocs/op
BenchmarkRemote/one_caller-2    	   10000	     87311 ns/op	   14000 B/op	     206 allocs/op
BenchmarkPlain 	   10000	     12.5 ns/op
PASS
`
	const want = `| benchmark | ns | allocations |
|---|---|---|
| Flags, 10, one | 47.6 | 0 |
| Remote, one caller | 87311 | 206 |
| Plain | 12.5 | - |
`
	if got, err := goBenchTable(output); err != nil || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
	if _, err := goBenchTable("PASS\n"); err == nil {
		t.Error("no results, and no error")
	}
}

func TestRenewKeepsWhatFails(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	const before = "<!-- good -->\nold\n<!-- /good -->\n<!-- bad -->\nold\n<!-- /bad -->\n"
	if err := os.WriteFile(page, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	o := origin{date: "2026-11-26", commit: "abc", machine: "here"}
	for _, p := range []part{
		{name: "good", command: []string{"echo", "| table |"}},
		{name: "bad", command: []string{"echo", "no table"}},
		{name: "bad", command: []string{"false"}},
		{name: "bad", command: []string{"echo"}, table: func(string) (string, error) { return "", errors.New("unreadable") }},
	} {
		err := renew(context.Background(), page, p, o)
		if (err == nil) != (p.name == "good") {
			t.Errorf("%s: got %v", p.shown(), err)
		}
	}
	const want = "<!-- good -->\n`echo '| table |'`; 2026-11-26, commit abc; here.\n\n| table |\n<!-- /good -->\n<!-- bad -->\nold\n<!-- /bad -->\n"
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
}

func TestRunNamesTheParts(t *testing.T) {
	err := run(context.Background(), io.Discard, "rivals,nothing")
	if err == nil || !strings.Contains(err.Error(), `"nothing" is no part of the page; there are rivals, `) {
		t.Errorf("got %v", err)
	}
}

func TestChooseKeepsTheOrder(t *testing.T) {
	chosen, err := choose("footprint,rivals")
	if err != nil || len(chosen) != 2 || chosen[0].name != "rivals" || chosen[1].name != "footprint" {
		t.Errorf("got %v, %v", chosen, err)
	}
}

func TestWhence(t *testing.T) {
	o, err := whence(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if o.commit == "" || o.date == "" || !strings.Contains(o.machine, "go1.") {
		t.Errorf("got %+v", o)
	}
	if got := model("processor\t: 0\nmodel name\t: A Processor @ 2.80GHz\n"); got != "A Processor @ 2.80GHz" {
		t.Errorf("model %q", got)
	}
}
