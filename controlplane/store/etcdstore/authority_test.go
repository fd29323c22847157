package etcdstore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/replica"
)

// TestAuthorityOnEtcd: writes reach the replica, survive a restart with their history,
// and acknowledged ones are visible within the time that an etcd watch takes.
func TestAuthorityOnEtcd(t *testing.T) {
	dir := t.TempDir()
	const writes = 200
	var latencies []time.Duration
	run(t, dir, func(ctx context.Context, a *controlplane.Authority, r *replica.Replica) {
		flag := &flagv1.Flag{
			Key: "a", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN,
			Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
		}
		if _, err := a.CreateFlag(ctx, controlplane.Caller{Actor: "t"}, &controlv1.CreateFlagRequest{
			Environment: "production", Flag: flag, Reason: "r",
		}); err != nil {
			t.Fatal(err)
		}
		for i := range writes {
			resp, err := a.SetEnabled(ctx, controlplane.Caller{Actor: "t"}, &controlv1.SetEnabledRequest{
				Environment: "production", FlagKey: "a", Enabled: i%2 == 0, Reason: fmt.Sprint(i),
			})
			if err != nil {
				t.Fatal(err)
			}
			acked := time.Now()
			for r.Snapshot().Cursor().Revision < resp.GetFlag().GetRevision() {
				if ctx.Err() != nil {
					t.Fatalf("write %d does not reach the replica", i)
				}
				time.Sleep(20 * time.Microsecond)
			}
			latencies = append(latencies, time.Since(acked))
		}
	})
	slices.Sort(latencies)
	t.Logf("acknowledged to applied: p50 %v, p99 %v", latencies[writes/2], latencies[writes*99/100])
	run(t, dir, func(ctx context.Context, a *controlplane.Authority, r *replica.Replica) {
		if got := r.Snapshot().Eval().Evaluate("a", &eval.Context{}); got.Reason != eval.ReasonDisabled {
			t.Errorf("after the restart: %v", got.Reason)
		}
		history, err := a.ListFlagHistory(ctx, &controlv1.ListFlagHistoryRequest{Environment: "production", FlagKey: "a"})
		if err != nil || history.GetEntries()[0].GetSequence() != writes+1 || history.GetEntries()[0].GetReason() != fmt.Sprint(writes-1) {
			t.Errorf("history after the restart: %v, %v", history.GetEntries()[0], err)
		}
	})
}

func run(t *testing.T, dir string, use func(context.Context, *controlplane.Authority, *replica.Replica)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := etcdstore.Open(ctx, etcdstore.Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	replicas := replica.NewSet(replica.Options{})
	a, err := controlplane.Open(ctx, controlplane.Options{
		Store: s, Replicas: replicas, Environments: []string{"production"}, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	runCtx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(runCtx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	use(ctx, a, replicas.Replica("production"))
}
