package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

var disasters = flag.Int("disasters", 2, "how often TestBackup loses the store")

// installation is control servers and what they keep their store in.
type installation interface {
	// start starts everything, and lose ends it and removes all data.
	start(ctx context.Context, t *testing.T)
	lose(t *testing.T)
	// restore follows the documented steps, with everything down.
	restore(t *testing.T, backup string)
	all() []*bed.Server
}

// TestBackup: servers are backed up while they are written to, go on, and lose all they have. They
// are restored by the scripts that the documentation names. Relays that were there all the time
// answer without a pause, serve nothing that was never written, leave the lost history as a whole
// and never go back to it, and end on exactly what the backup holds; so do relays that were away,
// from before the backup or with more than it has. Then the store gets more writes than were lost,
// and it all happens again, from the same backup.
func TestBackup(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { loseAndRestore(t, newSingle(t)) })
	t.Run("cluster", func(t *testing.T) { loseAndRestore(t, newTriple(t)) })
}

func loseAndRestore(t *testing.T, servers installation) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*disasters)*5*time.Minute)
	defer cancel()
	servers.start(ctx, t)
	first := servers.all()[0].GRPC
	ok := func(args ...string) string {
		t.Helper()
		out, code := command(t, first, args...)
		if code != 0 {
			t.Fatalf("tidegate %v: exit code %d\n%s", args, code, out)
		}
		return out
	}
	ok("apply", "-f", "../../examples/flags.yaml", "-e", bed.Environment, "--reason", "flags")
	ok("rollout", "start", "-f", "../../examples/rollouts/new-checkout.yaml", "-e", bed.Environment, "--reason", "ready")
	ok("key", "create", "relays", "-e", bed.Environment, "--reason", "relays")

	story := newStory()
	writing := story.write(ctx, t, first, 0)
	var relays []*bed.Relay
	var upstreams []string
	for _, s := range servers.all() {
		upstreams = append(upstreams, s.GRPC)
	}
	for range 4 {
		r := bed.NewRelay(t, bin, strings.Join(upstreams, ","), t.TempDir())
		r.Start()
		relays = append(relays, r)
	}
	connected, early, late := relays[:2], relays[2], relays[3]
	witnesses := make([]*witness, 0, len(connected))
	for _, r := range connected {
		witnesses = append(witnesses, story.watch(ctx, t, r))
	}
	early.Kill() // knows less than the backup
	writing.more(t, 20)

	heads := filepath.Join(t.TempDir(), "heads.jsonl")
	bed.Eventually(t, "the trail is sealed", func() error {
		out, code := command(t, first, "audit", "head")
		if code != 0 || !strings.Contains(out, `"production"`) {
			return fmt.Errorf("%d: %s", code, out)
		}
		return os.WriteFile(heads, []byte(out), 0o600)
	})
	writing.more(t, 20)
	backup := strings.TrimSpace(script(t, first, "backup.sh", t.TempDir(), "1"))
	if out := ok("backup", "verify", backup, "--head", heads); !strings.Contains(out, "production: whole, ") || !strings.Contains(out, "what was kept is part of it") {
		t.Errorf("the trails in the backup are not proved:\n%s", out)
	}
	held := readBackup(t, backup)
	story.held = held.value(t)
	t.Logf("the backup has revision %d, %d flags, value %d", held.Revision, len(held.flags), story.held)

	for disaster := range *disasters {
		before := writing.last()
		writing.more(t, 50)
		late.Kill() // knows more than the backup
		writing.more(t, 20)
		lost := writing.stop() - before
		servers.lose(t)
		for _, w := range witnesses {
			w.more(t, 20) // relays answer without servers
		}

		story.restored(disaster + 1)
		servers.restore(t, backup)
		servers.start(ctx, t)
		began := time.Now()
		agree(ctx, t, "relays that were there", held, addresses(servers, connected))
		t.Logf("disaster %d: %d writes lost; all agree %v after the servers were ready", disaster+1, lost, time.Since(began).Round(time.Millisecond))
		for _, w := range witnesses {
			w.awaits(t, story.held)
		}
		verifyRestored(t, first, heads)
		goOnCounting(t, servers)

		writing = story.write(ctx, t, first, disaster+1)
		writing.more(t, lost+20) // the store outgrows the one that was lost
		writing.stop()
		early.Start()
		late.Start()
		bed.Eventually(t, "relays that were away agree", func() error {
			_, err := bed.SameState(ctx, addresses(servers, relays)...)
			return err
		})
		early.Kill()
		writing = story.write(ctx, t, first, disaster+1)
	}
	writing.stop()
	for _, w := range witnesses {
		w.end(t)
	}
}

// verifyRestored: the audit trail is whole, and what was kept of it before the backup fits; the
// rollout and the key are there.
func verifyRestored(t *testing.T, server, heads string) {
	t.Helper()
	bed.Eventually(t, "the trails verify", func() error {
		out, code := command(t, server, "audit", "verify", "--head", heads)
		if code != 0 {
			return fmt.Errorf("%d: %s", code, out)
		}
		return nil
	})
	for want, args := range map[string][]string{
		"new-checkout-1":                     {"rollout", "list", "-e", bed.Environment},
		"relays":                             {"key", "list", "-e", bed.Environment},
		"restored from a backup of revision": {"epoch", "show"},
	} {
		if out, code := command(t, server, args...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("tidegate %v: %d, want %q:\n%s", args, code, want, out)
		}
	}
}

// goOnCounting: what relays tell is counted again, though the store forgot how far it had counted
// them, and the books balance, with what was lost declared as missing.
func goOnCounting(t *testing.T, servers installation) {
	t.Helper()
	states := func() (map[string]float64, error) {
		all := make(map[string]float64)
		for _, s := range servers.all() {
			for _, state := range []string{"emitted", "counted", "lost", "refused", "late", "missing"} {
				n, err := s.Metric("tidegate_telemetry_events", `state="`+state+`"`)
				if err != nil {
					return nil, err
				}
				all[state] += n // only the leader has any
			}
		}
		return all, nil
	}
	before := -1.0
	bed.Eventually(t, "telemetry is counted", func() error {
		now, err := states()
		switch {
		case err != nil:
			return err
		case before < 0 && now["counted"] > 0:
			before = now["counted"]
		}
		if before < 0 || now["counted"] <= before {
			return fmt.Errorf("%v, %v were counted before", now, before)
		}
		if now["emitted"] != now["counted"]+now["lost"]+now["refused"]+now["late"]+now["missing"] {
			return fmt.Errorf("the books do not balance: %v", now)
		}
		t.Logf("telemetry after the restoration: %v", now)
		return nil
	})
}

func addresses(servers installation, relays []*bed.Relay) []string {
	var all []string
	for _, s := range servers.all() {
		all = append(all, s.GRPC)
	}
	for _, r := range relays {
		all = append(all, r.GRPC)
	}
	return all
}

// script runs one of the documented scripts, with our binaries, and returns what it prints.
func script(t *testing.T, server, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{filepath.Join("..", "..", "scripts", name)}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "TIDEGATE_SERVER="+server, "USER=ada")
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, problems.String())
	}
	return string(out)
}

// single is a server with its own store.
type single struct {
	*bed.Server
	dir string
}

func newSingle(t *testing.T) *single {
	dir := filepath.Join(t.TempDir(), "data")
	return &single{bed.NewServer(t, bin, "--data-dir", dir), dir}
}

func (s *single) start(context.Context, *testing.T) { s.Start() }

func (s *single) lose(t *testing.T) {
	s.Kill()
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
}

func (s *single) restore(t *testing.T, backup string) {
	script(t, s.GRPC, "restore-server.sh", backup, s.dir, "drill")
}

func (s *single) all() []*bed.Server { return []*bed.Server{s.Server} }

// triple is two servers on an etcd cluster of three.
type triple struct {
	dir     string
	etcd    *etcdtest.Cluster
	servers []*bed.Server
}

func newTriple(t *testing.T) *triple { return &triple{dir: t.TempDir()} }

func (c *triple) start(ctx context.Context, t *testing.T) {
	if c.etcd == nil {
		etcd, err := etcdtest.Start(ctx, c.dir, 3)
		if err != nil {
			t.Fatal(err)
		}
		c.etcd = etcd
		t.Cleanup(etcd.Kill)
		for range 2 {
			c.servers = append(c.servers, bed.NewServer(t, bin, "--data-dir", t.TempDir(), "--etcd-endpoints", strings.Join(etcd.Endpoints(), ",")))
		}
	} else {
		for _, n := range c.etcd.Nodes {
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range c.servers {
		s.Start()
	}
}

func (c *triple) lose(t *testing.T) {
	for _, s := range c.servers {
		s.Kill()
	}
	c.etcd.Kill()
	for _, n := range c.etcd.Nodes {
		if err := os.RemoveAll(n.Member().Dir); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *triple) restore(t *testing.T, backup string) {
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(bin, "etcdutl"), "go.etcd.io/etcd/etcdutl/v3")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build etcdutl: %v\n%s", err, out)
	}
	snapshot := filepath.Join(t.TempDir(), "restored.snapshot")
	script(t, c.servers[0].GRPC, "restore-cluster.sh", "snapshot", backup, snapshot, "drill")
	for _, n := range c.etcd.Nodes {
		m := n.Member()
		script(t, c.servers[0].GRPC, "restore-cluster.sh", "member", snapshot, m.Name, m.PeerURL, m.InitialCluster, m.Dir)
	}
}

func (c *triple) all() []*bed.Server { return c.servers }
