package leader

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
)

const candidateEnv = "TIDEGATE_LEADER_TEST_ETCD"

// runCandidateIfAsked makes a process that was started as a candidate one, until it is
// killed.
func runCandidateIfAsked() {
	endpoint := os.Getenv(candidateEnv)
	if endpoint == "" {
		return
	}
	ctx := context.Background()
	s, err := etcdstore.Open(ctx, etcdstore.Options{Endpoints: []string{endpoint}, Logger: zerolog.Nop()})
	if err != nil {
		fmt.Fprintln(os.Stderr, "candidate:", err)
		os.Exit(1)
	}
	id := fmt.Sprint(os.Getpid())
	e, err := New(Options{Store: s, InstanceID: id, TTL: 2 * time.Second})
	if err != nil {
		fmt.Fprintln(os.Stderr, "candidate:", err)
		os.Exit(1)
	}
	e.Run(ctx, func(ctx context.Context, term Term) error {
		return count(ctx, s, id, term, func() {})
	})
}

// TestFenceOnEtcd: real processes on a real etcd, leaders of which are killed, and stopped for
// longer than their leases last.
func TestFenceOnEtcd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes some leases' time")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cluster, err := etcdtest.Start(ctx, t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Kill()
	s, err := etcdstore.Open(ctx, etcdstore.Options{Endpoints: cluster.Endpoints(), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	processes := make(map[string]*exec.Cmd)
	begin := func() {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), candidateEnv+"="+cluster.Endpoints()[0])
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes[fmt.Sprint(cmd.Process.Pid)] = cmd
	}
	end := func(id string) {
		_ = processes[id].Process.Kill()
		_ = processes[id].Wait()
		delete(processes, id)
	}
	defer func() {
		for id := range processes {
			end(id)
		}
	}()
	for range 3 {
		begin()
	}
	observer := newElector(t, s, "observer")
	observing := make(chan struct{})
	go func() { defer close(observing); observer.observe(ctx) }()
	defer func() { cancel(); <-observing }()

	for round := range 2 {
		leads := awaitProgress(ctx, t, observer, s)
		if round%2 == 0 {
			end(leads)
			begin()
			continue
		}
		// It is stopped in the middle of its writes, misses the next term's begin, and goes on.
		leader := processes[leads].Process
		if err := leader.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for awaitProgress(ctx, t, observer, s) == leads {
			time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
		}
		if err := leader.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	awaitProgress(ctx, t, observer, s)
	counted, terms := checkCount(t, s)
	t.Logf("%d increments in %d terms", counted, terms)
	if terms < 3 {
		t.Errorf("%d terms after 2 changes of leaders", terms)
	}
}

// awaitProgress waits until the counter moves, and returns who leads then.
func awaitProgress(ctx context.Context, t *testing.T, e *Elector, s *etcdstore.Store) string {
	t.Helper()
	first, err := readCounter(ctx, s)
	for err == nil {
		var now int
		if now, err = readCounter(ctx, s); now > first+5 {
			if record, _, ok := e.Leader(); ok {
				return record.InstanceID
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nobody leads: %v", err)
	return ""
}
