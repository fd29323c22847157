//go:build faults

package fault

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestMain lets the test binary be a process that has faults.
func TestMain(m *testing.M) {
	if os.Getenv("FAULT_TEST") == "" {
		os.Exit(m.Run())
	}
	for range 3 {
		Point(BeforeCommit)
	}
	os.Exit(3)
}

func run(spec string) (*exec.Cmd, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FAULT_TEST=1", Variable+"="+spec)
	return cmd, cmd.Run()
}

func TestPoint(t *testing.T) {
	for spec, want := range map[string]string{
		"":                       "exit status 3",
		BeforeCommit + "=kill:3": "signal: killed",
		BeforeCommit + "=kill:4": "exit status 3",
		AfterCommit + "=kill:1":  "exit status 3",
		"no/point=kill:1":        "exit status 2",
		BeforeCommit + "=kill:0": "exit status 2",
		BeforeCommit + "=die":    "exit status 2",
		"plant=nothing":          "exit status 2",
		"clock=tomorrow":         "exit status 2",
	} {
		if _, err := run(spec); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", spec, err, want)
		}
	}
	start := time.Now()
	if _, err := run(BeforeCommit + "=pause:50ms"); err == nil || time.Since(start) < 150*time.Millisecond {
		t.Errorf("three pauses of 50 ms took %v", time.Since(start))
	}
}

func TestNow(t *testing.T) {
	defer func() { now = plan{} }()
	for spec, want := range map[string]time.Duration{"": 0, "clock=+1h": time.Hour, "clock=-1h": -time.Hour, "clock=1h:1h": 0} {
		p, err := parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		now = p
		if off := Now().Sub(time.Now().Round(0)) - want; off.Abs() > time.Minute {
			t.Errorf("%s: off by %v, want %v", spec, off+want, want)
		}
	}
}
