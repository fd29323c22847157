package server

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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore/backup"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// backUp receives a backup.
func backUp(ctx context.Context, r *running) (head *controlv1.BackupHead, data []byte, end *controlv1.BackupEnd, err error) {
	stream, err := controlv1.NewBackupServiceClient(r.conn).StreamBackup(ctx, &controlv1.StreamBackupRequest{})
	for err == nil {
		var m *controlv1.StreamBackupResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		if m.GetHead() != nil {
			head = m.GetHead()
		}
		if m.GetEnd() != nil {
			end = m.GetEnd()
		}
		data = append(data, m.GetData()...)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return head, data, end, err
}

// TestStreamBackup: what was acknowledged is in it, and the end is of what was sent.
func TestStreamBackup(t *testing.T) {
	s := start(t, Options{DataDir: t.TempDir()})
	created, err := s.flags.CreateFlag(as(t), &controlv1.CreateFlagRequest{Environment: "dev", Flag: boolean("a"), Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	head, data, end, err := backUp(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); end.GetSize() != int64(len(data)) || !bytes.Equal(end.GetSha256(), sum[:]) {
		t.Errorf("%d bytes with sum %x, the end says %v", len(data), sum, end)
	}
	path := filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var c controlplane.Contents
	info, err := backup.Read(path, c.Add)
	if err != nil {
		t.Fatal(err)
	}
	if r := created.GetFlag().GetRevision(); head.GetRevision() < r || info.Revision < head.GetRevision() {
		t.Errorf("revision %d, the head's %d, the flag's %d", info.Revision, head.GetRevision(), r)
	}
	if c.Epoch.Proto().String() != head.GetEpoch().String() || c.Environments["dev"].Flags != 1 || len(c.Environments) != 3 || c.Entries != 1 {
		t.Errorf("%+v, of epoch %v", c, head.GetEpoch())
	}
}

// TestNoBackup: what is no etcd has none.
func TestNoBackup(t *testing.T) {
	if _, _, _, err := backUp(t.Context(), start(t, Options{})); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("%v", err)
	}
}

// TestHalfRestored: a server does not begin a store anew where one is being restored.
func TestHalfRestored(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, RestoringDir), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Options{DataDir: dir, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	if err == nil {
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "'tidegate restore' is at work, or did not end") {
		t.Errorf("it opens with %v", err)
	}
}
