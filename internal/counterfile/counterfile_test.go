//go:build unix

package counterfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const victimFile = "TIDEGATE_TEST_COUNTER"

// TestMain lets this binary be a process that counts until it is killed.
func TestMain(m *testing.M) {
	path := os.Getenv(victimFile)
	if path == "" {
		os.Exit(m.Run())
	}
	f, err := Open(path)
	if err != nil {
		panic(err)
	}
	for i := range 100 {
		f.Add(i, 1)
	}
	f.SetTold(40)
	self, _ := os.FindProcess(os.Getpid())
	_ = self.Kill()
	select {}
}

// What was counted is there after the process was killed.
func TestKilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "counter")
	id := ""
	for life := uint64(1); life <= 3; life++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), victimFile+"="+path)
		if err := cmd.Run(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the process ended with %v", err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if f.Sum() != 100*life || f.Told() != 40 || id != "" && f.ID() != id {
			t.Errorf("after %d lives: %d, told %d, id %s, was %s", life, f.Sum(), f.Told(), f.ID(), id)
		}
		id = f.ID()
	}
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	f, err := Open(filepath.Join(t.TempDir(), "counter"))
	if err != nil {
		t.Fatal(err)
	}
	var adding sync.WaitGroup
	for lane := range 2 * Lanes {
		adding.Go(func() {
			for range 1000 {
				f.Add(lane, 2)
			}
		})
	}
	adding.Wait()
	if f.Sum() != 2*Lanes*2000 {
		t.Errorf("%d, want %d", f.Sum(), 2*Lanes*2000)
	}
}

// What is no counter is left as it is.
func TestNoCounter(t *testing.T) {
	t.Parallel()
	for what, content := range map[string]string{"empty": "", "short": magic, "another": strings.Repeat("x", pageBytes)} {
		path := filepath.Join(t.TempDir(), "counter")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", what, err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != content {
			t.Errorf("%s: it has become %q: %v", what, now, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nowhere", "counter")); err == nil {
		t.Error("a folder that is not there is no error")
	}
}
