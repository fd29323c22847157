//go:build linux

package netns

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestMain lets the test binary be a node's program: it echoes what connections send.
func TestMain(m *testing.M) {
	address := os.Getenv("NETNS_TEST_ECHO")
	if address == "" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() { _, _ = io.Copy(c, c) }()
	}
}

// network makes a network with one node that echoes.
func network(t *testing.T) (*Network, *Node, string) {
	t.Helper()
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	node, err := n.Add()
	if err != nil {
		t.Fatal(err)
	}
	address := node.Address + ":7"
	cmd := node.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NETNS_TEST_ECHO="+address)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return n, node, address
}

// echo sends a byte and demands it back.
func echo(c net.Conn, wait time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// connect waits until a node listens.
func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return c
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestNetwork(t *testing.T) {
	if err := Available(); err != nil {
		// Elsewhere it must say so, and nothing else can be shown.
		if n, err := New(); err == nil {
			t.Errorf("made %v where there can be none", n)
		}
		t.Log(err)
		return
	}
	n, node, address := network(t)
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for _, cut := range []struct {
		what     string
		cut, end func() error
	}{
		{"unplugged", node.Unplug, node.Plug},
		{"mute", func() error { return node.Mute(n.Address) }, func() error { return node.Unmute(n.Address) }},
	} {
		c := connect(t, address)
		check("before it is "+cut.what, echo(c, 10*time.Second))
		check(cut.what, cut.cut())
		if err := echo(c, 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want silence", cut.what, err)
		}
		check("end of "+cut.what, cut.end())
		// What was lost is sent again.
		check("after it was "+cut.what, echo(c, 30*time.Second))
	}
}

// TestNothingIsLeft: neither of a network that was closed, nor of a process that could
// not close its own.
func TestNothingIsLeft(t *testing.T) {
	if err := Available(); err != nil {
		t.Log(err)
		return
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	old := prefix + strconv.Itoa(gone.Process.Pid) + ".1"
	if err := errors.Join(ip("link", "add", old, "type", "bridge"), ip("netns", "add", old+"a")); err != nil {
		t.Fatal(err)
	}
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Add(); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{old, n.name} {
		if _, err := net.InterfaceByName(name); err == nil {
			t.Errorf("interface %s is still there", name)
		}
		if left, _ := filepath.Glob(filepath.Join(netnsDir, name+"*")); len(left) > 0 {
			t.Errorf("%v are still there", left)
		}
	}
}
