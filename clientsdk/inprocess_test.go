package clientsdk_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidegate/tidegate/clientsdk"
)

func inProcess(t testing.TB, addr string, options ...clientsdk.InProcessOption) clientsdk.Client {
	t.Helper()
	options = append([]clientsdk.InProcessOption{clientsdk.WithStartTimeout(patience)}, options...)
	c, err := clientsdk.NewInProcess(context.Background(), addr, production, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// freeAddr is an address at which nobody listens.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestInProcessTypedCalls(t *testing.T) {
	u := newUpstream(t)
	u.put(typedFlags()...)
	c := inProcess(t, u.addr)
	testTypedCalls(t, c)
	s := c.Status()
	if s.State != clientsdk.StateReady || !s.Ready() || !s.Connected || s.Upstream != u.addr || s.Revision != 1 || s.Environment != production || s.Err != nil {
		t.Errorf("status %+v", s)
	}
}

func TestInProcessFollowsChanges(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", false), boolean("b", false))
	c := inProcess(t, u.addr)
	changes := make(chan []string, 10)
	c.OnChange(func(keys []string) { changes <- keys })

	u.put(boolean("a", true))
	if got := receive(t, "the change", changes); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("changed: %v", got)
	}
	if !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) {
		t.Error("the change was announced before it was served")
	}
	if c.IsEnabled(context.Background(), "b", clientsdk.Context{}) {
		t.Error("b changed too")
	}
}

func TestInProcessOutlivesItsUpstream(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", true))
	c := inProcess(t, u.addr, clientsdk.WithStaleAfter(200*time.Millisecond))
	states := make(chan clientsdk.Status, 100)
	c.OnState(func(s clientsdk.Status) { states <- s })
	ctx := context.Background()

	u.kill()
	eventually(t, "the loss is noticed", func() bool { s := c.Status(); return !s.Connected && s.Err != nil })
	for s := receive(t, "stale", states); s.State != clientsdk.StateStale; s = receive(t, "stale", states) {
	}
	d := c.BooleanDetails(ctx, "a", clientsdk.Context{}, false)
	if !d.Value || d.Reason != clientsdk.ReasonStale || d.Age <= 200*time.Millisecond || d.Err() != nil {
		t.Errorf("without upstream: %+v", d)
	}
	if d := c.BooleanDetails(ctx, "none", clientsdk.Context{}, false); d.Reason != clientsdk.ReasonError {
		t.Errorf("an error became %v", d.Reason)
	}

	u.start()
	u.put(boolean("a", false))
	eventually(t, "the client catches up", func() bool { return !c.IsEnabled(ctx, "a", clientsdk.Context{}) })
	for s := receive(t, "ready", states); s.State != clientsdk.StateReady; s = receive(t, "ready", states) {
	}
}

func TestInProcessTriesItsAddressesInTurn(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", true))
	c := inProcess(t, freeAddr(t), clientsdk.WithAddresses(u.addr))
	if s := c.Status(); s.Upstream != u.addr || !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) {
		t.Errorf("status %+v", s)
	}
}

func TestInProcessStartsWithoutFlags(t *testing.T) {
	u := newUpstream(t)
	c := inProcess(t, u.addr, clientsdk.WithStartTimeout(0))
	ctx := context.Background()
	d := c.BooleanDetails(ctx, "a", clientsdk.Context{}, true)
	if !d.Value || d.ErrorCode != clientsdk.ErrorProviderNotReady || d.Reason != clientsdk.ReasonError || d.ErrorMessage == "" {
		t.Errorf("before the first snapshot: %+v", d)
	}
	if c.IsEnabled(ctx, "a", clientsdk.Context{}) || c.Status().Ready() {
		t.Errorf("status %+v", c.Status())
	}
	states, changes := make(chan clientsdk.Status, 10), make(chan []string, 10)
	c.OnState(func(s clientsdk.Status) { states <- s })
	c.OnChange(func(keys []string) { changes <- keys })
	u.put(boolean("a", true))
	if err := c.WaitReady(patiently(t)); err != nil {
		t.Fatal(err)
	}
	if s := receive(t, "ready", states); s.State != clientsdk.StateReady {
		t.Errorf("state %+v", s)
	}
	u.put(boolean("b", true))
	if got := receive(t, "the second snapshot", changes); !reflect.DeepEqual(got, []string{"b"}) {
		t.Errorf("the first snapshot counts as a change, or the second does not: %v", got)
	}
}

func TestInProcessWithoutAContext(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", true))
	c, err := clientsdk.NewInProcess(nil, u.addr, production, clientsdk.WithStartTimeout(patience)) //nolint:staticcheck // what a careless caller does
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WaitReady(nil); err != nil || !c.IsEnabled(nil, "a", clientsdk.Context{}) { //nolint:staticcheck // as above
		t.Errorf("not enabled, %v", err)
	}
}

func TestInProcessStartErrors(t *testing.T) {
	addr := freeAddr(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := clientsdk.NewInProcess(ctx, addr, production)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), production) {
		t.Errorf("the caller's context ends: %v", err)
	}
	c, err := clientsdk.NewInProcess(context.Background(), addr, production, clientsdk.WithStartTimeout(50*time.Millisecond))
	if err != nil {
		t.Fatalf("the start timeout ends: %v", err)
	}
	defer c.Close()
	eventually(t, "the failure is known", func() bool { return c.Status().Err != nil })
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := c.WaitReady(short); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("WaitReady does not say what is in the way: %v", err)
	}
}

func TestOptionErrors(t *testing.T) {
	for name, make := range map[string]func() error{
		"no port": func() error {
			_, err := clientsdk.NewInProcess(context.Background(), "localhost", production)
			return err
		},
		"no environment": func() error {
			_, err := clientsdk.NewInProcess(context.Background(), "localhost:1", "")
			return err
		},
		"negative start timeout": func() error {
			_, err := clientsdk.NewInProcess(context.Background(), "localhost:1", production, clientsdk.WithStartTimeout(-1))
			return err
		},
		"negative stale after": func() error {
			_, err := clientsdk.NewRemote("localhost:1", production, clientsdk.WithStaleAfter(-1))
			return err
		},
		"named twice": func() error {
			_, err := clientsdk.NewRemote("localhost:1", production, clientsdk.WithAddresses("localhost:1"))
			return err
		},
		"no timeout": func() error {
			_, err := clientsdk.NewRemote("localhost:1", production, clientsdk.WithTimeout(0))
			return err
		},
	} {
		if err := make(); err == nil || !strings.HasPrefix(err.Error(), "clientsdk: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestInProcessStartsFromDisk(t *testing.T) {
	dir := t.TempDir()
	u := newUpstream(t)
	u.put(boolean("a", true))
	first := inProcess(t, u.addr, clientsdk.WithStateDir(dir))
	if _, err := clientsdk.NewInProcess(context.Background(), u.addr, production, clientsdk.WithStateDir(dir)); err == nil {
		t.Error("two clients share a state directory")
	}
	eventually(t, "the state is acknowledged", func() bool {
		f := u.hub.Followers()
		return len(f) == 1 && f[0].Acked[production].Revision == 1
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	u.kill()

	c := inProcess(t, u.addr, clientsdk.WithStateDir(dir), clientsdk.WithStartTimeout(50*time.Millisecond))
	if !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) || c.Status().Connected {
		t.Errorf("from disk: %+v", c.Status())
	}
	changes := make(chan []string, 10)
	c.OnChange(func(keys []string) { changes <- keys })
	u.start()
	u.put(boolean("a", false))
	if got := receive(t, "the change", changes); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("changed: %v", got)
	}
}

func TestInProcessWaitsForUpstreamToConfirmTheDisk(t *testing.T) {
	dir := t.TempDir()
	u := newUpstream(t)
	u.put(boolean("crashes-at-start", true))
	if err := inProcess(t, u.addr, clientsdk.WithStateDir(dir)).Close(); err != nil {
		t.Fatal(err)
	}
	u.put(boolean("crashes-at-start", false))
	c := inProcess(t, u.addr, clientsdk.WithStateDir(dir))
	if c.IsEnabled(context.Background(), "crashes-at-start", clientsdk.Context{}) {
		t.Error("started with the outdated flags on disk, although upstream answers")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// Nothing has changed meanwhile: upstream only confirms.
	c = inProcess(t, u.addr, clientsdk.WithStateDir(dir))
	if s := c.Status(); !s.Connected || s.Revision != 2 {
		t.Errorf("status %+v", s)
	}
}

func TestInProcessClose(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", false))
	c := inProcess(t, u.addr)
	closed := make(chan error, 1)
	c.OnChange(func([]string) { closed <- c.Close() })
	u.put(boolean("a", true))
	if err := receive(t, "Close in a callback", closed); err != nil {
		t.Error(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() { _ = c.Close() })
	}
	all.Wait()
	ctx := context.Background()
	if err := c.WaitReady(ctx); !errors.Is(err, clientsdk.ErrClosed) {
		t.Errorf("WaitReady: %v", err)
	}
	if s := c.Status(); s.State != clientsdk.StateClosed || s.Connected || s.Ready() || s.Err != nil {
		t.Errorf("status %+v", s)
	}
	if !c.IsEnabled(ctx, "a", clientsdk.Context{}) {
		t.Error("a closed client does not answer")
	}
	c.OnChange(func([]string) { t.Error("called after Close") })()
}

func TestInProcessUnderConcurrentChange(t *testing.T) {
	u := newUpstream(t)
	u.put(boolean("a", false), boolean("b", true))
	c := inProcess(t, u.addr)
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			var last int64
			for ctx.Err() == nil {
				d := c.BooleanDetails(ctx, "b", clientsdk.User("u").With("n", last), false)
				if !d.Value || d.EnvironmentRevision < last {
					t.Errorf("after revision %d: %+v", last, d)
					return
				}
				last = d.EnvironmentRevision
				stop := c.OnChange(func([]string) {})
				stop()
			}
		})
	}
	for i := range 100 {
		u.put(boolean("a", i%2 == 0))
	}
	eventually(t, "the last change arrives", func() bool { return c.Status().Revision == 101 })
	cancel()
	readers.Wait()
}
