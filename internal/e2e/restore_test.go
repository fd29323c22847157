package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// TestRestore puts a backup of etcd in the place of its data, which has the same cluster id
// and a lower revision. The relay, which knows what the backup does not, keeps serving that
// over a restart of its own; the server refuses to take it back, and says so. After
// 'tidegate epoch begin' the relay serves what was restored, at a lower revision, and then
// what is written since.
func TestRestore(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	etcd, err := etcdtest.Start(ctx, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer etcd.Kill()
	srv := bed.NewServer(t, bin, "--data-dir", t.TempDir(), "--etcd-endpoints", strings.Join(etcd.Endpoints(), ","))
	srv.Start()
	relay := bed.NewRelay(t, bin, srv.GRPC, t.TempDir())
	relay.Start()
	evaluation := evaluationv1.NewEvaluationServiceClient(bed.Dial(t, relay.GRPC))
	const key = "counter-0"
	bed.NewWriter(ctx, t, srv.GRPC, key)
	flags := controlv1.NewFlagServiceClient(bed.Dial(t, srv.GRPC))
	serves := func(what string, value int64) {
		t.Helper()
		bed.Eventually(t, what, func() error {
			r, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: "production", FlagKey: key})
			if err == nil && r.GetIntValue() != value {
				err = fmt.Errorf("serves %d, want %d", r.GetIntValue(), value)
			}
			return err
		})
	}
	set := func(value int64) {
		t.Helper()
		current, err := flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: "production", FlagKey: key})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{
			Environment: "production", Flag: bed.Counter(key, value), BaseRevision: current.GetFlag().GetRevision(), Reason: "count",
		}); err != nil {
			t.Fatal(err)
		}
	}
	serves("the flag", 1)

	data, backup := filepath.Join(dir, "n0"), filepath.Join(dir, "backup")
	etcd.Nodes[0].Kill()
	if err := os.CopyFS(backup, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	if err := etcd.Nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	for value := range int64(20) {
		set(value + 2)
	}
	serves("what the backup does not have", 21)

	srv.Kill()
	etcd.Nodes[0].Kill()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(backup, data); err != nil {
		t.Fatal(err)
	}
	if err := etcd.Nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	srv.Start()
	told := func() error {
		if body := fetch(t, "http://"+srv.HTTP+"/readyz"); !strings.Contains(body, "the store is behind its followers") {
			return fmt.Errorf("readyz: %s", body)
		}
		return nil
	}
	bed.Eventually(t, "the server tells", told)
	if body := fetch(t, "http://"+srv.HTTP+"/metrics"); strings.Contains(body, "\ntidegate_store_behind_followers 0\n") {
		t.Error("the metric does not tell")
	}
	if !strings.Contains(srv.Log(), "THE STORE IS BEHIND ITS FOLLOWERS") {
		t.Error("the log does not tell")
	}
	serves("what it knows", 21)
	relay.Kill()
	relay.Start()
	serves("what it knows, after a restart", 21)
	held, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: "production", FlagKey: key})
	if err != nil {
		t.Fatal(err)
	}

	out, err := exec.CommandContext(ctx, filepath.Join(bin, "tidegate"), "epoch", "begin", "--yes", "--server", srv.GRPC, "--reason", "restored").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "epoch 2-") {
		t.Fatalf("%v: %s", err, out)
	}
	serves("what was restored", 1)
	restored, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: "production", FlagKey: key})
	if err != nil || restored.GetEnvironmentRevision() >= held.GetEnvironmentRevision() {
		t.Errorf("%v, %v: its revision was %d before", restored, err, held.GetEnvironmentRevision())
	}
	set(100)
	serves("what was written since", 100)
	bed.Eventually(t, "the server is well", func() error {
		if body := fetch(t, "http://"+srv.HTTP+"/readyz"); strings.Contains(body, "problems") {
			return fmt.Errorf("readyz: %s", body)
		}
		return nil
	})
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
