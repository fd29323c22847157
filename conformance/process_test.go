//go:build conformance

package conformance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// process is one of our binaries; it can be killed and started again.
type process struct {
	t      *testing.T
	name   string
	args   []string
	health string // address that answers /readyz
	cmd    *exec.Cmd
	log    *tail
}

func newProcess(t *testing.T, health, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, args: args, health: health, log: &tail{}}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %v, end of its log:\n%s", name, args, p.log)
		}
	})
	return p
}

// start starts the process and returns when it is ready.
func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(filepath.Join(bin, p.name), p.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	eventually(p.t, p.name+" is ready", func() error {
		ctx, cancel := context.WithTimeout(p.t.Context(), patience)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.health+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %s", resp.Status)
		}
		return nil
	})
}

// kill ends the process with SIGKILL and waits for its end.
func (p *process) kill() { p.end(os.Kill) }

// stop ends the process as an operator would and waits for its end.
func (p *process) stop() { p.end(os.Interrupt) }

func (p *process) end(how os.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(how)
	_ = p.cmd.Wait()
	p.cmd = nil
}

// eventually tries until what succeeds, and fails the test with its last error.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", patience, what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// freePorts returns loopback ports that were free a moment ago; a process that is started
// again needs the same ones.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", loopback(0))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func dial(t *testing.T, port int) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(loopback(port), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(256<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
