package streamcheck_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/clientsdk"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/streamcheck"
	"github.com/tidegate/tidegate/internal/streamcheck/linear"
	"github.com/tidegate/tidegate/internal/streamlog"
	"github.com/tidegate/tidegate/relay"
	"github.com/tidegate/tidegate/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const environment = "production"

// keptOpen is a store that outlives its servers.
type keptOpen struct{ store.Store }

func (keptOpen) Close() error { return nil }

// site is a server, with what follows it, that writes down what it shows.
type site struct {
	t     *testing.T
	dir   string
	store *memstore.Store
}

// run runs something until the returned function is called.
func (s *site) run(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				s.t.Error(err)
			}
		})
	}
	s.t.Cleanup(stop)
	return stop
}

func (s *site) log(name string) string { return filepath.Join(s.dir, name+streamcheck.LogSuffix) }

func (s *site) server(name, addr string) (at string, stop func()) {
	s.t.Helper()
	o, err := server.Open(s.t.Context(), server.Options{
		Open: true, SealEvery: time.Hour, // so that the store rests when nobody writes
		Store: keptOpen{s.store}, GRPCAddr: addr, HTTPAddr: "127.0.0.1:0", Environments: []string{environment},
		InstanceID: name, StreamLog: s.log(name), Logger: zerolog.Nop(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return o.GRPCAddr(), s.run(o.Run)
}

func (s *site) relay(name, addr, upstream string) (at string, stop func()) {
	s.t.Helper()
	o, err := relay.Open(s.t.Context(), relay.Options{
		Upstreams: []string{upstream}, Environments: []string{environment}, InstanceID: name,
		GRPCAddr: addr, HTTPAddr: "127.0.0.1:0", ManagementAddr: "127.0.0.1:0", FlagdSyncAddr: "127.0.0.1:0",
		StateDir: filepath.Join(s.dir, name), StreamLog: s.log(name), Logger: zerolog.Nop(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return o.GRPCAddr(), s.run(o.Run)
}

func (s *site) put(key, value string) {
	s.t.Helper()
	_, err := s.store.Commit(s.t.Context(), store.Txn{Ops: []store.Op{store.Put("/tidegate/v1/"+key, []byte(value))}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// advance writes what is not of the environment until a process shows that it has advanced.
func (s *site) advance(name string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		s.put("meta/other", "")
		if s.events(name, streamlog.Advance) > 0 {
			return
		}
	}
	s.t.Fatalf("%s does not advance", name)
}

// events is how many of a kind a process has written down.
func (s *site) events(name string, kind streamlog.Event) (n int) {
	s.t.Helper()
	log, err := os.ReadFile(s.log(name))
	if err != nil {
		s.t.Fatal(err)
	}
	records, err := streamlog.Read(bytes.NewReader(log))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range records {
		if r.Event == kind {
			n++
		}
	}
	return n
}

// writer writes flags at random, and notes what it was told.
type writer struct {
	t       *testing.T
	number  int
	flags   controlv1.FlagServiceClient
	history *linear.History
	random  *rand.Rand
	bases   map[string]int64
}

func definition(key, content string, enabled bool) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Description: content, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: enabled,
		Variants:       []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
	}
}

// step makes one call.
func (w *writer) step(ctx context.Context) {
	key := fmt.Sprintf("flag-%d", w.random.IntN(3))
	ops := []linear.Op{linear.Get, linear.Create, linear.Update, linear.Update, linear.SetEnabled, linear.Delete}
	c := linear.Call{
		Op: ops[w.random.IntN(len(ops))], Flag: environment + "/" + key,
		Content: fmt.Sprint(w.random.IntN(3)), Enabled: w.random.IntN(2) == 0,
	}
	if c.Op == linear.Update || c.Op == linear.Delete {
		c.Base = max(w.bases[key], 1)
	}
	end := w.history.Call(w.number, c)
	flag, revision, err := w.call(ctx, key, c)
	a := linear.Answer{Revision: revision, Content: flag.GetDescription(), Enabled: flag.GetEnabled()}
	switch status.Code(err) {
	case codes.OK:
		a.Outcome = linear.Done
		w.bases[key] = revision
	case codes.NotFound:
		a.Outcome = linear.NotFound
	case codes.AlreadyExists:
		a.Outcome = linear.Exists
	case codes.Aborted:
		a.Outcome = linear.Conflict
	default:
		w.t.Errorf("%v: %v", c, err)
		a.Outcome = linear.Unknown
	}
	end(a)
}

func (w *writer) call(ctx context.Context, key string, c linear.Call) (*flagv1.Flag, int64, error) {
	id := uuid.NewString()
	switch c.Op {
	case linear.Create:
		r, err := w.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: environment, Flag: definition(key, c.Content, c.Enabled), Reason: "test", RequestId: id})
		return r.GetFlag().GetFlag(), r.GetFlag().GetRevision(), err
	case linear.Update:
		r, err := w.flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{Environment: environment, Flag: definition(key, c.Content, c.Enabled), BaseRevision: c.Base, Reason: "test", RequestId: id})
		return r.GetFlag().GetFlag(), r.GetFlag().GetRevision(), err
	case linear.SetEnabled:
		r, err := w.flags.SetEnabled(ctx, &controlv1.SetEnabledRequest{Environment: environment, FlagKey: key, Enabled: c.Enabled, Reason: "test", RequestId: id})
		return r.GetFlag().GetFlag(), r.GetFlag().GetRevision(), err
	case linear.Delete:
		r, err := w.flags.DeleteFlag(ctx, &controlv1.DeleteFlagRequest{Environment: environment, FlagKey: key, BaseRevision: c.Base, Reason: "test", RequestId: id})
		return nil, r.GetEntry().GetRevision(), err
	}
	r, err := w.flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: environment, FlagKey: key})
	return r.GetFlag().GetFlag(), r.GetFlag().GetRevision(), err
}

// TestRun: real processes' insides, with restarts and a new epoch, keep every promise, and
// all of them are looked at.
func TestRun(t *testing.T) {
	s := &site{t: t, dir: t.TempDir(), store: memstore.New()}
	file, err := os.Create(filepath.Join(s.dir, streamcheck.TruthFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	add := streamcheck.WriteTruth(file)
	if err := add(streamcheck.Entry{Life: 1, Begin: true}); err != nil {
		t.Fatal(err)
	}
	recording := streamcheck.Record(s.store, 1, 1, add)

	upstream, _ := s.server("server", "127.0.0.1:0")
	first, stopFirst := s.relay("relay-1", "127.0.0.1:0", upstream)
	second, _ := s.relay("relay-2", "127.0.0.1:0", first)
	client, err := clientsdk.NewInProcess(t.Context(), second, environment,
		clientsdk.WithStreamLog(s.log("sdk")), clientsdk.WithStateDir(filepath.Join(s.dir, "sdk")), clientsdk.WithInstanceID("sdk"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	conn, err := grpc.NewClient(upstream, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	flags := controlv1.NewFlagServiceClient(conn)
	history := linear.NewHistory()
	write := func(steps int) {
		var writers sync.WaitGroup
		for n := range 8 {
			w := &writer{t: t, number: n, flags: flags, history: history, random: rand.New(rand.NewPCG(1, uint64(history.Len()+n))), bases: map[string]int64{}}
			writers.Go(func() {
				for range steps {
					w.step(t.Context())
				}
			})
		}
		writers.Wait()
	}
	write(20)
	stopFirst()
	write(1) // few: of many, everything is less to send than what changed
	before := s.events("relay-1", streamlog.Resume)
	s.relay("relay-1", first, upstream)
	for deadline := time.Now().Add(time.Minute); s.events("relay-1", streamlog.Resume) == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("relay-1 does not go on")
		}
	}
	write(20)
	s.put("meta/epoch", `{"counter":2,"random":"00c0ffee00c0ffee"}`)
	write(20)
	s.advance("server")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := recording.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	o := streamcheck.Options{
		Within: time.Minute, AgeSlack: 10 * time.Second,
		Require: []streamcheck.Guarantee{
			streamcheck.Unique, streamcheck.Reliable, streamcheck.Resumable, streamcheck.Bookmarkable, streamcheck.Durable, streamcheck.Age,
		},
	}
	run, report := settled(t, s.dir, o)
	t.Log(report)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Instances != 4 || report.Runs != 5 {
		t.Errorf("%d instances, %d runs", report.Instances, report.Runs)
	}
	if err := history.Check(time.Minute, filepath.Join(t.ArtifactDir(), "linear.html")); err != nil {
		t.Error(err)
	}
	audit(t, run, flags)
}

// settled waits until nothing is missing.
func settled(t *testing.T, dir string, o streamcheck.Options) (*streamcheck.Run, *streamcheck.Report) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		run, err := streamcheck.Collect(dir)
		if err != nil {
			t.Fatal(err)
		}
		report := streamcheck.Check(run, o)
		if report.Err() == nil || time.Now().After(deadline) {
			return run, report
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// audit holds every flag's history to the store's, and what is wrong with a history to
// being found.
func audit(t *testing.T, run *streamcheck.Run, flags controlv1.FlagServiceClient) {
	t.Helper()
	a, err := streamcheck.NewAudit(run.Truth, 1)
	if err != nil {
		t.Fatal(err)
	}
	items := a.Items(environment)
	if len(items) != 3 {
		t.Fatalf("items: %v", items)
	}
	for _, id := range items {
		entries := entriesOf(t, flags, id.Key)
		if err := a.Check(environment, id, entries); err != nil {
			t.Error(err)
		}
		for name, change := range map[string]func(){
			"one is missing":      func() { entries = entries[1:] },
			"one is changed":      func() { entries[len(entries)-1].Reason = "another" },
			"of another resource": func() { entries[0].Key = "x" },
			"another action": func() {
				entries[0].Action = controlv1.Action_ACTION_DELETED
				entries[1].Action = controlv1.Action_ACTION_DELETED
			},
			"a request twice":     func() { entries[0].RequestId = entries[1].GetRequestId() },
			"another revision":    func() { entries[0].Revision++ },
			"another predecessor": func() { entries[0].PreviousRevision++ },
			"out of order":        func() { entries[0], entries[1] = entries[1], entries[0] },
		} {
			entries = entriesOf(t, flags, id.Key)
			change()
			if err := a.Check(environment, id, entries); !errors.Is(err, streamcheck.Audited) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func entriesOf(t *testing.T, flags controlv1.FlagServiceClient, key string) []*controlv1.AuditEntry {
	t.Helper()
	var entries []*controlv1.AuditEntry
	q := &controlv1.ListFlagHistoryRequest{Environment: environment, FlagKey: key, PageSize: 100}
	for {
		r, err := flags.ListFlagHistory(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, r.GetEntries()...)
		if q.PageToken = r.GetNextPageToken(); q.PageToken == "" {
			return entries
		}
	}
}
