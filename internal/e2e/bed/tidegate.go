package bed

import "testing"

// Server is a control server's process and its addresses.
type Server struct {
	*Process
	GRPC, HTTP string
}

// NewServer describes a control server; args say at least where its store is.
func NewServer(t testing.TB, bin string, args ...string) *Server {
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
	a := FreeAddrs(t, 4)
	args = append([]string{
		"--upstream", upstreams, "--environments", Environment, "--grpc-addr", a[0], "--http-addr", a[1],
		"--management-addr", a[2], "--flagd-sync-addr", a[3], "--state-dir", stateDir, "--region", "test", "--log-format", "json",
	}, args...)
	return &Relay{
		Process: NewProcess(t, bin, a[2], "tidegate-relay", args...),
		GRPC:    a[0], HTTP: a[1], Management: a[2],
	}
}
