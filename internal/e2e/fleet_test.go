package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestReceipts runs relays one behind another. The kill switch tells that all have it, names
// the one that was killed, also after a restart of the server, and does not name one that
// stopped in an orderly way.
func TestReceipts(t *testing.T) {
	s := bed.NewServer(t, bin, "--data-dir", t.TempDir())
	s.Start()
	tidegate(t, s, "apply", "--filename", "testdata/checkout.yaml", "--environment", "production", "--reason", "test")
	first := newNamedRelay(t, "first", s.GRPC)
	second := newNamedRelay(t, "second", first.GRPC)
	third := newNamedRelay(t, "third", second.GRPC)
	relays := []*bed.Relay{first, second, third}
	for _, r := range relays {
		r.Start()
	}
	bed.Eventually(t, "the server knows all relays", func() error { return lists(t, s, "first", "second", "third") })

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

	third.Kill()
	missing := "; missing: third (region test, last seen "
	bed.Eventually(t, "the killed relay is lost", func() error { return listed(t, s, "third", "last seen") })
	says(disable("1s"), ": enforced on 2 of 3 relays after ", missing, "warning: not every relay has it")

	s.Kill()
	s.Start()
	bed.Eventually(t, "the server knows all relays again", func() error { return lists(t, s, "first", "second", "third") })
	bed.Eventually(t, "the others are back", func() error { return listed(t, s, "second", "connected") })
	says(disable("1s"), ": enforced on 2 of 3 relays after ", "; missing: third (region test, not seen since the server started)")

	if err := second.Terminate(); err != nil {
		t.Errorf("the relay ended with %v", err)
	}
	bed.Eventually(t, "a relay has left", func() error { return lists(t, s, "first", "third") })
	fourth := newNamedRelay(t, "fourth", first.GRPC)
	fourth.Start()
	bed.Eventually(t, "a new relay", func() error { return lists(t, s, "first", "fourth", "third") })
	says(disable("1s"), ": enforced on 2 of 3 relays after ", "; missing: third (")

	tidegate(t, s, "relay", "forget", "third")
	bed.Eventually(t, "a relay is forgotten", func() error { return lists(t, s, "first", "fourth") })
	says(disable("1m"), ": enforced on 2 of 2 relays after ")
}

// TestReceiptsOfACluster asks one server about a relay that follows another.
func TestReceiptsOfACluster(t *testing.T) {
	etcd, err := etcdtest.Start(t.Context(), t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Kill()
	var servers []*bed.Server
	for range 2 {
		s := bed.NewServer(t, bin, "--data-dir", t.TempDir(), "--etcd-endpoints", etcd.Endpoints()[0])
		s.Start()
		servers = append(servers, s)
	}
	tidegate(t, servers[0], "apply", "--filename", "testdata/checkout.yaml", "--environment", "production", "--reason", "test")
	newNamedRelay(t, "here", servers[0].GRPC).Start()
	there := newNamedRelay(t, "there", servers[1].GRPC)
	there.Start()
	for _, s := range servers {
		bed.Eventually(t, "each server knows all relays", func() error { return lists(t, s, "here", "there") })
		bed.Eventually(t, "connected", func() error { return listed(t, s, "there", "connected") })
	}
	out := tidegate(t, servers[0], "flag", "disable", "checkout", "--environment", "production", "--reason", "test", "--wait", "1m")
	if !strings.Contains(out, "enforced on 2 of 2 relays") {
		t.Errorf("%s", out)
	}
	servers[1].Kill()
	out = tidegate(t, servers[0], "flag", "enable", "checkout", "--environment", "production", "--reason", "test", "--wait", "1s")
	if !strings.Contains(out, "in force on 1 of 2 relays") || !strings.Contains(out, "did not answer") || !strings.Contains(out, "missing: there (") {
		t.Errorf("%s", out)
	}
	if err := there.Terminate(); err != nil {
		t.Errorf("the relay ended with %v", err)
	}
}

func newNamedRelay(t *testing.T, name, upstream string) *bed.Relay {
	t.Helper()
	e := bed.NewRelay(t, bin, upstream, t.TempDir())
	e.AddArgs("--instance-id", name)
	return e
}

// tidegate runs the operator's tool and returns what it prints.
func tidegate(t *testing.T, s *bed.Server, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin+"/tidegate", append(args, "--server", s.GRPC)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("tidegate %v: %v\n%s", args, err, out.String())
	}
	return out.String()
}

// lists demands that 'relay list' shows exactly the relays, in this order.
func lists(t *testing.T, s *bed.Server, names ...string) error {
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
func listed(t *testing.T, s *bed.Server, name, what string) error {
	t.Helper()
	list := tidegate(t, s, "relay", "list")
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, name+" ") && strings.Contains(line, what) {
			return nil
		}
	}
	return fmt.Errorf("%s is not shown as %s in\n%s", name, what, list)
}
