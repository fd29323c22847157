package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
)

// TestReceipts runs relays one behind another. The kill switch tells that all have it, names
// the one that was killed, also after a restart of the server, and does not name one that
// stopped in an orderly way.
func TestReceipts(t *testing.T) {
	s := newServer(t, "--data-dir", t.TempDir())
	s.start()
	tidegate(t, s, "apply", "--filename", "testdata/checkout.yaml", "--environment", "production", "--reason", "test")
	first := newNamedEdge(t, "first", s.grpc)
	second := newNamedEdge(t, "second", first.grpc)
	third := newNamedEdge(t, "third", second.grpc)
	relays := []*edge{first, second, third}
	for _, r := range relays {
		r.start()
	}
	eventually(t, "the server knows all relays", func() error { return lists(t, s, "first", "second", "third") })

	disable := func(wait string) string {
		tidegate(t, s, "flag", "enable", "checkout", "--environment", "production", "--reason", "test", "--wait", "0")
		out := tidegate(t, s, "flag", "disable", "checkout", "--environment", "production", "--reason", "test", "--wait", wait)
		t.Log(out)
		return out
	}
	says := func(out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("%q is not in %q", part, out)
			}
		}
	}
	says(disable("1m"), "checkout disabled in production at revision ", ": enforced on 3 of 3 relays after ")

	third.kill()
	missing := "; missing: third (region test, last seen "
	eventually(t, "the killed relay is lost", func() error { return listed(t, s, "third", "last seen") })
	says(disable("1s"), ": enforced on 2 of 3 relays after ", missing, "warning: not every relay has it")

	s.kill()
	s.start()
	eventually(t, "the server knows all relays again", func() error { return lists(t, s, "first", "second", "third") })
	eventually(t, "the others are back", func() error { return listed(t, s, "second", "connected") })
	says(disable("1s"), ": enforced on 2 of 3 relays after ", "; missing: third (region test, not seen since the server started)")

	second.stop()
	eventually(t, "a relay has left", func() error { return lists(t, s, "first", "third") })
	fourth := newNamedEdge(t, "fourth", first.grpc)
	fourth.start()
	eventually(t, "a new relay", func() error { return lists(t, s, "first", "fourth", "third") })
	says(disable("1s"), ": enforced on 2 of 3 relays after ", "; missing: third (")

	tidegate(t, s, "relay", "forget", "third")
	eventually(t, "a relay is forgotten", func() error { return lists(t, s, "first", "fourth") })
	says(disable("1m"), ": enforced on 2 of 2 relays after ")
}

// TestReceiptsOfACluster asks one server about a relay that follows another.
func TestReceiptsOfACluster(t *testing.T) {
	etcd, err := etcdtest.Start(t.Context(), t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Kill()
	var servers []*server
	for range 2 {
		s := newServer(t, "--data-dir", t.TempDir(), "--etcd-endpoints", etcd.Endpoints()[0])
		s.start()
		servers = append(servers, s)
	}
	tidegate(t, servers[0], "apply", "--filename", "testdata/checkout.yaml", "--environment", "production", "--reason", "test")
	newNamedEdge(t, "here", servers[0].grpc).start()
	there := newNamedEdge(t, "there", servers[1].grpc)
	there.start()
	for _, s := range servers {
		eventually(t, "each server knows all relays", func() error { return lists(t, s, "here", "there") })
		eventually(t, "connected", func() error { return listed(t, s, "there", "connected") })
	}
	out := tidegate(t, servers[0], "flag", "disable", "checkout", "--environment", "production", "--reason", "test", "--wait", "1m")
	if !strings.Contains(out, "enforced on 2 of 2 relays") {
		t.Errorf("%s", out)
	}
	servers[1].kill()
	out = tidegate(t, servers[0], "flag", "enable", "checkout", "--environment", "production", "--reason", "test", "--wait", "1s")
	if !strings.Contains(out, "in force on 1 of 2 relays") || !strings.Contains(out, "did not answer") || !strings.Contains(out, "missing: there (") {
		t.Errorf("%s", out)
	}
	there.stop()
}

func newNamedEdge(t *testing.T, name, upstream string) *edge {
	t.Helper()
	e := newEdge(t, upstream, t.TempDir())
	e.args = append(e.args, "--instance-id", name)
	return e
}

// stop ends the process with SIGTERM and waits for its end.
func (p *process) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
	p.cmd = nil
}

// tidegate runs the operator's tool and returns what it prints.
func tidegate(t *testing.T, s *server, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin+"/tidegate", append(args, "--server", s.grpc)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("tidegate %v: %v\n%s", args, err, out.String())
	}
	return out.String()
}

// lists demands that 'relay list' shows exactly the relays, in this order.
func lists(t *testing.T, s *server, names ...string) error {
	t.Helper()
	var got []string
	for i, line := range strings.Split(strings.TrimSpace(tidegate(t, s, "relay", "list")), "\n") {
		if i > 0 {
			got = append(got, strings.Fields(line)[0])
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		return fmt.Errorf("relays %v, want %v", got, names)
	}
	return nil
}

// listed demands what 'relay list' shows of one relay.
func listed(t *testing.T, s *server, name, what string) error {
	t.Helper()
	list := tidegate(t, s, "relay", "list")
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, name+" ") && strings.Contains(line, what) {
			return nil
		}
	}
	return fmt.Errorf("%s is not shown as %s in\n%s", name, what, list)
}
