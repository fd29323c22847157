// Package lastuse keeps when keys and identities were used last, to the minute, for people: what
// nobody uses can be taken back.
//
// Every server adds what it knows: of identities that called it, of followers that it serves, and,
// while it leads, of what relays tell. It writes what is new once a minute, in one guarded
// transaction, however many calls there were. What it knew in its last minute may be lost with it.
package lastuse

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

const (
	root   = "/tidegate/v1/u-last/"
	shards = 16
	// kept is for how long a use is kept.
	kept         = 90 * 24 * time.Hour
	writeEvery   = time.Minute
	storeTimeout = 5 * time.Second
	// attempts to write beside other servers, which write as seldom.
	attempts = 5
)

// errBusy says that others wrote at the same time, again and again.
var errBusy = errors.New("others wrote at the same time")

// Options of a Recorder.
type Options struct {
	Store  store.Store // required
	Logger zerolog.Logger
	Now    func() time.Time // default time.Now
}

// Recorder adds up. Its methods may be called from any goroutine.
type Recorder struct {
	o Options

	mu sync.Mutex
	// known is when an id was used last, in minutes, as far as this server knows.
	known map[string]uint64
	fresh map[string]bool // those that are to be written
}

// New makes a Recorder. It writes while [Recorder.Run] runs.
func New(o Options) *Recorder {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Recorder{o: o, known: map[string]uint64{}, fresh: map[string]bool{}}
}

// Note notes that a key or an identity is used now. It never waits for the store.
func (r *Recorder) Note(id string) { r.NoteAt(id, toMinutes(r.o.Now())) }

// NoteAt is Note of a minute since 1970. One that is ahead of this server's clock is now.
func (r *Recorder) NoteAt(id string, minute uint64) {
	minute = min(minute, toMinutes(r.o.Now()))
	r.mu.Lock()
	defer r.mu.Unlock()
	if minute > r.known[id] {
		r.known[id], r.fresh[id] = minute, true
	}
}

// Run writes until ctx ends.
func (r *Recorder) Run(ctx context.Context) {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.Flush(ctx); err != nil && ctx.Err() == nil {
				r.o.Logger.Warn().Err(err).Msg("cannot write down which keys and identities are used; trying again")
			}
		case <-ctx.Done():
			return
		}
	}
}

// Flush writes what is new.
func (r *Recorder) Flush(ctx context.Context) error {
	uses := r.take()
	if len(uses) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := errBusy
	for n := 0; n < attempts && errors.Is(err, errBusy); n++ {
		err = r.write(ctx, uses)
	}
	if err != nil {
		r.again(uses)
	}
	return err
}

// take takes what is to be written, and forgets what is too old to be kept.
func (r *Recorder) take() map[string]uint64 {
	oldest := toMinutes(r.o.Now().Add(-kept))
	r.mu.Lock()
	defer r.mu.Unlock()
	uses := make(map[string]uint64, len(r.fresh))
	for id := range r.fresh {
		uses[id] = r.known[id]
	}
	clear(r.fresh)
	maps.DeleteFunc(r.known, func(_ string, minute uint64) bool { return minute < oldest })
	return uses
}

func (r *Recorder) again(uses map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, minute := range uses {
		r.known[id], r.fresh[id] = max(r.known[id], minute), true
	}
}

// write merges uses into what the store has. It fails with errBusy if that changes meanwhile.
func (r *Recorder) write(ctx context.Context, uses map[string]uint64) error {
	results, _, err := r.o.Store.Read(ctx, store.Prefix(root))
	if err != nil {
		return err
	}
	held := map[string]store.KV{}
	for _, kv := range results[0].KVs {
		held[kv.Key] = kv
	}
	merged := map[string]map[string]uint64{}
	for id, minute := range uses {
		key := shardKey(id)
		if merged[key] == nil {
			merged[key] = r.decode(held[key])
		}
		merged[key][id] = max(merged[key][id], minute)
	}
	oldest := toMinutes(r.o.Now().Add(-kept))
	var t store.Txn
	for key, all := range merged {
		maps.DeleteFunc(all, func(_ string, minute uint64) bool { return minute < oldest })
		value, err := encode(all)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		t.Compares = append(t.Compares, store.Unchanged(key, held[key].ModRevision))
		t.Ops = append(t.Ops, store.Put(key, value))
	}
	out, err := r.o.Store.Commit(ctx, t)
	if err == nil && !out.Committed {
		return errBusy
	}
	return err
}

// decode reads a shard. One that cannot be read is begun anew: it is for people.
func (r *Recorder) decode(kv store.KV) map[string]uint64 {
	all := map[string]uint64{}
	m := new(telemetryv1.LastUseShard)
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		r.o.Logger.Error().Err(err).Str("key", kv.Key).Msg("when keys and identities were used is forgotten in part")
		return all
	}
	for _, u := range m.GetUses() {
		all[u.GetId()] = u.GetLast()
	}
	return all
}

func encode(all map[string]uint64) ([]byte, error) {
	m := &telemetryv1.LastUseShard{}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		m.Uses = append(m.Uses, &telemetryv1.LastUseRecord{Id: id, Last: all[id]})
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Uses are when each was used last.
type Uses map[string]uint64

// At is when one was; zero: it was not, or longer ago than is kept.
func (u Uses) At(id string) time.Time {
	if u[id] == 0 {
		return time.Time{}
	}
	return time.Unix(int64(u[id])*60, 0).UTC()
}

// Read returns what the store has, and what this server knows beside.
func (r *Recorder) Read(ctx context.Context) (Uses, error) {
	results, _, err := r.o.Store.Read(ctx, store.Prefix(root))
	if err != nil {
		return nil, err
	}
	all := Uses{}
	for _, kv := range results[0].KVs {
		maps.Copy(all, r.decode(kv))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, minute := range r.known {
		all[id] = max(all[id], minute)
	}
	return all, nil
}

func toMinutes(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) / 60 }

func shardKey(id string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // it never fails
	return root + strconv.Itoa(int(h.Sum32()%shards))
}
