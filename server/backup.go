package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// backupChunk is how many bytes of a backup are sent at once.
const backupChunk = 256 << 10

type backupService struct {
	controlv1.UnimplementedBackupServiceServer
	store   store.Store
	head    func(context.Context) (*controlv1.BackupHead, error)
	drained <-chan struct{}
	logger  zerolog.Logger
}

func (s *Server) backups() backupService {
	return backupService{store: s.store, head: s.backupHead, drained: s.drained, logger: s.logger}
}

// backupHead is what the store's majority is at: what was acknowledged before has no later
// revision.
func (s *Server) backupHead(ctx context.Context) (*controlv1.BackupHead, error) {
	epoch, revision, err := s.authority.Head(ctx)
	if err != nil {
		return nil, controlplane.Unavailable(err)
	}
	return &controlv1.BackupHead{Epoch: epoch.Proto(), Revision: revision}, nil
}

func (s backupService) StreamBackup(_ *controlv1.StreamBackupRequest, stream grpc.ServerStreamingServer[controlv1.StreamBackupResponse]) error {
	source, ok := s.store.(store.Snapshotter)
	if !ok {
		return status.Error(codes.FailedPrecondition, "the store of this server cannot be backed up: it is not etcd")
	}
	by := callerOf(stream.Context()).Actor
	return untilDrained(stream.Context(), s.drained, func(ctx context.Context) error {
		head, err := s.head(ctx)
		if err != nil {
			return err
		}
		size, err := copyStore(ctx, source, head, stream.Send)
		s.logger.Info().Err(err).Str("by", by).Int64("revision", head.GetRevision()).Int64("bytes", size).Msg("backup of the store")
		return err
	})
}

// copyStore sends a head, all of the store, and an end.
func copyStore(ctx context.Context, from store.Snapshotter, head *controlv1.BackupHead, send func(*controlv1.StreamBackupResponse) error) (size int64, err error) {
	source, err := from.Snapshot(ctx)
	if err != nil {
		return 0, controlplane.Unavailable(err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := send(&controlv1.StreamBackupResponse{Part: &controlv1.StreamBackupResponse_Head{Head: head}}); err != nil {
		return 0, err
	}
	sum := sha256.New()
	for chunk := make([]byte, backupChunk); ; {
		n, err := io.ReadFull(source, chunk)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return size, controlplane.Unavailable(fmt.Errorf("copy the store: %w", err))
		}
		if n > 0 {
			size += int64(n)
			sum.Write(chunk[:n])
			if err := send(&controlv1.StreamBackupResponse{Part: &controlv1.StreamBackupResponse_Data{Data: chunk[:n]}}); err != nil {
				return size, err
			}
		}
		if last {
			end := &controlv1.BackupEnd{Size: size, Sha256: sum.Sum(nil)}
			return size, send(&controlv1.StreamBackupResponse{Part: &controlv1.StreamBackupResponse_End{End: end}})
		}
	}
}
