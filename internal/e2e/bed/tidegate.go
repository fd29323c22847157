package bed

import (
	"net"
	"strconv"
	"testing"
)

// Server is a control server's process and its addresses.
type Server struct {
	*Process
	GRPC, HTTP string
}

// NewServer describes a control server that asks nobody who they are; args say at least where
// its store is.
func NewServer(t testing.TB, bin string, args ...string) *Server {
	t.Helper()
	return NewAskingServer(t, bin, append([]string{"--open"}, args...)...)
}

// NewAskingServer describes a control server that asks who calls.
func NewAskingServer(t testing.TB, bin string, args ...string) *Server {
	t.Helper()
	a := FreeAddrs(t, 2)
	args = append([]string{"server", "--grpc-addr", a[0], "--http-addr", a[1], "--log-format", "json"}, args...)
	return &Server{Process: NewProcess(t, bin, a[1], "tidegate", args...), GRPC: a[0], HTTP: a[1]}
}

// Relay is a relay's process and its addresses.
type Relay struct {
	*Process
	GRPC, HTTP, Management string
}

// NewRelay describes a relay that follows the upstreams, addresses with commas; args are
// added to its command line.
func NewRelay(t testing.TB, bin, upstreams, stateDir string, args ...string) *Relay {
	t.Helper()
	return newRelay(t, bin, FreeAddrs(t, 4), upstreams, stateDir, args...)
}

// NewRelayAt is NewRelay in a place of its own: a host whose ports are all free, where
// command starts it.
func NewRelayAt(t testing.TB, bin, host string, command Command, upstreams, stateDir string, args ...string) *Relay {
	t.Helper()
	var a []string
	for port := 8013; port < 8017; port++ {
		a = append(a, net.JoinHostPort(host, strconv.Itoa(port)))
	}
	r := newRelay(t, bin, a, upstreams, stateDir, args...)
	r.command = command
	return r
}

func newRelay(t testing.TB, bin string, a []string, upstreams, stateDir string, args ...string) *Relay {
	t.Helper()
	args = append([]string{
		"--upstream", upstreams, "--environments", Environment, "--grpc-addr", a[0], "--http-addr", a[1],
		"--management-addr", a[2], "--flagd-sync-addr", a[3], "--state-dir", stateDir, "--region", "test", "--log-format", "json",
	}, args...)
	return &Relay{
		Process: NewProcess(t, bin, a[2], "tidegate-relay", args...),
		GRPC:    a[0], HTTP: a[1], Management: a[2],
	}
}
