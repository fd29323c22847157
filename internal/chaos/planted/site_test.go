//go:build faults && unix

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/streamcheck"
	"github.com/tidegate/tidegate/internal/streamlog"
	"github.com/tidegate/tidegate/relay"
	"github.com/tidegate/tidegate/server"
)

var seed = flag.Uint64("seed", 1, "seed of all that is drawn at random")

// patience is how long what must come true may take. A bug that keeps it from coming true
// is waited for as long.
const patience = 6 * time.Second

// site is a store, with the servers and relays on it, and the truth about it.
type site struct {
	*testing.T
	dir    string
	random *rand.Rand
	store  *memstore.Store
	// options for the check at the end.
	options streamcheck.Options

	add       func(streamcheck.Entry) error
	life      int
	recording *streamcheck.Recording
	recorded  atomic.Int64
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(*seed, 0)), store: memstore.New(), life: 1}
	s.options = streamcheck.Options{Within: time.Minute}
	file, err := os.Create(filepath.Join(s.dir, streamcheck.TruthFile))
	s.must(err)
	t.Cleanup(func() { file.Close() })
	write := streamcheck.WriteTruth(file)
	s.add = func(e streamcheck.Entry) error {
		err := write(e)
		s.recorded.Store(e.Revision)
		return err
	}
	s.must(s.add(streamcheck.Entry{Life: 1, Begin: true}))
	s.recording = streamcheck.Record(s.store, 1, 1, s.add)
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// node is a server or relay.
type node struct {
	name, addr string
	stop       func()
}

// start runs something until stop is called.
func (s *site) start(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.Error(err)
		}
	})
	s.Cleanup(stop)
	return stop
}

// keptOpen is a store that outlives its servers.
type keptOpen struct{ store.Store }

func (keptOpen) Close() error { return nil }

func (s *site) log(name string) string { return filepath.Join(s.dir, name+streamcheck.LogSuffix) }

const anywhere = "127.0.0.1:0"

// server starts one on a store: the site's, or one in front of it.
func (s *site) server(name, addr string, on store.Store, change ...func(*server.Options)) *node {
	s.Helper()
	o := server.Options{
		Open: true, SealEvery: time.Hour, // so that the store rests when nobody writes
		Store: keptOpen{on}, GRPCAddr: addr, HTTPAddr: anywhere, Environments: []string{bed.Environment},
		InstanceID: name, StreamLog: s.log(name), Drain: 100 * time.Millisecond, Logger: zerolog.Nop(),
	}
	for _, c := range change {
		c(&o)
	}
	srv, err := server.Open(s.Context(), o)
	s.must(err)
	return &node{name: name, addr: srv.GRPCAddr(), stop: s.start(srv.Run)}
}

// relay starts one; the same name has the same state directory.
func (s *site) relay(name, addr string, upstreams ...string) *node {
	s.Helper()
	return s.relayWith(func(o *relay.Options) { o.InstanceID, o.GRPCAddr, o.Upstreams = name, addr, upstreams })
}

func (s *site) relayWith(change func(*relay.Options)) *node {
	s.Helper()
	o := relay.Options{
		Environments: []string{bed.Environment}, GRPCAddr: anywhere, HTTPAddr: anywhere, ManagementAddr: anywhere, FlagdSyncAddr: anywhere,
		Drain: 100 * time.Millisecond, Logger: zerolog.Nop(),
	}
	change(&o)
	o.StateDir, o.StreamLog = filepath.Join(s.dir, o.InstanceID), s.log(o.InstanceID)
	r, err := relay.Open(s.Context(), o)
	s.must(err)
	return &node{name: o.InstanceID, addr: r.GRPCAddr(), stop: s.start(r.Run)}
}

func (s *site) proxy(target string) *proxy.Proxy {
	s.Helper()
	p, err := proxy.New(target, *seed)
	s.must(err)
	s.Cleanup(func() { p.Close() })
	return p
}

// synced waits until the nodes hold the same.
func (s *site) synced(nodes ...*node) {
	s.Helper()
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.addr)
	}
	bed.EventuallyWithin(s, patience, "Convergence: all hold the same", func() error {
		_, err := bed.SameState(s.Context(), addrs...)
		return err
	})
}

// shown waits until a node has shown the revision, or a later one: by its log, as who asks
// it is one of its followers.
func (s *site) shown(n *node, revision int64) {
	s.Helper()
	bed.EventuallyWithin(s, patience, "Convergence: "+n.name+" shows the change", func() error {
		log, err := os.ReadFile(s.log(n.name))
		if err != nil {
			return err
		}
		records, err := streamlog.Read(bytes.NewReader(log))
		last := int64(0)
		for _, r := range records {
			if r.Cursor != nil && r.Event != streamlog.Resume {
				last = max(last, r.Cursor.Revision)
			}
		}
		if err == nil && last < revision {
			err = fmt.Errorf("it is at revision %d, not %d", last, revision)
		}
		return err
	})
}

// flag is one whose definition takes about so many bytes.
func (s *site) flag(key string, size int) *flagv1.Flag {
	var b strings.Builder
	for b.Len() < size {
		fmt.Fprintf(&b, "%016x", s.random.Uint64())
	}
	return &flagv1.Flag{
		Key: key, Description: b.String(), Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants:       []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
	}
}

// apply writes so many flags of a size at a server, together.
func (s *site) apply(n *node, count, size int) {
	s.Helper()
	r := &controlv1.ApplyRequest{Environment: bed.Environment, Reason: "test", RequestId: uuid.NewString()}
	for i := range count {
		r.Flags = append(r.Flags, &controlv1.FlagWrite{Flag: s.flag(fmt.Sprintf("flag-%d", i), size)})
	}
	_, err := s.flags(n).Apply(s.Context(), r)
	s.must(err)
}

func (s *site) flags(n *node) controlv1.FlagServiceClient {
	return controlv1.NewFlagServiceClient(bed.Dial(s, n.addr))
}

// put writes a flag past the servers, whatever its definition; nil deletes it.
func (s *site) put(key string, definition []byte) int64 {
	s.Helper()
	const root = "/tidegate/v1/c/" + bed.Environment + "/"
	ops := []store.Op{store.Put(root+"f/"+key, definition)}
	if definition == nil { // with the guard, as servers do
		ops = []store.Op{store.Delete(root + "f/" + key), store.Put(root+"refs", nil)}
	}
	out, err := s.store.Commit(s.Context(), store.Txn{Ops: ops})
	s.must(err)
	return out.Revision
}

func (s *site) encoded(f *flagv1.Flag) []byte {
	s.Helper()
	data, err := proto.Marshal(f)
	s.must(err)
	return data
}

// compact waits until the truth is known so far, and compacts.
func (s *site) compact(revision int64) {
	s.Helper()
	bed.EventuallyWithin(s, patience, "the truth is recorded", func() error {
		if at := s.recorded.Load(); at < revision {
			return fmt.Errorf("up to revision %d of %d", at, revision)
		}
		return nil
	})
	s.must(s.store.Compact(revision))
}

// finish ends the recording.
func (s *site) finish() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	s.must(s.recording.Finish(ctx))
}

// restore takes the store back to a backup, from which another life begins.
func (s *site) restore(b *memstore.Backup, at int64) {
	s.Helper()
	s.finish()
	s.life++
	s.must(s.add(streamcheck.Entry{Life: s.life, Begin: true, Of: s.life - 1, At: at}))
	s.store.Restore(b)
	s.recording = streamcheck.Record(s.store, s.life, at+1, s.add)
}

// check holds what the servers and relays have shown to what they promise; some of it must
// have been looked at.
func (s *site) check(require ...streamcheck.Guarantee) *streamcheck.Run {
	s.Helper()
	s.options.Require = require
	for deadline, found := time.Now().Add(patience), false; ; {
		s.finish()
		run, err := streamcheck.Collect(s.dir)
		s.must(err)
		report := streamcheck.Check(run, s.options)
		err = report.Err()
		// What was shown while the truth was read is not part of it yet, and that all is
		// there in the end may take a moment.
		broken := len(report.Violations) > report.Violated[streamcheck.Convergence]
		if err == nil || broken && found || time.Now().After(deadline) {
			s.Log(report)
			if err != nil {
				s.Error(err)
			}
			return run
		}
		found = broken
		s.recording = streamcheck.Record(s.store, s.life, s.recorded.Load()+1, s.add)
		time.Sleep(100 * time.Millisecond)
	}
}
