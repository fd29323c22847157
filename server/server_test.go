package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// A restarted server has its flags, revisions, epoch and instance id.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, Options{DataDir: dir})
	before := s.create("kept")
	instance, epoch := s.welcome("production")
	s.stop()

	s = start(t, Options{DataDir: dir})
	after, err := s.flags.GetFlag(t.Context(), &controlv1.GetFlagRequest{Environment: "production", FlagKey: "kept"})
	if err != nil || after.GetFlag().GetRevision() != before.GetRevision() {
		t.Errorf("after the restart: got %v, %v; want revision %d", after, err, before.GetRevision())
	}
	if i, e := s.welcome("production"); i != instance || e != epoch {
		t.Errorf("after the restart: instance %s, epoch %s; want %s, %s", i, e, instance, epoch)
	}
}

// welcome opens a sync stream and returns the server's instance id and its epoch.
func (r *running) welcome(environment string) (instance, epoch string) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	stream, err := syncv1.NewSyncServiceClient(r.conn).Stream(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	err = stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
		Protocol: 1, InstanceId: "test", BootId: "1", Path: []string{"test"}, Scopes: []*syncv1.Scope{{Environment: environment}},
	}}})
	if err != nil {
		r.t.Fatal(err)
	}
	for epoch == "" {
		m, err := stream.Recv()
		if err != nil {
			r.t.Fatal(err)
		}
		if w := m.GetWelcome(); w != nil {
			instance = w.GetInstanceId()
			if w.GetHops() != 0 {
				r.t.Errorf("hops: got %d, want 0", w.GetHops())
			}
		}
		if b := m.GetUpdate().GetBegin(); b != nil {
			epoch = b.GetTarget().GetEpoch().String()
		}
	}
	return instance, epoch
}

// A follower is told that the server drains, and the server ends.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	stream, err := syncv1.NewSyncServiceClient(s.conn).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Hello{Hello: &syncv1.Hello{
		Protocol: 1, InstanceId: "test", BootId: "1", Path: []string{"test"}, Scopes: []*syncv1.Scope{{Environment: "dev"}},
	}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	done := make(chan *syncv1.Goodbye, 1)
	go func() {
		var last *syncv1.Goodbye
		for {
			m, err := stream.Recv()
			if err != nil {
				done <- last
				return
			}
			last = m.GetGoodbye()
		}
	}()
	s.server.drain() // not s.stop: the connection must live to hear the goodbye
	if g := <-done; g.GetCode() != syncv1.Goodbye_CODE_DRAINING {
		t.Errorf("last message: got %v, want Goodbye DRAINING", g)
	}
	if code, body := s.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, `"draining": true`) {
		t.Errorf("/readyz while draining: got %d %s", code, body)
	}
}

func TestDescribesItself(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := reflectionv1.NewServerReflectionClient(s.conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	list, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	text := list.String()
	for _, service := range []string{
		"tidegate.control.v1.FlagService", "tidegate.control.v1.SegmentService",
		"tidegate.control.v1.EnvironmentService", "tidegate.sync.v1.SyncService",
	} {
		if !strings.Contains(text, service) {
			t.Errorf("reflection does not list %s", service)
		}
		h, err := healthv1.NewHealthClient(s.conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health of %s: got %v, %v", service, h, err)
		}
	}
}

// unavailable is a store that stopped answering.
type unavailable struct{ store.Store }

func (u unavailable) Commit(context.Context, store.Txn) (store.Outcome, error) {
	return store.Outcome{}, fmt.Errorf("%w: no leader", store.ErrUnavailable)
}

func TestStoreUnavailable(t *testing.T) {
	t.Parallel()
	working := memstore.New()
	s := start(t, Options{Store: working})
	s.create("before")
	s.stop()

	_, err := Open(t.Context(), Options{
		Store: unavailable{memstore.New()}, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0",
	})
	if err == nil || !strings.Contains(err.Error(), "load the environments") {
		t.Errorf("Open on a store that does not answer: got %v", err)
	}
}

// failing passes to a store until it is told to fail.
type failing struct {
	store.Store
	broken chan struct{}
}

func (f failing) Commit(ctx context.Context, txn store.Txn) (store.Outcome, error) {
	select {
	case <-f.broken:
		return store.Outcome{}, fmt.Errorf("%w: no leader", store.ErrUnavailable)
	default:
		return f.Store.Commit(ctx, txn)
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	f := failing{memstore.New(), make(chan struct{})}
	s := start(t, Options{Store: f})
	close(f.broken)
	_, err := s.flags.CreateFlag(as(t), &controlv1.CreateFlagRequest{Environment: "production", Flag: boolean("a"), Reason: "test"})
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || len(st.Details()) != 1 {
		t.Fatalf("got %v %v, want UNAVAILABLE with RetryInfo", err, st.Details())
	}
	if _, ok := st.Details()[0].(*errdetails.RetryInfo); !ok {
		t.Errorf("detail: got %T, want RetryInfo", st.Details()[0])
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name string
		o    Options
		says []string
		is   error
	}{
		{"no store", Options{}, []string{"data directory", "etcd endpoints"}, nil},
		{"no port", Options{DataDir: "x", GRPCAddr: "localhost"}, []string{`"localhost"`, "HOST:PORT"}, nil},
		{"empty endpoint", Options{EtcdEndpoints: []string{"a:1", ""}}, []string{"endpoint 2"}, nil},
		{
			"port in use",
			Options{Store: memstore.New(), GRPCAddr: "127.0.0.1:0", HTTPAddr: taken.Addr().String()},
			[]string{"HTTP", taken.Addr().String()},
			syscall.EADDRINUSE,
		},
		{
			"environment name",
			Options{Store: memstore.New(), GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", Environments: []string{"No Spaces"}},
			[]string{"No Spaces"},
			nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(t.Context(), c.o)
			if err == nil || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("got %v, want %v", err, c.is)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// One data directory, one server.
func TestDataDirInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, Options{DataDir: dir})
	_, err := Open(t.Context(), Options{DataDir: dir, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestInstanceID(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	first, err := instanceID(dir, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := instanceID(dir, "b:2"); err != nil || again != first {
		t.Errorf("again: got %q, %v; want %q", again, err, first)
	}
	if err := os.WriteFile(filepath.Join(dir, instanceFile), []byte(first[:7]), 0o600); err != nil {
		t.Fatal(err)
	}
	if cut, err := instanceID(dir, "a:1"); err != nil || len(cut) != len(first) || cut == first {
		t.Errorf("after a cut file: got %q, %v; want a new id", cut, err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if id, err := instanceID("", "a:1"); err != nil || id != host+"/a:1" {
		t.Errorf("without a directory: got %q, %v", id, err)
	}
}
