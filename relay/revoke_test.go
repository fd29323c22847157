package relay

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestRevoked: what the upstream does not serve any more is gone from memory, from disk,
// from everything made of it, and from the relay below; the rest stays. It comes back
// when the upstream serves it again.
func TestRevoked(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	p.put(staging, boolFlag("s"))
	p.put(production, boolFlag("a"))
	upstream, _ := p.serve()
	o := options(upstream, staging, production)
	o.StateDir = t.TempDir()
	r, stop := startReady(t, o, p.revision)
	below, _ := startReady(t, options(r.GRPCAddr(), production), p.revision)
	lateOptions := options(r.GRPCAddr(), production)
	lateOptions.StateDir = t.TempDir()
	_, stopLate := startReady(t, lateOptions, p.revision)
	stopLate()

	ask := func(r *Relay, environment, key string) (string, error) {
		a, err := client(t, r).Evaluate(t.Context(), &evaluationv1.EvaluateRequest{Environment: environment, FlagKey: key})
		return a.GetVariant(), err
	}
	watch, err := client(t, r).Watch(t.Context(), &evaluationv1.WatchRequest{Environment: production})
	if err == nil {
		_, err = watch.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	which := &flagdsyncv1.SyncFlagsRequest{Selector: production} //nolint:staticcheck // providers still send it
	sync, err := flagdsyncv1.NewFlagSyncServiceClient(dial(t, r.GRPCAddr())).SyncFlags(t.Context(), which)
	if err == nil {
		_, err = sync.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	events, err := flagdv2.NewServiceClient(dial(t, below.GRPCAddr())).EventStream(t.Context(), &flagdv2.EventStreamRequest{})
	if err == nil {
		_, err = events.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}

	p.replicas.Replica(production).Purge()
	eventually(t, "the relay denies", func() bool { _, err := ask(r, production, "a"); return err != nil })
	lateOptions.Registry = nil
	late, _ := start(t, lateOptions) // which was not connected when it was revoked
	for name, relay := range map[string]*Relay{"relay": r, "below": below, "late": late} {
		eventually(t, name+" denies", func() bool {
			_, err := ask(relay, production, "a")
			return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "revoked")
		})
		code, body := readyz(t, relay)
		last := body.Environments[len(body.Environments)-1]
		if code != http.StatusServiceUnavailable || last.Ready || !strings.Contains(last.Reason, "revoked") || last.Flags != 0 {
			t.Errorf("%s: %d %+v", name, code, body)
		}
	}
	if code, text := post(t, "http://"+below.HTTPAddr()+"/ofrep/v1/evaluate/flags", `{}`); code != http.StatusServiceUnavailable {
		t.Errorf("OFREP says %d %s", code, text)
	}
	if v, err := ask(r, staging, "s"); v != "on" || err != nil {
		t.Errorf("staging: %s, %v", v, err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ends with %v", err)
	}
	if _, err := sync.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("flagd's sync ends with %v", err)
	}
	if m, err := events.Recv(); err != nil || !strings.Contains(m.String(), "delete") {
		t.Errorf("flagd's events tell %v, %v", m, err)
	}
	export := &r.evaluation.environments[1].flagd
	eventually(t, "the export is gone", func() bool {
		export.mu.Lock()
		defer export.mu.Unlock()
		return export.set == "" && export.flags == nil
	})
	eventually(t, "the files are gone", func() bool {
		files, err := os.ReadDir(o.StateDir)
		for _, f := range files {
			if strings.HasPrefix(f.Name(), production) {
				return false
			}
		}
		return err == nil
	})

	// A restart without the upstream brings nothing back.
	stop()
	alone := o
	alone.Upstreams, alone.Registry = []string{freeAddr(t)}, nil
	restarted, stopRestarted := start(t, alone)
	if v, err := ask(restarted, staging, "s"); v != "on" || err != nil {
		t.Errorf("restarted: staging: %s, %v", v, err)
	}
	if _, err := ask(restarted, production, "a"); status.Code(err) != codes.Unavailable {
		t.Errorf("restarted: %v", err)
	}
	stopRestarted()

	// Granted again, while it is refused: asked for after a while, without a restart.
	o.Registry = nil
	r, _ = startReadyFor(t, o, staging, p.revision)
	s, _ := snapshot.New(production, testEpoch).Next(p.revision, []snapshot.Item{item(t, boolFlag("a"), 3)}, nil)
	p.publish(p.replicas.Replica(production), s, s.Full())
	eventually(t, "it is granted again", func() bool {
		v, err := ask(r, production, "a")
		return v == "on" && err == nil
	})
}

// startReadyFor runs a relay and waits until it has the revision of one environment.
func startReadyFor(tb testing.TB, o Options, environment string, revision int64) (r *Relay, stop func()) {
	tb.Helper()
	r, stop = start(tb, o)
	eventually(tb, "its state", func() bool {
		s := r.evaluation.byName[environment].replica.Snapshot()
		return s != nil && s.Cursor().Revision >= revision
	})
	return r, stop
}
