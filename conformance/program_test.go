//go:build conformance

package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// request is what a program is asked: one JSON object a line on its standard input.
type request struct {
	ID int    `json:"id"`
	Op string `json:"op"` // connect, evaluate or status

	// connect
	Provider   string `json:"provider,omitempty"` // rpc, in-process or ofrep
	Host       string `json:"host,omitempty"`
	Port       int    `json:"port,omitempty"`
	Selector   string `json:"selector,omitempty"`
	Cache      bool   `json:"cache,omitempty"`
	DeadlineMS int    `json:"deadline_ms,omitempty"`
	BackoffMS  int    `json:"backoff_ms,omitempty"` // the first and the longest wait between attempts

	// evaluate
	Flag     string         `json:"flag,omitempty"`
	Type     string         `json:"type,omitempty"` // boolean, string, integer, double or object
	Fallback any            `json:"fallback,omitempty"`
	Context  map[string]any `json:"context,omitempty"`
}

// answer is what a program says: the answer to a request, or, without an id, an event of
// the provider.
type answer struct {
	ID    int    `json:"id"`
	Error string `json:"error"` // the request failed, or what the event says

	Value        any            `json:"value"`
	Variant      string         `json:"variant"`
	Reason       string         `json:"reason"`
	ErrorCode    string         `json:"error_code"`
	ErrorMessage string         `json:"error_message"`
	Metadata     map[string]any `json:"metadata"`

	Status string `json:"status"`

	Event string   `json:"event"`
	Flags []string `json:"flags"`
}

// program is a running program with one provider.
type program struct {
	target
	stdin io.WriteCloser
	log   *tail

	mu      sync.Mutex
	lastID  int
	pending map[int]chan answer
	events  []answer
	ended   chan struct{} // closed when nothing more will be answered
}

// start starts the program and connects its provider.
func start(t *testing.T, to target, options request) *program {
	t.Helper()
	p := &program{target: to, log: &tail{}, pending: map[int]chan answer{}, ended: make(chan struct{})}
	cmd := exec.Command(to.command[0], to.command[1:]...)
	cmd.Dir, cmd.Stderr = to.dir, p.log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", to, err)
	}
	p.stdin = stdin
	go p.read(stdout)
	t.Cleanup(func() {
		p.stdin.Close() // the program ends then
		select {
		case <-p.ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			t.Errorf("%s does not end when its input does", to)
		}
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s, end of its log:\n%s", to, p.log)
		}
	})
	options.Op, options.Provider, options.Host = "connect", to.mode, "127.0.0.1"
	options.Port, options.Selector = to.port(), to.selector()
	options.DeadlineMS = int(patience.Milliseconds())
	if _, err := p.call(t.Context(), options); err != nil {
		t.Fatalf("%s: connecting: %v\n%s", to, err, p.log)
	}
	return p
}

// read delivers what the program says until it ends.
func (p *program) read(stdout io.Reader) {
	defer close(p.ended)
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			fmt.Fprintf(p.log, "not an answer: %s: %v\n", lines.Bytes(), err)
			continue
		}
		p.mu.Lock()
		if a.ID == 0 {
			p.events = append(p.events, a)
		} else if waiting := p.pending[a.ID]; waiting != nil {
			delete(p.pending, a.ID)
			waiting <- a
		}
		p.mu.Unlock()
	}
}

// send asks without waiting; the channel gets the answer.
func (p *program) send(r request) (<-chan answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastID++
	r.ID = p.lastID
	line, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	waiting := make(chan answer, 1)
	p.pending[r.ID] = waiting
	_, err = p.stdin.Write(append(line, '\n'))
	return waiting, err
}

func (p *program) await(ctx context.Context, waiting <-chan answer) (answer, error) {
	select {
	case a := <-waiting:
		if a.Error != "" {
			return a, errors.New(a.Error)
		}
		return a, nil
	case <-p.ended:
		return answer{}, fmt.Errorf("%s has ended", p.target)
	case <-time.After(patience):
		return answer{}, fmt.Errorf("%s does not answer", p.target)
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// call asks and waits for the answer.
func (p *program) call(ctx context.Context, r request) (answer, error) {
	waiting, err := p.send(r)
	if err != nil {
		return answer{}, err
	}
	return p.await(ctx, waiting)
}

// evaluate asks for a flag; a failure of the program ends the test.
func (p *program) evaluate(t *testing.T, flag, kind string, fallback any, context map[string]any) answer {
	t.Helper()
	a, err := p.call(t.Context(), request{Op: "evaluate", Flag: flag, Type: kind, Fallback: fallback, Context: context})
	if err != nil {
		t.Fatalf("%s: %s: %v", p.target, flag, err)
	}
	return a
}

// seen returns the events so far.
func (p *program) seen() []answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]answer(nil), p.events...)
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
