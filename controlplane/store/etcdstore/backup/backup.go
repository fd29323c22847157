// Package backup reads and restores backups: snapshots of etcd in a file, as
// etcdstore.Store.Snapshot and 'etcdctl snapshot save' make them. The file is etcd's database,
// followed by its SHA-256.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
)

// ErrDamaged says that a file is no backup, or not as it was when it was written.
var ErrDamaged = errors.New("it is damaged, or no backup")

// Info is what a backup is.
type Info struct {
	// Revision of the store when the backup was made.
	Revision int64
	// Size of the file.
	Size int64
	// SHA256 of the whole file.
	SHA256 [sha256.Size]byte
}

// pageSize divides the size of every database; what is left over is the checksum.
const pageSize = 512

// Read verifies a backup (its checksum, the structure of the database, every record in it) and
// calls take with each key as the store had it, in the order of keys. It changes nothing.
func Read(path string, take func(store.KV) error) (Info, error) {
	info, err := checksum(path)
	if err != nil {
		return Info{}, err
	}
	// PreLoadFreelist has what Check needs.
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		return Info{}, damaged(path, "open its database: %v", err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for problem := range tx.Check() {
			return damaged(path, "%v", problem)
		}
		info.Revision, err = read(tx, path, take)
		return err
	})
	return info, err
}

// checksum verifies the checksum at the end of a backup.
func checksum(path string) (info Info, err error) {
	f, err := os.Open(path)
	if err != nil {
		return info, err
	}
	defer f.Close()
	stat, err := f.Stat()
	switch {
	case err != nil:
		return info, err
	case !stat.Mode().IsRegular():
		return info, fmt.Errorf("%s is not a file", path)
	case stat.Size()%pageSize != sha256.Size:
		return info, damaged(path, "its size is %d bytes, which no whole backup has", stat.Size())
	}
	info.Size = stat.Size()
	var want [sha256.Size]byte
	whole, database := sha256.New(), sha256.New()
	if _, err := io.CopyN(io.MultiWriter(whole, database), f, info.Size-sha256.Size); err != nil {
		return info, err
	}
	if _, err := io.ReadFull(io.TeeReader(f, whole), want[:]); err != nil {
		return info, err
	}
	if got := database.Sum(nil); !bytes.Equal(got, want[:]) {
		return info, damaged(path, "its SHA-256 is %x, not %x as its end says", got, want)
	}
	whole.Sum(info.SHA256[:0])
	return info, nil
}

func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", path, ErrDamaged, fmt.Sprintf(format, args...))
}

// How etcd keeps what it stores.
var (
	recordsBucket = []byte("key")
	metaBucket    = []byte("meta")
	// compactionKeys hold revisions up to which history was, or is to be, removed.
	compactionKeys = [][]byte{[]byte("scheduledCompactRev"), []byte("finishedCompactRev")}
)

// The key of a record is its revision: 8 bytes, '_', 8 bytes that count within a transaction; and
// 't' if the record says that a key was deleted.
const (
	revisionLength  = 8 + 1 + 8
	tombstoneLength = revisionLength + 1
)

// read hands over the newest record of each key that is there, and returns the store's revision.
func read(tx *bolt.Tx, path string, take func(store.KV) error) (revision int64, err error) {
	records := tx.Bucket(recordsBucket)
	if records == nil {
		return 0, damaged(path, "it has no records")
	}
	newest := make(map[string][revisionLength]byte)
	err = records.ForEach(func(at, data []byte) error {
		kv, err := decode(path, at, data)
		if err != nil {
			return err
		}
		revision = max(revision, mainRevision(at))
		if len(at) == tombstoneLength {
			delete(newest, string(kv.Key))
		} else {
			newest[string(kv.Key)] = [revisionLength]byte(at)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if meta := tx.Bucket(metaBucket); meta != nil {
		for _, key := range compactionKeys {
			if at := meta.Get(key); len(at) >= revisionLength {
				revision = max(revision, mainRevision(at))
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		at := newest[key]
		kv, err := decode(path, at[:], records.Get(at[:]))
		if err != nil {
			return 0, err
		}
		if err := take(store.KV{Key: key, Value: kv.Value, CreateRevision: kv.CreateRevision, ModRevision: kv.ModRevision}); err != nil {
			return 0, err
		}
	}
	return revision, nil
}

func decode(path string, at, data []byte) (*mvccpb.KeyValue, error) {
	if n := len(at); n != revisionLength && n != tombstoneLength {
		return nil, damaged(path, "a record has the key %x", at)
	}
	kv := new(mvccpb.KeyValue)
	if err := proto.Unmarshal(data, kv); err != nil {
		return nil, damaged(path, "the record of revision %d: %v", mainRevision(at), err)
	}
	return kv, nil
}

func mainRevision(at []byte) int64 { return int64(binary.BigEndian.Uint64(at)) }
