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
	srv := newServer(t, "--data-dir", t.TempDir(), "--etcd-endpoints", strings.Join(etcd.Endpoints(), ","))
	srv.start()
	relay := newEdge(t, srv.grpc, t.TempDir())
	relay.start()
	evaluation := evaluationv1.NewEvaluationServiceClient(dial(t, relay.grpc))
	w := newWriter(ctx, t, "counter-0", srv.grpc)
	serves := func(what string, value int64) {
		t.Helper()
		eventually(t, what, func() error {
			r, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: "production", FlagKey: w.key})
			if err == nil && r.GetIntValue() != value {
				err = fmt.Errorf("serves %d, want %d", r.GetIntValue(), value)
			}
			return err
		})
	}
	set := func(value int64) {
		t.Helper()
		current, err := w.flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: "production", FlagKey: w.key})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{
			Environment: "production", Flag: w.definition(value), BaseRevision: current.GetFlag().GetRevision(), Reason: "count",
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

	srv.kill()
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
	srv.start()
	told := func() error {
		if body := fetch(t, "http://"+srv.http+"/readyz"); !strings.Contains(body, "the store is behind its followers") {
			return fmt.Errorf("readyz: %s", body)
		}
		return nil
	}
	eventually(t, "the server tells", told)
	if body := fetch(t, "http://"+srv.http+"/metrics"); strings.Contains(body, "\ntidegate_store_behind_followers 0\n") {
		t.Error("the metric does not tell")
	}
	if !strings.Contains(srv.log.String(), "THE STORE IS BEHIND ITS FOLLOWERS") {
		t.Error("the log does not tell")
	}
	serves("what it knows", 21)
	relay.kill()
	relay.start()
	serves("what it knows, after a restart", 21)
	held, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: "production", FlagKey: w.key})
	if err != nil {
		t.Fatal(err)
	}

	out, err := exec.CommandContext(ctx, filepath.Join(bin, "tidegate"), "epoch", "begin", "--yes", "--server", srv.grpc, "--reason", "restored").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "epoch 2-") {
		t.Fatalf("%v: %s", err, out)
	}
	serves("what was restored", 1)
	restored, err := evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: "production", FlagKey: w.key})
	if err != nil || restored.GetEnvironmentRevision() >= held.GetEnvironmentRevision() {
		t.Errorf("%v, %v: its revision was %d before", restored, err, held.GetEnvironmentRevision())
	}
	set(100)
	serves("what was written since", 100)
	eventually(t, "the server is well", func() error {
		if body := fetch(t, "http://"+srv.http+"/readyz"); strings.Contains(body, "problems") {
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
