package main

import (
	"strings"
	"testing"
	"time"
)

func TestEnginesAgree(t *testing.T) {
	for _, d := range definitions() {
		tide, err := newTidegate(d, 10)
		if err != nil {
			t.Fatal(err)
		}
		if got := tide.evaluateFlag(); got != d.on {
			t.Errorf("%s: EvaluateFlag says %v", d.name, got)
		}
		if got := tide.evaluate(); got != d.on {
			t.Errorf("%s: Evaluate says %v", d.name, got)
		}
		if got := newLaunchDarkly(d).evaluate(); got != d.on {
			t.Errorf("%s: LaunchDarkly says %v", d.name, got)
		}
	}
}

func TestTableNamesEveryCase(t *testing.T) {
	var table strings.Builder
	if err := run(&table, 1, time.Microsecond, 10); err != nil {
		t.Fatal(err)
	}
	for _, d := range definitions() {
		if !strings.Contains(table.String(), d.name) {
			t.Errorf("the table lacks %q:\n%s", d.name, table.String())
		}
	}
}

func BenchmarkEngines(b *testing.B) {
	for _, d := range definitions() {
		tide, err := newTidegate(d, 1000)
		if err != nil {
			b.Fatal(err)
		}
		for name, f := range map[string]func() bool{
			"EvaluateFlag": tide.evaluateFlag, "Evaluate": tide.evaluate, "LaunchDarkly": newLaunchDarkly(d).evaluate,
		} {
			b.Run(d.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
			})
		}
	}
}
