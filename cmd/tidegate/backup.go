package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/audit"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore/backup"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

func newBackupCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the whole store of a running server into a file",
		Long: "Copy the whole store of a running server into a file: flags, segments, rollouts with their\n" +
			"evidence, keys, identities, and the audit trail, as they were at one moment. What was\n" +
			"acknowledged before is in it. The file is verified before it is there under its name, and\n" +
			"takes the place of what was. It holds the hashes of secrets and passwords: keep it as\n" +
			"you keep those.\n\n" +
			"To have it, one must be an administrator of everything. 'tidegate restore' makes a store of\n" +
			"it; so does etcd's own 'etcdutl snapshot restore'. For flags alone, to read or to move\n" +
			"elsewhere, there is 'tidegate export'.",
		Example: "  tidegate backup /var/backups/tidegate.backup\n  tidegate backup verify /var/backups/tidegate.backup",
		Args:    oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error { return c.backup(ctx, args[0]) })
		},
	}
	o.registerServer(cmd.Flags())
	cmd.AddCommand(newBackupVerifyCommand(streams))
	return cmd
}

// oneFile is what commands on one file take.
func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("say which file: one FILE is expected, not %d", len(args))
	}
	return nil
}

func newBackupVerifyCommand(streams *streams) *cobra.Command {
	var heads []string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Look whether a backup is whole, and what is in it; needs no server, and changes nothing",
		Long: "Look whether a backup is whole, and what is in it. The audit trails in it are proved, as\n" +
			"'tidegate audit verify' does of a server. Needs no server, and changes nothing.",
		Example: "  tidegate backup verify /var/backups/tidegate.backup --head audit-heads.jsonl",
		Args:    oneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			kept, err := readHeads(heads)
			if err != nil {
				return err
			}
			trails := audit.NewCopied(kept...)
			b, err := readBackup(args[0], trails.Add)
			if err != nil {
				return err
			}
			if err := b.write(streams.out, args[0]); err != nil {
				return err
			}
			c := &client{streams: streams, paint: newPaint(streams.out, false)}
			return trails.End(c.tellProven)
		},
	}
	cmd.Flags().StringSliceVar(&heads, "head", nil, "`file` with what 'tidegate audit head' printed before the backup")
	return cmd
}

// backedUp is a backup that was verified.
type backedUp struct {
	backup.Info
	controlplane.Contents
}

// readBackup verifies a backup: the file as it is, and that it is of a store of tidegate's.
// Others can have a look at its keys as well.
func readBackup(path string, others ...func(store.KV)) (b backedUp, err error) {
	b.Info, err = backup.Read(path, func(kv store.KV) error {
		for _, take := range others {
			take(kv)
		}
		return b.Add(kv)
	})
	if err != nil {
		return b, err
	}
	if b.Epoch == (snapshot.Epoch{}) {
		return b, fmt.Errorf("%s is a snapshot of etcd, but not of a store of tidegate's: it has no epoch", path)
	}
	return b, nil
}

// write says what is in a backup.
func (b backedUp) write(out io.Writer, path string) error {
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s is whole: revision %d, epoch %s, %d bytes\nsha256 %x\n", path, b.Revision, b.Epoch, b.Size, b.SHA256)
	t := table{paint: newPaint(out, false), header: []string{"ENVIRONMENT", "FLAGS", "SEGMENTS", "ROLLOUTS", "KEYS"}}
	for _, name := range slices.Sorted(maps.Keys(b.Environments)) {
		e := b.Environments[name]
		t.add(plain(name), number(int64(e.Flags)), number(int64(e.Segments)), number(int64(e.Rollouts)), number(int64(e.Keys)))
	}
	t.write(&text)
	fmt.Fprintf(&text, "%d identities, %d entries of the audit trail\n", b.Identities, b.Entries)
	_, err := out.Write(text.Bytes())
	return err
}

func (c *client) backup(ctx context.Context, path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	}
	const private = 0o600
	var (
		head *controlv1.BackupHead
		sent [sha256.Size]byte
		b    backedUp
	)
	err := replaceVerified(path, private, func(out io.Writer) (err error) {
		head, sent, err = c.receiveBackup(ctx, out)
		return err
	}, func(written string) (err error) {
		switch b, err = readBackup(written); {
		case err != nil:
			return err
		case b.SHA256 != sent:
			return fmt.Errorf("what was written has the SHA-256 %x, not %x as it was sent: look at the disk", b.SHA256, sent)
		case b.Revision < head.GetRevision():
			return fmt.Errorf("the member of etcd that was asked lags: the backup is of revision %d, and revision %d was there before; try again, or another server",
				b.Revision, head.GetRevision())
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.write(c.out, path)
}

// errCutShort says that a backup did not come as a whole.
var errCutShort = errors.New("the backup was cut short; nothing was written")

// receiveBackup writes what comes, once it is proven to be all that was sent.
func (c *client) receiveBackup(ctx context.Context, out io.Writer) (head *controlv1.BackupHead, sum [sha256.Size]byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.backups.StreamBackup(ctx, &controlv1.StreamBackupRequest{})
	if err != nil {
		return nil, sum, err
	}
	hash, size, told := sha256.New(), int64(0), time.Now()
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil, sum, errCutShort
		case err != nil:
			return nil, sum, err
		case m.GetHead() != nil:
			head = m.GetHead()
		case m.GetEnd() != nil:
			hash.Sum(sum[:0])
			if end := m.GetEnd(); head == nil || end.GetSize() != size || !bytes.Equal(end.GetSha256(), sum[:]) {
				return nil, sum, errCutShort
			}
			return head, sum, nil
		default:
			n, err := io.MultiWriter(out, hash).Write(m.GetData())
			size += int64(n)
			if err != nil {
				return nil, sum, err
			}
		}
		if now := time.Now(); now.Sub(told) >= time.Second {
			told = now
			fmt.Fprintf(c.err, "%d MiB so far\n", size>>20)
		}
	}
}

// removeAll removes what was made for a while; what stays behind is told.
func removeAll(path string, err error) error { return errors.Join(err, os.RemoveAll(path)) }
