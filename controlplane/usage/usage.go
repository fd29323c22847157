// Package usage keeps which flags are evaluated: when each variant was served last, to the
// minute, and how often a flag was evaluated lately, to ten minutes. It is what tells that a
// flag has had its time, and that one that is to be deleted is in use.
//
// It is for people. The leader adds up what relays tell ([Recorder]) and writes what changed
// once a minute; any server reads it ([Read]). What a leader was told in its last minute may
// be lost with it, and what a batch tells twice, by a leader that did not know that it was
// committed, counts twice. Size is bounded by the flags that there are.
package usage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

const (
	root = "/tidegate/v1/u/"
	// shards of an environment: one is some tens of KiB where there are thousands of flags.
	shards = 16
	// span is the grain of how often.
	span = 10 * time.Minute
	// spans that are kept: those of the last hour, and the one that began before it.
	spans = 7
)

// ErrCorrupt says that what the store holds cannot be used.
var ErrCorrupt = errors.New("usage: a stored value cannot be decoded")

// Usage is what is known of an environment.
type Usage struct {
	// Since is when counting began; zero: it has not.
	Since time.Time
	flags map[string]*Flag
}

// Flag returns what is known of a flag; nil: it was not evaluated since.
func (u *Usage) Flag(key string) *Flag { return u.flags[key] }

// Flag is what is known of one flag.
type Flag struct {
	variants map[string]uint64 // when it was served last, in minutes
	recent   [spans]uint64     // the newest span first
	newest   uint64            // its number
}

// Last is when the flag was evaluated last.
func (f *Flag) Last() time.Time {
	var last uint64
	for _, minute := range f.variants {
		last = max(last, minute)
	}
	return fromMinutes(last)
}

// Variants are those that were served, and when each was last; "" is the caller's default.
func (f *Flag) Variants() map[string]time.Time {
	times := make(map[string]time.Time, len(f.variants))
	for name, minute := range f.variants {
		times[name] = fromMinutes(minute)
	}
	return times
}

// LastHour is how often the flag was evaluated in the hour before now, and in the ten minutes
// before that in part.
func (f *Flag) LastHour(now time.Time) int64 {
	var n uint64
	for i, count := range f.recent {
		if f.newest+spans > spanOf(now)+uint64(i) {
			n += count
		}
	}
	return int64(n)
}

// observe adds what was told of one variant.
func (f *Flag) observe(variant string, count uint64, at time.Time) {
	f.variants[variant] = max(f.variants[variant], toMinutes(at))
	s := spanOf(at)
	f.advance(s)
	if age := f.newest - s; age < spans {
		f.recent[age] += count
	}
}

// advance makes a span the newest, if it is newer.
func (f *Flag) advance(s uint64) {
	if s <= f.newest {
		return
	}
	var moved [spans]uint64
	if by := s - f.newest; by < spans {
		copy(moved[by:], f.recent[:spans-by])
	}
	f.recent, f.newest = moved, s
}

// merge adds what another server has written before.
func (f *Flag) merge(other *Flag) {
	for name, minute := range other.variants {
		f.variants[name] = max(f.variants[name], minute)
	}
	f.advance(other.newest)
	for i, count := range other.recent {
		if age := f.newest - other.newest + uint64(i); age < spans {
			f.recent[age] += count
		}
	}
}

func toMinutes(t time.Time) uint64   { return uint64(max(t.Unix(), 0)) / 60 }
func fromMinutes(m uint64) time.Time { return time.Unix(int64(m)*60, 0).UTC() }
func spanOf(t time.Time) uint64      { return uint64(max(t.Unix(), 0)) / uint64(span/time.Second) }

func shardOf(flagKey string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(flagKey)) // it never fails
	return int(h.Sum32() % shards)
}

func shardKey(environment string, shard int) string {
	return root + environment + "/" + strconv.Itoa(shard)
}

// Read reads what is known of an environment.
func Read(ctx context.Context, s store.Store, environment string) (*Usage, error) {
	results, _, err := s.Read(ctx, store.Prefix(root+environment+"/"))
	if err != nil {
		return nil, err
	}
	u := &Usage{flags: map[string]*Flag{}}
	for _, kv := range results[0].KVs {
		if err := u.add(kv); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// add decodes a shard.
func (u *Usage) add(kv store.KV) error {
	m := &telemetryv1.UsageShard{}
	if err := proto.Unmarshal(kv.Value, m); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, strings.TrimPrefix(kv.Key, root), err)
	}
	if since := fromMinutes(m.GetSince()); u.Since.IsZero() || since.Before(u.Since) {
		u.Since = since
	}
	for _, r := range m.GetFlags() {
		f := &Flag{variants: make(map[string]uint64, len(r.GetVariants())), newest: r.GetSpan()}
		for _, v := range r.GetVariants() {
			f.variants[v.GetVariant()] = v.GetLast()
		}
		copy(f.recent[:], r.GetRecent())
		u.flags[r.GetFlagKey()] = f
	}
	return nil
}
