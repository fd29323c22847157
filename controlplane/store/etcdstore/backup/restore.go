package backup

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// revisionBump is how far above the backup's the revision of a restored store is: above all that
// whoever followed the lost one has seen, so that a watch that goes on from there ends with an
// error, and never waits for a revision to come again.
const revisionBump = 1_000_000_000

// A member that is alone, as embed has it by default.
const (
	memberName = "default"
	memberPeer = "http://localhost:2380"
)

// Restore makes an embedded store of a backup, in a directory that is not there yet. The store
// has the backup's epoch: begin another one before anybody follows it.
func Restore(path, dir string) error {
	if _, err := checksum(path); err != nil {
		return err
	}
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: path, OutputDataDir: dir,
		Name: memberName, PeerURLs: []string{memberPeer}, InitialCluster: memberName + "=" + memberPeer, InitialClusterToken: "tidegate",
		RevisionBump: revisionBump, MarkCompacted: true,
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", path, err)
	}
	return nil
}

// Empty makes sure that a directory that is to be restored into is empty, or makes it.
func Empty(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("%s is not empty: it has %s; move what is there away, or name another directory", dir, filepath.Join(dir, there[0].Name()))
	}
	return nil
}
