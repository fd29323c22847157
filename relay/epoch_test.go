package relay

import (
	"strings"
	"testing"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// TestNewEpoch: a store that was restored reaches the relay below the relay, at a lower
// revision, over watches too, and is what a restart begins with.
func TestNewEpoch(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, boolFlag("a"), boolFlag("gone"))
	upstream, _ := p.serve()
	first, _ := startReady(t, options(upstream, production), p.revision)
	o := options(first.GRPCAddr(), production)
	o.StateDir = t.TempDir()
	second, stop := startReady(t, o, p.revision)
	watch, err := client(t, second).Watch(t.Context(), &evaluationv1.WatchRequest{Context: canada(t)})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || summary(m) != "a=on gone=on" {
		t.Fatalf("watch: %v, %v", summary(m), err)
	}
	epoch := snapshot.Epoch{Counter: 2, Random: 7}
	s, _ := snapshot.New(production, epoch).Next(3, []snapshot.Item{item(t, boolFlag("a", "Chile"), 3)}, nil)
	if err := p.replicas.Replica(production).Publish(s, s.Full()); err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || m.GetEnvironmentRevision() != 3 || !strings.Contains(summary(m), "a=off") {
		t.Fatalf("watch: %v, %v", summary(m), err)
	}
	for _, r := range []*Relay{first, second} {
		if got := r.evaluation.environments[0].replica.Snapshot().Cursor(); got != s.Cursor() {
			t.Errorf("%s serves %s, want %s", r.instanceID, got, s.Cursor())
		}
	}
	stop()
	o.Registry, o.Upstreams = nil, []string{freeAddr(t)}
	again, _ := start(t, o)
	if got := again.evaluation.environments[0].replica.Snapshot(); got == nil || got.Cursor() != s.Cursor() {
		t.Errorf("restarted with %v, want %s", got, s.Cursor())
	}
}
