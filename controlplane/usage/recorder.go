package usage

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/fault"
)

// storeTimeout bounds one call of the store.
const storeTimeout = 5 * time.Second

// Options of a Recorder.
type Options struct {
	Store store.Store // required
	// Environments are those that there are; required.
	Environments func() []string
	// Exists says whether an environment has a flag; required. True where that is not known.
	Exists func(environment, flagKey string) bool
	// Every is how often what changed is written. Default 1 minute.
	Every  time.Duration
	Logger zerolog.Logger
	Now    func() time.Time // default fault.Now
}

// Recorder adds up on the leader. Its methods may be called from any goroutine.
type Recorder struct {
	o Options

	mu           sync.Mutex
	environments map[string]*recorded
}

// recorded is one environment, in shards.
type recorded struct {
	since time.Time
	flags [shards]map[string]*Flag
	dirty [shards]bool
}

// NewRecorder makes a Recorder. It writes while [Recorder.Lead] runs.
func NewRecorder(o Options) (*Recorder, error) {
	if o.Store == nil || o.Environments == nil || o.Exists == nil {
		return nil, errors.New("usage: Options.Store, Environments and Exists are required")
	}
	o.Every = cmp.Or(o.Every, time.Minute)
	if o.Now == nil {
		o.Now = fault.Now
	}
	return &Recorder{o: o, environments: map[string]*recorded{}}, nil
}

// Observe adds what a relay has told. It never waits for the store.
func (r *Recorder) Observe(environment string, told []*telemetryv1.Evaluations) {
	if len(told) == 0 {
		return
	}
	now := r.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.environmentLocked(environment)
	for _, t := range told {
		if !r.o.Exists(environment, t.GetFlagKey()) {
			continue
		}
		at := t.GetLastAt().AsTime()
		if at.After(now) {
			at = now // its clock is ahead
		}
		shard := shardOf(t.GetFlagKey())
		f := e.flags[shard][t.GetFlagKey()]
		if f == nil {
			f = &Flag{variants: map[string]*variant{}}
			e.flags[shard][t.GetFlagKey()] = f
		}
		f.observe(t.GetVariant(), t.GetCount(), at)
		e.dirty[shard] = true
	}
}

func (r *Recorder) environmentLocked(name string) *recorded {
	e := r.environments[name]
	if e == nil {
		e = &recorded{since: r.o.Now()}
		for i := range e.flags {
			e.flags[i] = map[string]*Flag{}
		}
		r.environments[name] = e
	}
	return e
}

// Lead writes until ctx ends, which it returns, or the term is over: leader.ErrDeposed.
func (r *Recorder) Lead(ctx context.Context, term leader.Term) error {
	defer r.forget() // the next leader goes on from what is written
	loaded := r.try("read", r.load(ctx))
	for {
		select {
		case <-time.After(r.o.Every):
		case <-ctx.Done():
			return ctx.Err()
		}
		if !loaded {
			loaded = r.try("read", r.load(ctx))
		}
		if loaded {
			err := r.flush(ctx, term)
			if errors.Is(err, leader.ErrDeposed) {
				return err
			}
			r.try("written", err)
		}
	}
}

func (r *Recorder) try(what string, err error) bool {
	if err != nil && !errors.Is(err, context.Canceled) {
		r.o.Logger.Warn().Err(err).Msg("which flags are evaluated cannot be " + what + "; trying again")
	}
	return err == nil
}

func (r *Recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.environments)
}

// load adds what the leaders before have written.
func (r *Recorder) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	results, _, err := r.o.Store.Read(ctx, store.Prefix(root))
	if err != nil {
		return err
	}
	stored := map[string]*Usage{}
	for _, kv := range results[0].KVs {
		environment, _, _ := strings.Cut(strings.TrimPrefix(kv.Key, root), "/")
		if stored[environment] == nil {
			stored[environment] = &Usage{flags: map[string]*Flag{}}
		}
		if err := stored[environment].add(kv); err != nil {
			// It is for people: begin anew rather than never again.
			r.o.Logger.Error().Err(err).Msg("which flags were evaluated is forgotten in part")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, u := range stored {
		e := r.environmentLocked(name)
		if !u.Since.IsZero() {
			e.since = u.Since
		}
		for key, f := range u.flags {
			shard := shardOf(key)
			if known := e.flags[shard][key]; known != nil {
				known.merge(f)
			} else {
				e.flags[shard][key] = f
			}
		}
	}
	return nil
}

// write is one shard, encoded.
type write struct {
	environment string
	shard       int
	value       []byte
}

// flush writes the shards that changed.
func (r *Recorder) flush(ctx context.Context, term leader.Term) error {
	writes, err := r.encode()
	if err != nil {
		return err
	}
	for i, w := range writes {
		committing, cancel := context.WithTimeout(ctx, storeTimeout)
		out, err := r.o.Store.Commit(committing, store.Txn{
			Compares: []store.Compare{term.Fence()},
			Ops:      []store.Op{store.Put(shardKey(w.environment, w.shard), w.value)},
		})
		cancel()
		if err == nil && !out.Committed {
			err = leader.ErrDeposed
		}
		if err != nil {
			r.again(writes[i:])
			return err
		}
	}
	return nil
}

// again has what was not written be written the next time.
func (r *Recorder) again(writes []write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range writes {
		r.environmentLocked(w.environment).dirty[w.shard] = true
	}
}

// encode takes what is to be written, without the flags that are gone.
func (r *Recorder) encode() ([]write, error) {
	environments := r.o.Environments()
	r.mu.Lock()
	defer r.mu.Unlock()
	var writes []write
	for _, name := range environments {
		e := r.environmentLocked(name)
		for shard, flags := range e.flags {
			before := len(flags)
			maps.DeleteFunc(flags, func(key string, _ *Flag) bool { return !r.o.Exists(name, key) })
			if !e.dirty[shard] && len(flags) == before {
				continue
			}
			value, err := proto.MarshalOptions{Deterministic: true}.Marshal(shardProto(e.since, flags))
			if err != nil {
				return nil, err
			}
			writes = append(writes, write{name, shard, value})
			e.dirty[shard] = false
		}
	}
	return writes, nil
}

func shardProto(since time.Time, flags map[string]*Flag) *telemetryv1.UsageShard {
	m := &telemetryv1.UsageShard{Since: toMinutes(since)}
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		f := flags[key]
		r := &telemetryv1.FlagUsageRecord{FlagKey: key, Recent: f.recent[:], Span: f.newest}
		for _, name := range slices.Sorted(maps.Keys(f.variants)) {
			v := f.variants[name]
			stored := &telemetryv1.VariantUsageRecord{Variant: name, Last: v.last}
			if v.recent != (counts{}) {
				stored.Recent = v.recent[:]
			}
			r.Variants = append(r.Variants, stored)
		}
		m.Flags = append(m.Flags, r)
	}
	return m
}
