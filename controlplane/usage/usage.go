// Package usage keeps which flags are evaluated: when each variant was served last, to the
// minute, and how often it was lately, to ten minutes. It is what tells that a
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
	"slices"
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
	// Span is the grain of how often.
	Span = 10 * time.Minute
	// Spans is how many of them are kept: those of the last hour, and the one that began before it.
	Spans = 7
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
	variants map[string]*variant
	recent   counts // of all variants; what was told before they were told apart, too
	newest   uint64 // the number of its first span
}

// variant is what is known of one variant.
type variant struct {
	last   uint64 // when it was served last, in minutes
	recent counts
}

// counts are those of spans, the newest first.
type counts [Spans]uint64

// later is the counts when that many spans more have begun.
func (c counts) later(by uint64) (moved counts) {
	if by < Spans {
		copy(moved[by:], c[:Spans-by])
	}
	return moved
}

// Last is when the flag was evaluated last.
func (f *Flag) Last() time.Time {
	var last uint64
	for _, v := range f.variants {
		last = max(last, v.last)
	}
	return fromMinutes(last)
}

// Variants are those that were served, and when each was last; "" is the caller's default.
func (f *Flag) Variants() map[string]time.Time {
	times := make(map[string]time.Time, len(f.variants))
	for name, v := range f.variants {
		times[name] = fromMinutes(v.last)
	}
	return times
}

// Evaluations counts the evaluations by variant in the last Spans spans of ten minutes, oldest
// first, of those that were served in them. The last of the spans is that of now; the first
// began at from.
func (f *Flag) Evaluations(now time.Time) (byVariant map[string][]uint64, from time.Time) {
	current := spanOf(now)
	from = time.Unix(int64(current+1-Spans)*int64(Span/time.Second), 0).UTC()
	for name, v := range f.variants {
		recent := v.recent.later(current - min(current, f.newest))
		if recent == (counts{}) {
			continue
		}
		if byVariant == nil {
			byVariant = make(map[string][]uint64, len(f.variants))
		}
		slices.Reverse(recent[:])
		byVariant[name] = recent[:]
	}
	return byVariant, from
}

// LastHour is how often the flag was evaluated in the hour before now, and in the ten minutes
// before that in part.
func (f *Flag) LastHour(now time.Time) int64 {
	var n uint64
	for i, count := range f.recent {
		if f.newest+Spans > spanOf(now)+uint64(i) {
			n += count
		}
	}
	return int64(n)
}

// observe adds what was told of one variant.
func (f *Flag) observe(name string, count uint64, at time.Time) {
	s := spanOf(at)
	f.advance(s)
	v := f.variant(name)
	v.last = max(v.last, toMinutes(at))
	if age := f.newest - s; age < Spans {
		f.recent[age] += count
		v.recent[age] += count
	}
}

func (f *Flag) variant(name string) *variant {
	v := f.variants[name]
	if v == nil {
		v = &variant{}
		f.variants[name] = v
	}
	return v
}

// advance makes a span the newest, if it is newer.
func (f *Flag) advance(s uint64) {
	if s <= f.newest {
		return
	}
	by := s - f.newest
	f.recent, f.newest = f.recent.later(by), s
	for _, v := range f.variants {
		v.recent = v.recent.later(by)
	}
}

// merge adds what another server has written before.
func (f *Flag) merge(other *Flag) {
	f.advance(other.newest)
	add := func(to, from *counts) {
		for i, count := range from {
			if age := f.newest - other.newest + uint64(i); age < Spans {
				to[age] += count
			}
		}
	}
	add(&f.recent, &other.recent)
	for name, from := range other.variants {
		v := f.variant(name)
		v.last = max(v.last, from.last)
		add(&v.recent, &from.recent)
	}
}

func toMinutes(t time.Time) uint64   { return uint64(max(t.Unix(), 0)) / 60 }
func fromMinutes(m uint64) time.Time { return time.Unix(int64(m)*60, 0).UTC() }
func spanOf(t time.Time) uint64      { return uint64(max(t.Unix(), 0)) / uint64(Span/time.Second) }

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
		f := &Flag{variants: make(map[string]*variant, len(r.GetVariants())), newest: r.GetSpan()}
		for _, v := range r.GetVariants() {
			known := f.variant(v.GetVariant())
			known.last = v.GetLast()
			copy(known.recent[:], v.GetRecent())
		}
		copy(f.recent[:], r.GetRecent())
		u.flags[r.GetFlagKey()] = f
	}
	return nil
}
