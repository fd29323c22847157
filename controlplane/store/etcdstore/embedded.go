package etcdstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
)

const (
	// A cluster of one holds no elections against others: short times only make it
	// start sooner.
	tickMs     = 10
	electionMs = 100
	// etcd's suggested maximum; its default of 2 GiB is reached by audit trails.
	quotaBytes = 8 << 30
)

// member is an etcd server in this process, alone in its cluster and without sockets.
type member struct {
	etcd *embed.Etcd
	lock *fileutil.LockedFile
}

func openEmbedded(ctx context.Context, o Options) (*Store, error) {
	lock, err := lockDir(o.DataDir)
	if err != nil {
		return nil, err
	}
	cfg := embed.NewConfig()
	cfg.Dir = o.DataDir
	cfg.ListenClientUrls, cfg.ListenPeerUrls = nil, nil
	cfg.TickMs, cfg.ElectionMs = tickMs, electionMs
	cfg.QuotaBackendBytes = cmp.Or(o.quotaBytes, quotaBytes)
	cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, "1h"
	cfg.WatchProgressNotifyInterval = progressInterval
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(&logCore{logger: o.Logger}))
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("etcdstore: start the embedded etcd in %s: %w", o.DataDir, err), lock.Close())
	}
	m := &member{etcd: etcd, lock: lock}
	select {
	case <-etcd.Server.ReadyNotify():
	case err = <-etcd.Err():
	case <-etcd.Server.StopNotify():
		err = errors.New("it stopped")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("etcdstore: the embedded etcd in %s did not become ready: %w", o.DataDir, err), m.close())
	}
	store := newStore(v3client.New(etcd.Server), v3client.New(etcd.Server), m)
	if err := store.clearAlarm(ctx, o.Logger); err != nil {
		return nil, errors.Join(fmt.Errorf("etcdstore: clear the alarm of the embedded etcd in %s: %w", o.DataDir, err), store.Close())
	}
	return store, nil
}

// clearAlarm makes a member that ran out of space writable again: nobody else can reach
// it. It compacts history, which the audit trail is not, and gives back the space. If
// that is not enough, the next write raises the alarm again.
func (s *Store) clearAlarm(ctx context.Context, logger zerolog.Logger) error {
	alarms, err := s.client.AlarmList(ctx)
	if err != nil {
		return err
	}
	for _, alarm := range alarms.Alarms {
		if alarm.Alarm != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		logger.Warn().Msg("the store ran out of space: compacting it")
		now, err := s.client.Get(ctx, "/", clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		if _, err := s.client.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical()); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			return err
		}
		if err := s.embedded.etcd.Server.Backend().Defrag(); err != nil {
			return err
		}
		if _, err := s.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(alarm)); err != nil {
			return err
		}
	}
	return nil
}

func (m *member) close() error {
	m.etcd.Close()
	return m.lock.Close()
}

// lockDir makes the directory ours. etcd itself would wait for ever for another process
// that uses it.
func lockDir(dir string) (*fileutil.LockedFile, error) {
	if err := os.MkdirAll(dir, fileutil.PrivateDirMode); err != nil {
		return nil, fmt.Errorf("etcdstore: data directory: %w", err)
	}
	path := filepath.Join(dir, "LOCK")
	lock, err := fileutil.TryLockFile(path, os.O_WRONLY|os.O_CREATE, fileutil.PrivateFileMode)
	switch {
	case errors.Is(err, fileutil.ErrLocked):
		return nil, fmt.Errorf("etcdstore: data directory %s is in use by another process (which holds %s): stop that one, or use another directory", dir, path)
	case err != nil:
		return nil, fmt.Errorf("etcdstore: lock data directory %s: %w", dir, err)
	}
	return lock, nil
}
