package clientsdk_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/clientsdk"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// remoteModes runs a test over single calls and over a stream.
func remoteModes(t *testing.T, test func(t *testing.T, options ...clientsdk.RemoteOption)) {
	t.Run("unary", func(t *testing.T) { test(t, clientsdk.WithTimeout(patience)) })
	t.Run("stream", func(t *testing.T) { test(t, clientsdk.WithTimeout(patience), clientsdk.WithStream()) })
}

func remote(t testing.TB, addr string, options ...clientsdk.RemoteOption) clientsdk.Client {
	t.Helper()
	c, err := clientsdk.NewRemote(addr, production, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestRemoteTypedCalls(t *testing.T) {
	f := newFakeRelay(t, typedFlags()...)
	remoteModes(t, func(t *testing.T, options ...clientsdk.RemoteOption) {
		c := remote(t, f.addr, options...)
		testTypedCalls(t, c)
		if err := c.WaitReady(patiently(t)); err != nil {
			t.Fatal(err)
		}
		s := c.Status()
		if s.State != clientsdk.StateReady || !s.Connected || s.Revision != 1 || s.Upstream != f.addr || s.Environment != production || s.Age <= 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestRemoteSendsTheContext(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	var got *evaluationv1.EvaluationContext
	f.set(func() {
		f.intercept = func(_ context.Context, r *evaluationv1.EvaluateRequest) error { got = r.GetContext(); return nil }
	})
	c := remote(t, f.addr, clientsdk.WithTimeout(patience))
	ec := clientsdk.NewContext("u\xff", map[string]any{
		"country": "CA", "n": 3, "big": int64(1) << 60, "ok": true, "list": []any{"a", nil}, "device": map[string]any{"os": "x"},
	})
	if !c.IsEnabled(context.Background(), "a", ec) {
		t.Fatal("not enabled")
	}
	want := map[string]any{
		"country": "CA", "n": 3.0, "big": "1152921504606846976", "ok": true, "list": []any{"a", nil}, "device": map[string]any{"os": "x"},
	}
	if got.GetTargetingKey() != "u\uFFFD" || !reflect.DeepEqual(got.GetAttributes().AsMap(), want) {
		t.Errorf("sent %v", got)
	}
}

func TestRemoteWithoutAContext(t *testing.T) {
	c := remote(t, newFakeRelay(t, boolean("a", true)).addr, clientsdk.WithTimeout(patience))
	if !c.IsEnabled(nil, "a", clientsdk.Context{}) { //nolint:staticcheck // what a careless caller does
		t.Error("not enabled")
	}
	if err := c.WaitReady(nil); err != nil { //nolint:staticcheck // as above
		t.Error(err)
	}
}

func TestRemoteFailures(t *testing.T) {
	f := newFakeRelay(t, boolean("a", false))
	remoteModes(t, func(t *testing.T, options ...clientsdk.RemoteOption) {
		c := remote(t, f.addr, options...)
		for name, tt := range map[string]struct {
			err     error
			code    clientsdk.ErrorCode
			message string
		}{
			"not ready": {status.Error(codes.Unavailable, "no snapshot"), clientsdk.ErrorProviderNotReady, "no snapshot"},
			"invalid":   {status.Error(codes.InvalidArgument, "bad key"), clientsdk.ErrorGeneral, "bad key"},
			"no relay":  {status.Error(codes.Unimplemented, "unknown service"), clientsdk.ErrorGeneral, f.addr + " is no relay"},
		} {
			f.set(func() {
				f.intercept = func(context.Context, *evaluationv1.EvaluateRequest) error { return tt.err }
			})
			d := c.BooleanDetails(context.Background(), "a", clientsdk.Context{}, true)
			if !d.Value || d.Reason != clientsdk.ReasonError || d.ErrorCode != tt.code || !strings.Contains(d.ErrorMessage, tt.message) {
				t.Errorf("%s: %+v", name, d)
			}
		}
		f.set(func() { f.intercept = nil })
		if c.Boolean(context.Background(), "a", clientsdk.Context{}, true) {
			t.Error("a failure outlasts its cause")
		}
	})
}

func TestRemoteTimeout(t *testing.T) {
	f := newFakeRelay(t, boolean("a", false))
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	f.set(func() {
		f.intercept = func(context.Context, *evaluationv1.EvaluateRequest) error { <-release; return nil }
	})
	for name, option := range map[string]clientsdk.RemoteOption{"unary": clientsdk.WithTimeout(20 * time.Millisecond), "stream": clientsdk.WithStream()} {
		c := remote(t, f.addr, clientsdk.WithTimeout(20*time.Millisecond), option)
		d := c.BooleanDetails(context.Background(), "a", clientsdk.Context{}, true)
		if !d.Value || d.ErrorCode != clientsdk.ErrorGeneral || !strings.Contains(d.ErrorMessage, "20ms") {
			t.Errorf("%s: %+v", name, d)
		}
		cancelled, cancel := context.WithCancel(context.Background())
		cancel()
		if d := c.BooleanDetails(cancelled, "a", clientsdk.Context{}, true); !d.Value || d.ErrorCode != clientsdk.ErrorGeneral {
			t.Errorf("%s: cancelled: %+v", name, d)
		}
	}
}

func TestRemoteWithoutItsRelay(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	remoteModes(t, func(t *testing.T, options ...clientsdk.RemoteOption) {
		c := remote(t, f.addr, options...)
		ctx := context.Background()
		if err := c.WaitReady(patiently(t)); err != nil {
			t.Fatal(err)
		}
		states := make(chan clientsdk.Status, 10)
		c.OnState(func(s clientsdk.Status) { states <- s })
		f.kill()
		if s := receive(t, "the loss", states); s.State != clientsdk.StateError || s.Err == nil || s.Connected {
			t.Errorf("status %+v", s)
		}
		// The timeout is far longer than this test may take: it must not wait for it.
		d := c.BooleanDetails(ctx, "a", clientsdk.Context{}, false)
		if d.Value || d.ErrorCode != clientsdk.ErrorProviderNotReady {
			t.Errorf("without a relay: %+v", d)
		}
		f.start()
		if s := receive(t, "the return", states); s.State != clientsdk.StateReady || s.Err != nil {
			t.Errorf("status %+v", s)
		}
		eventually(t, "the relay answers again", func() bool { return c.IsEnabled(ctx, "a", clientsdk.Context{}) })
	})
}

func TestRemoteNotReady(t *testing.T) {
	c := remote(t, freeAddr(t))
	eventually(t, "the failure is known", func() bool { return c.Status().Err != nil })
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := c.WaitReady(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("WaitReady does not say what is in the way: %v", err)
	}
	if s := c.Status(); s.State != clientsdk.StateNotReady {
		t.Errorf("status %+v", s)
	}
}

func TestRemoteTriesItsAddressesInTurn(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	c := remote(t, freeAddr(t), clientsdk.WithAddresses(f.addr), clientsdk.WithTimeout(patience))
	if !c.IsEnabled(context.Background(), "a", clientsdk.Context{}) {
		t.Error("the second address was not tried")
	}
}

func TestRemoteStale(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	c := remote(t, f.addr, clientsdk.WithTimeout(patience), clientsdk.WithStaleAfter(time.Minute))
	if err := c.WaitReady(patiently(t)); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	f.set(func() { f.stale = true })
	d := c.BooleanDetails(ctx, "a", clientsdk.Context{}, false)
	if !d.Value || d.Reason != clientsdk.ReasonStale || d.Age != time.Minute || c.Status().State != clientsdk.StateStale {
		t.Errorf("%+v, %+v", d, c.Status())
	}
	f.set(func() { f.stale = false })
	c.IsEnabled(ctx, "a", clientsdk.Context{})
	if c.Status().State != clientsdk.StateReady {
		t.Errorf("%+v", c.Status())
	}
}

func TestRemoteChanges(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true), boolean("b", true), checkout())
	c := remote(t, f.addr, clientsdk.WithTimeout(patience))
	changes := make(chan []string, 10)
	c.OnChange(func(keys []string) { changes <- keys })
	ctx := context.Background()
	c.IsEnabled(ctx, "a", clientsdk.Context{})
	c.IsEnabled(ctx, "new-checkout", clientsdk.User("u"))
	c.IsEnabled(ctx, "later", clientsdk.Context{})
	eventually(t, "the flags in use are watched", func() bool {
		return slices.Equal(f.watched(), []string{"a", "later", "new-checkout"})
	})

	f.put(boolean("b", false)) // not in use
	off := checkout()
	off.Enabled = false
	f.put(off)
	if got := receive(t, "the kill switch", changes); !slices.Equal(got, []string{"new-checkout"}) {
		t.Errorf("changed: %v", got)
	}
	f.put(boolean("later", true))
	if got := receive(t, "a new flag", changes); !slices.Equal(got, []string{"later"}) {
		t.Errorf("changed: %v", got)
	}
	f.change(nil, []string{"a"})
	if got := receive(t, "a deleted flag", changes); !slices.Equal(got, []string{"a"}) {
		t.Errorf("changed: %v", got)
	}
}

func TestRemoteChangesReachDependants(t *testing.T) {
	child := boolean("child", true)
	child.OffVariant = "off"
	child.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "parent", Variants: []string{"on"}}}
	f := newFakeRelay(t, boolean("parent", true), child)
	c := remote(t, f.addr, clientsdk.WithTimeout(patience))
	changes := make(chan []string, 10)
	c.OnChange(func(keys []string) { changes <- keys })
	if !c.IsEnabled(context.Background(), "child", clientsdk.Context{}) {
		t.Fatal("child is off")
	}
	eventually(t, "the flag in use is watched", func() bool {
		return slices.Equal(f.watched(), []string{"child"})
	})
	f.put(boolean("parent", false))
	if got := receive(t, "the change", changes); !slices.Equal(got, []string{"child"}) {
		t.Errorf("changed: %v", got)
	}
}

func TestRemoteNoticesAChangeByEvaluating(t *testing.T) {
	f := newFakeRelay(t, checkout())
	c := remote(t, f.addr, clientsdk.WithTimeout(patience))
	changes := make(chan []string, 10)
	c.OnChange(func(keys []string) { changes <- keys })
	ctx := context.Background()
	c.IsEnabled(ctx, "new-checkout", clientsdk.User("u"))
	renamed := checkout()
	renamed.Rules[0].Id = "north"
	f.put(renamed) // the empty context's answer stays
	c.IsEnabled(ctx, "new-checkout", clientsdk.User("u"))
	if got := receive(t, "the change", changes); !slices.Equal(got, []string{"new-checkout"}) {
		t.Errorf("changed: %v", got)
	}
}

func TestRemoteMissesNoChangeWhileAway(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	c := remote(t, f.addr, clientsdk.WithTimeout(patience))
	changes := make(chan []string, 10)
	c.OnChange(func(keys []string) { changes <- keys })
	c.IsEnabled(context.Background(), "a", clientsdk.Context{})
	f.kill()
	f.put(boolean("a", false))
	f.start()
	if got := receive(t, "the change", changes); !slices.Equal(got, []string{"a"}) {
		t.Errorf("changed: %v", got)
	}
}

func TestRemoteStreamSurvivesItsEnd(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	c := remote(t, f.addr, clientsdk.WithTimeout(patience), clientsdk.WithStream())
	ctx := context.Background()
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.set(func() {
		f.intercept = func(context.Context, *evaluationv1.EvaluateRequest) error {
			once.Do(func() { close(entered); <-release })
			return nil
		}
	})
	answer := make(chan bool)
	go func() { answer <- c.IsEnabled(ctx, "a", clientsdk.Context{}) }()
	receive(t, "the request arrives", entered)
	queued := make(chan bool)
	go func() { queued <- c.IsEnabled(ctx, "a", clientsdk.Context{}) }()
	f.endStreams()
	close(release)
	if !receive(t, "the answer", answer) || !receive(t, "the answer of the next", queued) {
		t.Error("an evaluation was lost with its stream")
	}
}

func TestRemoteStreamServesManyCallers(t *testing.T) {
	f := newFakeRelay(t, typedFlags()...)
	c := remote(t, f.addr, clientsdk.WithTimeout(patience), clientsdk.WithStream())
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for n := range 100 {
				ctx, cancel := context.WithCancel(context.Background())
				if (i+n)%7 == 0 {
					go cancel() // some give up; the others must not be disturbed
					c.IsEnabled(ctx, "bool", clientsdk.Context{})
					continue
				}
				if i%2 == 0 && c.Int(ctx, "int", clientsdk.Context{}, 0) != 42 || i%2 == 1 && c.String(ctx, "string", clientsdk.Context{}, "") != "text" {
					t.Error("got another caller's answer, or none")
				}
				cancel()
			}
		})
	}
	for range 5 {
		f.endStreams()
	}
	callers.Wait()
}

func TestRemoteClose(t *testing.T) {
	f := newFakeRelay(t, boolean("a", true))
	remoteModes(t, func(t *testing.T, options ...clientsdk.RemoteOption) {
		c := remote(t, f.addr, options...)
		ctx := context.Background()
		c.IsEnabled(ctx, "a", clientsdk.Context{})
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		d := c.BooleanDetails(ctx, "a", clientsdk.Context{}, true)
		if !d.Value || d.ErrorCode != clientsdk.ErrorProviderNotReady || !strings.Contains(d.ErrorMessage, "the client is closed") {
			t.Errorf("after Close: %+v", d)
		}
		if err := c.WaitReady(ctx); !errors.Is(err, clientsdk.ErrClosed) {
			t.Errorf("WaitReady: %v", err)
		}
		if s := c.Status(); s.State != clientsdk.StateClosed {
			t.Errorf("status %+v", s)
		}
	})
}
