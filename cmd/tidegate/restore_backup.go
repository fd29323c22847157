package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore/backup"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/server"
)

// restoring is what is asked of 'tidegate restore'.
type restoring struct {
	*streams
	file, dataDir, etcdSnapshot string
	reason, actor               string
}

func newRestoreCommand(streams *streams) *cobra.Command {
	r := &restoring{streams: streams}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a store of a backup, with an epoch of its own",
		Long: "Make a store of a backup. The file is verified; what it holds gets a new epoch, so that\n" +
			"relays and SDKs take it over as a whole, and nothing is ever mixed with what was\n" +
			"written after the backup and is lost.\n\n" +
			"With --data-dir it becomes the store of a server that keeps its own: name a directory that\n" +
			"is empty, and start the server on it.\n\n" +
			"With --etcd-snapshot it becomes a snapshot for the members of an etcd cluster: give it to\n" +
			"'etcdutl snapshot restore' for each of them. All members must be restored from the same one.\n\n" +
			"What was written after the backup is gone, and what was undone is back: look at the keys that\n" +
			"were revoked and the identities that were disabled since.",
		Example: "  tidegate restore /var/backups/tidegate.backup --data-dir /var/lib/tidegate\n" +
			"  tidegate restore /var/backups/tidegate.backup --etcd-snapshot /tmp/restored.snapshot",
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.file = args[0]
			if (r.dataDir == "") == (r.etcdSnapshot == "") {
				return usagef("say what becomes of it: --data-dir DIR or --etcd-snapshot FILE")
			}
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.dataDir, "data-dir", "", "the server's data directory; must be empty, or not there")
	f.StringVar(&r.etcdSnapshot, "etcd-snapshot", "", "`file` to write, for 'etcdutl snapshot restore'")
	f.StringVar(&r.reason, "reason", "", "why, for the audit trail; the backup is named there in any case")
	f.StringVar(&r.actor, "actor", currentUser(), "who, for the audit trail")
	return cmd
}

func (r *restoring) run(ctx context.Context) error {
	b, err := readBackup(r.file)
	if err != nil {
		return err
	}
	if r.etcdSnapshot != "" {
		return r.toSnapshot(ctx, b)
	}
	return r.toDataDir(ctx, b)
}

// toDataDir makes the store of a server. It gets its place once it is complete.
func (r *restoring) toDataDir(ctx context.Context, b backedUp) error {
	if err := backup.Empty(r.dataDir); err != nil {
		return err
	}
	made := filepath.Join(r.dataDir, server.RestoringDir)
	epoch, err := r.make(ctx, b, made, nil)
	if err == nil {
		err = os.Rename(made, filepath.Join(r.dataDir, server.EtcdDir))
	}
	if err != nil {
		return removeAll(made, err)
	}
	return r.tell(b, epoch, "start the server: tidegate server --data-dir "+r.dataDir)
}

// toSnapshot makes a snapshot for the members of a cluster.
func (r *restoring) toSnapshot(ctx context.Context, b backedUp) (err error) {
	made, err := os.MkdirTemp(filepath.Dir(r.etcdSnapshot), ".restoring-*")
	if err != nil {
		return err
	}
	defer func() { err = removeAll(made, err) }()
	const private = 0o600
	var epoch *controlv1.BeginEpochResponse
	err = replaceVerified(r.etcdSnapshot, private, func(out io.Writer) (err error) {
		epoch, err = r.make(ctx, b, filepath.Join(made, "etcd"), out)
		return err
	}, func(written string) error {
		_, err := readBackup(written)
		return err
	})
	if err != nil {
		return err
	}
	return r.tell(b, epoch, "restore each member: etcdutl snapshot restore "+r.etcdSnapshot+" --name ... --initial-cluster ... --data-dir ...")
}

// make makes a store of the backup in a directory, begins an epoch in it, and copies it out if
// that is wanted.
func (r *restoring) make(ctx context.Context, b backedUp, dir string, out io.Writer) (_ *controlv1.BeginEpochResponse, err error) {
	if err := backup.Restore(r.file, dir); err != nil {
		return nil, err
	}
	s, err := etcdstore.Open(ctx, etcdstore.Options{DataDir: dir, Logger: zerolog.Nop()})
	if err != nil {
		return nil, err
	}
	closed := false
	defer func() {
		if !closed {
			_ = s.Close() // what failed before matters more
		}
	}()
	reason := fmt.Sprintf("restored from a backup of revision %d, sha256 %x", b.Revision, b.SHA256)
	if r.reason != "" {
		reason = r.reason + " (" + reason + ")"
	}
	epoch, err := controlplane.BeginEpochOf(ctx, s, controlplane.Caller{Actor: strings.TrimSpace(r.actor)}, reason)
	if err != nil {
		return nil, err
	}
	if out != nil {
		if err := copyOut(ctx, s, out); err != nil {
			return nil, err
		}
	}
	closed = true
	return epoch, s.Close()
}

func copyOut(ctx context.Context, s *etcdstore.Store, out io.Writer) error {
	from, err := s.Snapshot(ctx)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, from); err != nil {
		return err
	}
	return from.Close()
}

func (r *restoring) tell(b backedUp, epoch *controlv1.BeginEpochResponse, next string) error {
	_, err := fmt.Fprintf(r.out, "restored revision %d of epoch %s; epoch %s has begun, at revision %d\nnow %s\n",
		b.Revision, b.Epoch, epochText(epoch.GetEpoch()), epoch.GetRevision(), next)
	return err
}
