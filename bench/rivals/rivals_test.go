package main

import (
	"strings"
	"testing"
	"time"
)

func TestEnginesAgree(t *testing.T) {
	for _, d := range definitions(10) {
		contenders, err := contend(engines, d, d.name, d.on)
		if err != nil {
			t.Error(err)
			continue
		}
		closeAll(contenders)
	}
}

// Every rival can express every case: a column that is empty would compare nothing.
func TestOnlyHandWrittenCodeLacksCases(t *testing.T) {
	for _, d := range definitions(0) {
		for _, e := range engines {
			c, err := e.build(d)
			if err != nil {
				t.Fatalf("%s: %s: %v", d.name, e.name, err)
			}
			if c.decide == nil && e.name != engines[byHand].name {
				t.Errorf("%s: %s has no answer", d.name, e.name)
			}
			closeAll([]contender{c})
		}
	}
}

func TestContendRefusesAnotherAnswer(t *testing.T) {
	closed := 0
	says := func(on bool) func(definition) (contender, error) {
		return func(definition) (contender, error) {
			return contender{decide: func() bool { return on }, close: func() { closed++ }}, nil
		}
	}
	_, err := contend([]entrant[definition]{{"one", says(true)}, {"another", says(false)}}, definition{}, "case", true)
	if err == nil || !strings.Contains(err.Error(), "case: another answers false") {
		t.Errorf("got %v", err)
	}
	if closed != 2 {
		t.Errorf("%d of 2 contenders were closed", closed)
	}
}

func TestTablesNameEveryCase(t *testing.T) {
	var out strings.Builder
	if err := run(&out, measurement{rounds: 1, each: time.Microsecond}, 10); err != nil {
		t.Fatal(err)
	}
	for _, d := range definitions(0) {
		if !strings.Contains(out.String(), "| "+d.name+" |") {
			t.Errorf("the tables lack %q:\n%s", d.name, out.String())
		}
	}
	for _, e := range expressions() {
		if !strings.Contains(out.String(), "| "+e.name+" |") {
			t.Errorf("the tables lack %q:\n%s", e.name, out.String())
		}
	}
	for _, table := range strings.Split(out.String(), "\n\n") {
		columns, _, _ := strings.Cut(table, "\n")
		for line := range strings.Lines(table) {
			if strings.Count(line, "|") != strings.Count(columns, "|") {
				t.Errorf("a row is wider or narrower than its header:\n%s\n%s", columns, line)
			}
		}
	}
}

func TestFigures(t *testing.T) {
	calls := 0
	m := measurement{rounds: 3, each: time.Microsecond}
	f := m.figures([]contender{{decide: func() bool { calls++; return true }}, {}})
	if f[0].none() || f[0].ns <= 0 || f[0].allocs != 0 || calls == 0 {
		t.Errorf("got %+v after %d calls", f[0], calls)
	}
	if !f[1].none() || f[1].String() != "-" {
		t.Errorf("got %+v, want nothing", f[1])
	}
	var mean geometricMean
	for _, ns := range []float64{1, 16} {
		mean.ratio(figure{ns: ns}, figure{ns: 8})
	}
	if got := mean.ratio(figure{}, figure{ns: 8}); got != "-" {
		t.Errorf("the ratio of nothing is %s", got)
	}
	if got := mean.String(); got != "0.500" {
		t.Errorf("geometric mean %s, want 0.500", got)
	}
}

func BenchmarkEngines(b *testing.B) {
	for _, d := range definitions(1000) {
		contenders, err := contend(engines, d, d.name, d.on)
		if err != nil {
			b.Fatal(err)
		}
		for i, c := range contenders {
			if c.decide == nil {
				continue
			}
			b.Run(d.name+"/"+engines[i].name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					c.decide()
				}
			})
		}
		closeAll(contenders)
	}
}

func TestExpressionsAgree(t *testing.T) {
	for _, e := range expressions() {
		if contenders, err := contend(evaluators, e, e.name, e.on); err != nil {
			t.Error(err)
		} else {
			closeAll(contenders)
		}
	}
}
