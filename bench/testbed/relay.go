package testbed

import (
	"context"
	"os/exec"
	"path/filepath"

	"github.com/tidegate/tidegate/internal/loopback"
)

// Relay is a relay's process.
type Relay struct {
	// The addresses for gRPC and for HTTP; they stay the same over restarts.
	Addr, HTTPAddr string

	bin  string
	args []string
	cmd  *exec.Cmd
}

// StartRelay starts a relay of a region, which is its name, too, from the binaries in bin,
// with its data in dir.
func StartRelay(ctx context.Context, bin, dir, region, upstream string) (*Relay, error) {
	addrs, err := loopback.Addrs(4)
	if err != nil {
		return nil, err
	}
	r := &Relay{Addr: addrs[0], HTTPAddr: addrs[1], bin: bin, args: []string{
		"--upstream", upstream, "--environments", Environment, "--instance-id", region, "--region", region,
		"--grpc-addr", addrs[0], "--http-addr", addrs[1], "--management-addr", addrs[2], "--flagd-sync-addr", addrs[3],
		"--state-dir", filepath.Join(dir, region), "--log-level", "error",
	}}
	return r, r.Start(ctx)
}

// Start starts the relay again, after Stop.
func (r *Relay) Start(ctx context.Context) (err error) {
	r.cmd, err = spawn(ctx, filepath.Join(r.bin, "tidegate-relay"), r.args...)
	return err
}

// Stop ends the relay as an operator would.
func (r *Relay) Stop() { end(r.cmd); r.cmd = nil }

// PID is the relay's process id.
func (r *Relay) PID() int { return r.cmd.Process.Pid }
