package audit

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/store"
)

// probeEvery is how often it is looked whether the store went back.
const probeEvery = 5 * time.Second

// errWentBack says that the store forgot what was followed, as one does that is restored from a
// backup.
var errWentBack = errors.New("audit: the store is at an earlier revision than before: was it restored from a backup?")

// written is an entry as it was written.
type written struct {
	trail string
	key   string // KIND/KEY/NUMBER
	kv    store.KV
}

// line is the entry as one line of JSON, ending in a newline. hash is what seals name it by.
func (w written) line() ([]byte, error) {
	l := struct {
		Trail    string          `json:"trail"`
		Key      string          `json:"key"`
		Revision int64           `json:"revision"`
		Hash     string          `json:"hash"`
		Entry    json.RawMessage `json:"entry,omitempty"`
	}{Trail: w.trail, Key: w.key, Revision: w.kv.ModRevision, Hash: hex.EncodeToString(hashOf(w.kv.Value))}
	if e, err := decode(w.kv.Value, w.kv.ModRevision); err == nil { // else it is there, and cannot be read
		if l.Entry, err = protojson.Marshal(e); err != nil {
			l.Entry = nil
		}
	}
	data, err := json.Marshal(l)
	return append(data, '\n'), err
}

// follow hands over all entries of all trails that are written after a revision, in the order of
// revisions, whole revisions at a time, with the revision up to which that is everything. It
// ends with what take ends with, or where the store cannot be followed: what was compacted
// meanwhile is read from the trails.
func (t *Trails) follow(ctx context.Context, after int64, take func([]written, int64) error) error {
	for {
		reached, err := t.followWatch(ctx, after, take)
		if !errors.Is(err, store.ErrCompacted) {
			return err
		}
		all, now, err := t.missed(ctx, reached)
		if err != nil {
			return err
		}
		if err := take(all, now); err != nil {
			return err
		}
		after = now
	}
}

func (t *Trails) followWatch(ctx context.Context, after int64, take func([]written, int64) error) (reached int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := t.o.Store.Watch(ctx, controlplane.AuditRoot, after+1)
	if err != nil {
		return after, err
	}
	defer watch.Close()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		var batch store.Batch
		select {
		case next, open := <-watch.Batches():
			if !open {
				return after, cmp.Or(watch.Err(), ctx.Err(), store.ErrUnavailable)
			}
			batch = next
		case <-probe.C:
			_, now, err := t.o.Store.Read(ctx, store.Key(MarkKey))
			if err == nil && now < after {
				err = errWentBack
			}
			if err != nil {
				return after, err
			}
			continue
		}
		var all []written
		for _, event := range batch.Events {
			if kv := event.KV; !event.Deleted && kv.CreateRevision == kv.ModRevision {
				all = append(all, newWritten(kv))
			}
		}
		if err := take(all, batch.Revision); err != nil {
			return after, err
		}
		after = max(after, batch.Revision)
	}
}

// missed reads whole trails for what was written after a revision.
func (t *Trails) missed(ctx context.Context, revision int64) (all []written, now int64, err error) {
	now, err = scan(ctx, t.o.Store, controlplane.AuditRoot, func(kv store.KV) error {
		if kv.ModRevision > revision {
			all = append(all, newWritten(kv))
		}
		return nil
	})
	all = slices.DeleteFunc(all, func(w written) bool { return w.kv.ModRevision > now })
	slices.SortFunc(all, func(a, b written) int {
		return cmp.Or(cmp.Compare(a.kv.ModRevision, b.kv.ModRevision), cmp.Compare(a.kv.Key, b.kv.Key))
	})
	return all, now, err
}

func newWritten(kv store.KV) written {
	w := written{kv: kv}
	w.trail, w.key = trailOf(kv.Key)
	return w
}

// Log writes every entry of every trail to a file until ctx ends. Where the file cannot be
// written, or the store not be followed, it tries again: nothing waits for it, and it leaves
// nothing out. The file is closed when it returns.
func (t *Trails) Log(ctx context.Context, f *File) {
	defer f.close()
	failing := false
	for {
		err := t.log(ctx, f)
		if ctx.Err() != nil {
			return
		}
		if !failing || errors.Is(err, errFile) {
			t.o.Logger.Error().Err(err).Str("file", f.path).Msg("the audit trail is not written to the file; trying again")
		}
		failing = true
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return
		}
	}
}

func (t *Trails) log(ctx context.Context, f *File) error {
	after, err := f.open()
	if err != nil {
		return fmt.Errorf("%w: %w", errFile, err)
	}
	_, now, err := t.o.Store.Read(ctx, store.Key(MarkKey))
	switch {
	case err != nil:
		return err
	case after > now:
		t.o.Logger.Warn().Str("file", f.path).Int64("file_revision", after).Int64("revision", now).
			Msg("the store is behind the file of the audit trail, as one is that was restored from a backup: going on from where the store is")
		after = now
	case after == 0: // a new one: from now on
		after = now
	}
	return t.follow(ctx, after, func(all []written, _ int64) error {
		if err := f.write(all); err != nil {
			return fmt.Errorf("%w: %w", errFile, err)
		}
		return nil
	})
}
