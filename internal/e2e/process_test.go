package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// patience bounds every wait: generous, as machines are slow and shared.
const patience = 60 * time.Second

// process is one of our binaries; it can be killed and started again.
type process struct {
	t     *testing.T
	name  string
	args  []string
	ready string // URL that answers 200 when the process serves

	mu  sync.Mutex
	cmd *exec.Cmd
	log *tail
}

func newProcess(t *testing.T, ready, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, args: args, ready: ready, log: &tail{}}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %v, end of its log:\n%s", name, args, p.log.String())
		}
	})
	return p
}

// start starts the process and returns when its ready URL answers.
func (p *process) start() {
	p.t.Helper()
	p.launch()
	eventually(p.t, p.name+" is ready at "+p.ready, func() error { return get(p.ready) })
}

func (p *process) launch() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.Command(filepath.Join(bin, p.name), p.args...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	p.cmd = cmd
}

// kill ends the process with SIGKILL and waits for its end.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

// server is a control server's process and its addresses.
type server struct {
	*process
	grpc, http string
}

func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	a := freeAddrs(t, 2)
	args = append([]string{"server", "--grpc-addr", a[0], "--http-addr", a[1], "--log-format", "json"}, args...)
	return &server{process: newProcess(t, "http://"+a[1]+"/readyz", "tidegate", args...), grpc: a[0], http: a[1]}
}

// edge is a relay's process and its addresses.
type edge struct {
	*process
	grpc, management string
}

func newEdge(t *testing.T, upstream, stateDir string) *edge {
	t.Helper()
	a := freeAddrs(t, 4)
	return &edge{
		process: newProcess(t, "http://"+a[2]+"/readyz", "tidegate-relay",
			"--upstream", upstream, "--environments", "production", "--grpc-addr", a[0], "--http-addr", a[1],
			"--management-addr", a[2], "--flagd-sync-addr", a[3], "--state-dir", stateDir, "--region", "test", "--log-format", "json"),
		grpc: a[0], management: a[2],
	}
}

// freeAddrs returns loopback addresses that were free a moment ago; a process that is
// started again needs the same one.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	// Calls wait for a process that was killed to be back; it is so within moments.
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: time.Second, Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, MaxDelay: 100 * time.Millisecond},
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
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

func get(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 64<<10 {
		l.buf.Next(l.buf.Len() - 16<<10)
	}
	return l.buf.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
