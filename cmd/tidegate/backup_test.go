package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/server"
)

// storeCopy is all of a store of tidegate's, or of an etcd that has something else.
func storeCopy(t *testing.T, ours bool) []byte {
	t.Helper()
	s, err := etcdstore.Open(t.Context(), etcdstore.Options{DataDir: t.TempDir(), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if ours {
		_, err = controlplane.Open(t.Context(), controlplane.Options{Store: s, Replicas: replica.NewSet(replica.Options{}), Environments: []string{"production"}})
	} else {
		_, err = s.Commit(t.Context(), store.Txn{Ops: []store.Op{store.Put("/registry/pods", nil)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	from, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(from)
	if err := errors.Join(err, from.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}

// fakeBackups sends what it is told to.
type fakeBackups struct {
	controlv1.UnimplementedBackupServiceServer
	messages []*controlv1.StreamBackupResponse
}

func (f fakeBackups) StreamBackup(_ *controlv1.StreamBackupRequest, stream grpc.ServerStreamingServer[controlv1.StreamBackupResponse]) error {
	for _, m := range f.messages {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func backupParts(data []byte, revision int64) (head, part, end *controlv1.StreamBackupResponse) {
	sum := sha256.Sum256(data)
	return &controlv1.StreamBackupResponse{Part: &controlv1.StreamBackupResponse_Head{Head: &controlv1.BackupHead{Revision: revision}}},
		&controlv1.StreamBackupResponse{Part: &controlv1.StreamBackupResponse_Data{Data: data}},
		&controlv1.StreamBackupResponse{Part: &controlv1.StreamBackupResponse_End{End: &controlv1.BackupEnd{Size: int64(len(data)), Sha256: sum[:]}}}
}

// A backup replaces the one before when it is whole, and only then.
func TestBackupIsWhole(t *testing.T) {
	t.Parallel()
	data := storeCopy(t, true)
	head, part, end := backupParts(data, 1)
	half := &controlv1.StreamBackupResponse{Part: &controlv1.StreamBackupResponse_Data{Data: data[:len(data)/2]}}
	ahead, _, _ := backupParts(data, 1000)
	foreign := storeCopy(t, false)
	_, foreignPart, foreignEnd := backupParts(foreign, 1)
	spoilt := bytes.Clone(data)
	spoilt[len(spoilt)/2] ^= 1
	_, spoiltPart, spoiltEnd := backupParts(spoilt, 1)
	for _, c := range []struct {
		name     string
		messages []*controlv1.StreamBackupResponse
		problem  string
	}{
		{"whole", []*controlv1.StreamBackupResponse{head, part, end}, ""},
		{"without an end", []*controlv1.StreamBackupResponse{head, part}, "cut short"},
		{"half", []*controlv1.StreamBackupResponse{head, half, end}, "cut short"},
		{"without a head", []*controlv1.StreamBackupResponse{part, end}, "cut short"},
		{"nothing", nil, "cut short"},
		{"damaged where it comes from", []*controlv1.StreamBackupResponse{head, spoiltPart, spoiltEnd}, "it is damaged, or no backup"},
		{"of a member that lags", []*controlv1.StreamBackupResponse{ahead, part, end}, "lags"},
		{"of something else", []*controlv1.StreamBackupResponse{head, foreignPart, foreignEnd}, "not of a store of tidegate's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "b")
			if err := os.WriteFile(file, []byte("the one before"), 0o600); err != nil {
				t.Fatal(err)
			}
			address := serve(t, func(s *grpc.Server) { controlv1.RegisterBackupServiceServer(s, fakeBackups{messages: c.messages}) })
			code, out, stderr := execute(t.Context(), "backup", file, "--server", address)
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := data
			if c.problem != "" {
				want = []byte("the one before")
			}
			if !bytes.Equal(got, want) {
				t.Error("the file is not what it should be")
			}
			if (code == exitOK) != (c.problem == "") || !strings.Contains(stderr, c.problem) {
				t.Errorf("exit code %d, want a problem %q: %s%s", code, c.problem, out, stderr)
			}
			if there, err := os.ReadDir(dir); err != nil || len(there) != 1 {
				t.Errorf("%v, %v: something was left", there, err)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v: others can read it", info.Mode(), err)
			}
		})
	}
}

// What is restored has an epoch of its own; where that fails, nothing is left.
func TestRestoreBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, data, snapshot := filepath.Join(dir, "b"), filepath.Join(dir, "data"), filepath.Join(dir, "snapshot")
	if err := os.WriteFile(file, storeCopy(t, true), 0o600); err != nil {
		t.Fatal(err)
	}
	was, err := readBackup(file)
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"--data-dir", data}, {"--etcd-snapshot", snapshot}} {
		if code, out, stderr := execute(stopped, append([]string{"restore", file}, args...)...); code != exitFailure {
			t.Errorf("%v, interrupted: %d %s%s", args, code, out, stderr)
		}
	}
	if there, err := os.ReadDir(data); err != nil || len(there) != 0 {
		t.Errorf("%v, %v: something was left", there, err)
	}

	for _, args := range [][]string{{"--data-dir", data}, {"--etcd-snapshot", snapshot}} {
		code, out, stderr := execute(t.Context(), append([]string{"restore", file, "--actor", "ada", "--reason", "drill"}, args...)...)
		if code != exitOK || !strings.Contains(out, "; epoch 2-") {
			t.Fatalf("%v: %d %s%s", args, code, out, stderr)
		}
	}
	now, err := readBackup(snapshot)
	if err != nil || now.Epoch.Counter != was.Epoch.Counter+1 || now.Epoch.Random == was.Epoch.Random || now.Entries != was.Entries+1 || now.Revision <= was.Revision {
		t.Errorf("%v: %+v, after %+v", err, now, was)
	}
	s, err := etcdstore.Open(t.Context(), etcdstore.Options{DataDir: filepath.Join(data, server.EtcdDir), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := controlplane.Open(t.Context(), controlplane.Options{Store: s, Replicas: replica.NewSet(replica.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	e, err := a.GetEpoch(t.Context(), &controlv1.GetEpochRequest{})
	if err != nil || e.GetEpoch().GetCounter() != 2 || e.GetEntry().GetActor() != "ada" ||
		!strings.HasPrefix(e.GetEntry().GetReason(), "drill (restored from a backup of revision ") {
		t.Errorf("%v, %v", e, err)
	}
	if code, out, stderr := execute(t.Context(), "restore", file, "--data-dir", data); code != exitFailure || !strings.Contains(stderr, "is not empty") {
		t.Errorf("into what is there: %d %s%s", code, out, stderr)
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) != 3 {
		t.Errorf("%v, %v: something was left", there, err)
	}
}
