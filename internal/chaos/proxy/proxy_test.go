package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = 30 * time.Second

// pair is a proxy with one connection through it, and its two ends.
type pair struct {
	*Proxy
	client, target *net.TCPConn
}

func newPair(t *testing.T) *pair {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := New(l.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	client, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	target, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, target} {
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the connection is known", func() bool { return p.Stats().Open == 1 })
	return &pair{p, client.(*net.TCPConn), target.(*net.TCPConn)}
}

func send(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn, n int) []byte {
	t.Helper()
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// silent demands that nothing arrives for a moment.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want silence", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// isReset demands that a connection ends with RST.
func isReset(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended with %v, want a reset", err)
	}
}

func TestForwards(t *testing.T) {
	p := newPair(t)
	up, down := bytes.Repeat([]byte("up"), 1<<20), bytes.Repeat([]byte("down"), 1<<19)
	go func() { _, _ = p.client.Write(up); _ = p.client.CloseWrite() }()
	go func() { _, _ = p.target.Write(down); _ = p.target.CloseWrite() }()
	for c, want := range map[*net.TCPConn][]byte{p.target: up, p.client: down} {
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, %v; want %d, as sent", len(got), err, len(want))
		}
	}
	await(t, "the connection is over", func() bool { return p.Stats().Open == 0 })
	s := p.Stats()
	if s.UpBytes != int64(len(up)) || s.DownBytes != int64(len(down)) || s.Accepted != 1 || s.Resets != 0 {
		t.Errorf("%+v", s)
	}
}

func TestDelay(t *testing.T) {
	p := newPair(t)
	const delay = 80 * time.Millisecond
	p.SetUp(Direction{Delay: delay, Jitter: 5 * time.Millisecond})
	start := time.Now()
	for i := range 10 {
		send(t, p.client, []byte{byte(i)})
	}
	if got := receive(t, p.target, 10); !bytes.Equal(got, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("out of order: %v", got)
	}
	if took := time.Since(start); took < delay {
		t.Errorf("up took %v, want at least %v", took, delay)
	}
	// The other way is not delayed, which would take more than all the deadline.
	p.SetUp(Direction{Delay: time.Hour})
	send(t, p.target, []byte("x"))
	receive(t, p.client, 1)
}

func TestRate(t *testing.T) {
	p := newPair(t)
	p.SetDown(Direction{Rate: 100_000})
	start := time.Now()
	send(t, p.target, make([]byte, 20_000))
	receive(t, p.client, 20_000)
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("20 kB at 100 kB/s took %v", took)
	}
}

func TestStall(t *testing.T) {
	p := newPair(t)
	p.SetUp(Direction{Stall: true})
	send(t, p.client, []byte("later"))
	silent(t, p.target)
	send(t, p.target, []byte("x"))
	receive(t, p.client, 1) // the other way goes on

	// What cannot go on fills the sender's buffers.
	if err := p.client.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := p.client.Write(make([]byte, 64<<20))
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d bytes, %v; want to be blocked", n, err)
	}
	p.Heal()
	if got := receive(t, p.target, 5+n); string(got[:5]) != "later" {
		t.Errorf("got %q first", got[:5])
	}
}

func TestSwallow(t *testing.T) {
	p := newPair(t)
	p.SetDown(Direction{Swallow: true})
	send(t, p.target, []byte("lost"))
	await(t, "it is swallowed", func() bool { return p.Stats().Swallowed == 4 })
	silent(t, p.client)
	send(t, p.client, []byte("up"))
	receive(t, p.target, 2)

	// A stream with a hole in it does not go on.
	p.Heal()
	send(t, p.target, []byte("more"))
	isReset(t, p.client)
	if s := p.Stats(); s.DownBytes != 0 || s.Resets != 1 {
		t.Errorf("%+v", s)
	}
}

func TestCorrupt(t *testing.T) {
	flips := func(p *pair) (at []int) {
		p.SetUp(Direction{CorruptEvery: 1000})
		data := make([]byte, 100_000)
		send(t, p.client, data)
		flipped := 0
		for i, b := range receive(t, p.target, len(data)) {
			if b != 0 {
				at = append(at, i)
				flipped += bits.OnesCount8(b)
			}
		}
		if n := p.Stats().Flipped; flipped != len(at) || int64(flipped) != n {
			t.Errorf("%d bits in %d bytes differ, %d were flipped", flipped, len(at), n)
		}
		return at
	}
	first := flips(newPair(t))
	if n := len(first); n < 50 || n > 200 {
		t.Errorf("%d of 100,000 bytes differ, want about 100", n)
	}
	second := flips(newPair(t))
	for i := range first {
		if first[i] != second[i] {
			t.Fatalf("with the same seed other bytes differ: %v, then %v", first, second)
		}
	}
}

func TestCutAfter(t *testing.T) {
	p := newPair(t)
	send(t, p.target, []byte("before"))
	receive(t, p.client, 6)
	p.SetDown(Direction{CutAfter: 10})
	send(t, p.target, bytes.Repeat([]byte("x"), 100))
	got, err := io.ReadAll(p.client)
	if !errors.Is(err, syscall.ECONNRESET) || len(got) > 10 {
		t.Errorf("got %d bytes, then %v; want at most 10, then a reset", len(got), err)
	}
	isReset(t, p.target)
	if n := p.Stats().DownBytes; n != 16 {
		t.Errorf("%d bytes were passed on, want 6 + 10", n)
	}
}

func TestReset(t *testing.T) {
	p := newPair(t)
	p.Reset()
	isReset(t, p.client)
	isReset(t, p.target)
}

func TestRefuse(t *testing.T) {
	p := newPair(t)
	p.Refuse(true)
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		isReset(t, c)
		c.Close()
	}
	send(t, p.client, []byte("x")) // what is connected stays so
	receive(t, p.target, 1)
	await(t, "it is counted", func() bool { return p.Stats().RefusedOrUnserved == 1 })
}

// TestTargetIsNotThere: a client is told at once.
func TestTargetIsNotThere(t *testing.T) {
	p := newPair(t)
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		isReset(t, c)
		c.Close()
	}
	await(t, "it is counted", func() bool { return p.Stats().RefusedOrUnserved == 1 })
}

// TestCloseWhileStalled: nothing is left behind, whatever the connections wait for.
func TestCloseWhileStalled(t *testing.T) {
	p := newPair(t)
	p.Set(Direction{Stall: true}, Direction{Delay: time.Hour})
	send(t, p.client, []byte("x"))
	send(t, p.target, []byte("x"))
	await(t, "both are taken", func() bool { return p.Stats().Open == 1 })
}
