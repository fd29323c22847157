package bed

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is one of our binaries; it can be killed and started again, with the same
// addresses and directories. It is killed at the end of the test.
type Process struct {
	t    testing.TB
	bin  string // the folder of the binaries
	name string
	args []string
	// http is where it answers /readyz and /metrics.
	http    string
	log     *tail
	command Command

	mu      sync.Mutex
	env     []string // beside our own
	running *running
}

// Command makes the command that starts a program; it says where.
type Command func(name string, args ...string) *exec.Cmd

// running is a process that was started.
type running struct {
	cmd *exec.Cmd
	// ended is closed when it has ended; err is then set.
	ended chan struct{}
	err   error
}

// NewProcess describes a process; nothing is started yet. http is the address where it
// answers /readyz and /metrics.
func NewProcess(t testing.TB, bin, http, name string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, bin: bin, name: name, args: args, http: http, log: &tail{}, command: exec.Command}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s %v, end of its log:\n%s", name, args, p.log)
		}
	})
	return p
}

// LogTo has all that the process writes be written to w, too; before it is started.
func (p *Process) LogTo(w io.Writer) { p.log.also = w }

// Name is the program's.
func (p *Process) Name() string { return p.name }

// SetEnv sets variables, NAME=VALUE, for the next start, in place of those set before.
func (p *Process) SetEnv(env ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.env = env
}

// AddArgs adds to the command line from the next start on.
func (p *Process) AddArgs(args ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.args = append(p.args, args...)
}

// Start starts the process and returns when it is ready.
func (p *Process) Start() {
	p.t.Helper()
	p.Launch()
	p.AwaitReady()
}

// Launch starts the process and does not wait.
func (p *Process) Launch() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := p.command(filepath.Join(p.bin, p.name), p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	r := &running{cmd: cmd, ended: make(chan struct{})}
	go func() {
		r.err = cmd.Wait()
		close(r.ended)
	}()
	p.running = r
}

// AwaitReady waits until the process is ready; that it ends instead fails the test.
func (p *Process) AwaitReady() {
	p.t.Helper()
	Eventually(p.t, p.name+" is ready at "+p.http, func() error {
		select {
		case <-p.Ended():
			p.t.Fatalf("%s ended by itself", p.name)
		default:
		}
		_, err := p.Get("/readyz")
		return err
	})
}

// Get asks for a path at the address of probes and metrics.
func (p *Process) Get(path string) ([]byte, error) { return Get("http://" + p.http + path) }

// Ended is closed when the process that was started last has ended.
func (p *Process) Ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return p.running.ended
}

// Alive tells whether the process runs.
func (p *Process) Alive() bool {
	select {
	case <-p.Ended():
		return false
	default:
		return true
	}
}

// PID is the id of the process that was started last; 0: there is none.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return 0
	}
	return p.running.cmd.Process.Pid
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() { _ = p.end(os.Kill) }

// Terminate ends the process with SIGTERM, and returns how it ended.
func (p *Process) Terminate() error { return p.end(syscall.SIGTERM) }

func (p *Process) end(signal os.Signal) error {
	p.mu.Lock()
	r := p.running
	p.running = nil
	p.mu.Unlock()
	if r == nil {
		return nil
	}
	_ = r.cmd.Process.Signal(signal) // it may be gone
	select {
	case <-r.ended:
	case <-time.After(Patience):
		_ = r.cmd.Process.Kill()
		<-r.ended
		return fmt.Errorf("%s went on for %v after signal %v", p.name, Patience, signal)
	}
	return r.err
}

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		p.t.Fatalf("%s does not run: signal %v", p.name, s)
	}
	if err := p.running.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("%s: signal %v: %v", p.name, s, err)
	}
}

// Log is the end of what the process has written.
func (p *Process) Log() string { return p.log.String() }

// Metric is the sum of a metric's series whose labels contain a text.
func (p *Process) Metric(name, labels string) (sum float64, err error) {
	body, err := p.Get("/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		space := strings.LastIndexByte(line, ' ')
		series, value := line[:max(space, 0)], line[space+1:]
		metric, rest, _ := strings.Cut(series, "{")
		if metric != name || !strings.Contains(rest, labels) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", series, err)
		}
		sum += v
	}
	return sum, nil
}

// Usage is what a process uses of what can leak.
type Usage struct {
	RSS        int64 // bytes
	Goroutines int
	Files      int
}

func (u Usage) String() string {
	return fmt.Sprintf("%d MiB, %d goroutines, %d files", u.RSS>>20, u.Goroutines, u.Files)
}

// Usage measures a process that runs; on Linux.
func (p *Process) Usage() (u Usage, err error) {
	goroutines, err := p.Metric("go_goroutines", "")
	if err != nil {
		return u, err
	}
	u.Goroutines = int(goroutines)
	proc := filepath.Join("/proc", strconv.Itoa(p.PID()))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return u, err
	}
	u.Files = len(files)
	statm, err := os.ReadFile(filepath.Join(proc, "statm"))
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return u, fmt.Errorf("statm is %q", statm)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	u.RSS = pages * int64(os.Getpagesize())
	return u, err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	also io.Writer // may be nil
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 64<<10 {
		l.buf.Next(l.buf.Len() - 16<<10)
	}
	if l.also != nil {
		_, _ = l.also.Write(p) // a test's, which does not fail
	}
	return l.buf.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
