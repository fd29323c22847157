//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/streamcheck"
	"github.com/tidegate/tidegate/internal/streamcheck/linear"
)

// held is what holds a scenario to the guarantees: what its processes write down, the
// history of its store, and what its clients were told.
type held struct {
	truth   *truth
	history *linear.History
	// options of the check, for a scenario to set.
	options streamcheck.Options
	// lost are the keys of flags whose last writes a restored store does not have.
	lost []string
	// report and trails are what the check looked at.
	report *streamcheck.Report
	trails []trail
	// unaudited are the keys of items that something else than a server wrote.
	unaudited []string
}

func (h *held) begin(s *scenario) {
	h.truth = newTruth(s)
	h.history = linear.NewHistory()
	// A message is under way for no time worth mentioning, but processes wait for a
	// processor.
	h.options.AgeSlack = 5 * time.Second
	// A relay whose upstream went again and again waits for up to half a minute.
	h.options.Within = deadAfter + heartbeat + longestWait
}

// delays says that messages may be under way for as long as a silent upstream is believed.
func (h *held) delays() { h.options.AgeSlack = deadAfter + slack }

// logged is what has a process write down what it shows, under a name of its own.
func (s *scenario) logged(kind string) []string {
	s.logs++
	name := fmt.Sprintf("%s-%d", kind, s.logs)
	return []string{"--instance-id", name, "--stream-log", filepath.Join(s.dir, name+streamcheck.LogSuffix)}
}

// check ends the processes, and holds what they showed to what the store held, what the
// clients were told to one order of all calls, and the audit trails to the changes.
func (s *scenario) check(settled int64) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*bed.Patience)
	defer cancel()
	s.readTrails(ctx)
	for _, p := range s.processes() {
		p.Kill()
	}
	s.truth.finish(ctx)
	run, err := streamcheck.Collect(s.dir)
	if err != nil {
		s.Fatal(err)
	}
	s.options.Settled = settled
	s.report = streamcheck.Check(run, s.options)
	s.Logf("held to the guarantees: %s", s.report)
	if err := s.report.Err(); err != nil {
		s.Error(err)
	}
	if s.report.Instances != len(s.processes()) {
		s.Errorf("%d processes, logs of %d", len(s.processes()), s.report.Instances)
	}
	if s.rivals == nil {
		// The scenario is not about writing.
	} else if err := s.history.Check(time.Minute, filepath.Join(s.ArtifactDir(), "linear.html")); err != nil {
		s.Error(err)
	}
	s.audit(run)
	s.Logf("%d calls in one order, %d audit trails", s.history.Len(), len(s.trails))
}

// keep leaves what a run that failed has written down with the test's artifacts.
func (s *scenario) keep() {
	if !s.Failed() {
		return
	}
	logs, err := filepath.Glob(filepath.Join(s.dir, "*.jsonl"))
	for _, log := range logs {
		data, e := os.ReadFile(log)
		err = errors.Join(err, e, os.WriteFile(filepath.Join(s.ArtifactDir(), filepath.Base(log)), data, 0o600))
	}
	s.Logf("the logs of the run are in %s (with -artifacts they stay there): %v", s.ArtifactDir(), err)
}

// audit holds each trail to the changes of its item.
func (s *scenario) audit(run *streamcheck.Run) {
	s.Helper()
	audit, err := streamcheck.NewAudit(run.Truth, s.truth.life)
	if err != nil {
		s.Fatal(err)
	}
	var missing []streamcheck.ID
	for _, id := range audit.Items(bed.Environment) {
		if id.Kind != int32(syncv1.Kind_KIND_KEY) && !slices.Contains(s.unaudited, id.Key) { // keys have trails of their own
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		s.Error("the store had no item to hold a trail to")
	}
	for _, t := range s.trails {
		missing = slices.DeleteFunc(missing, func(id streamcheck.ID) bool { return id == t.id })
		if err := audit.Check(bed.Environment, t.id, t.entries); err != nil {
			s.Error(err)
		}
	}
	if len(missing) > 0 {
		s.Errorf("the store changed %v, of which no trail was read", missing)
	}
}

// truth writes down the history of a scenario's store, for every life that it has.
type truth struct {
	s    *scenario
	file *os.File
	add  func(streamcheck.Entry) error
	life int

	// recording is of an etcd of its own, as it goes.
	recording *streamcheck.Recording
	store     *etcdstore.Store
	// data is where a server has its store in itself, which is read when it has ended.
	data string
	from int64
}

func newTruth(s *scenario) *truth {
	s.Helper()
	file, err := os.Create(filepath.Join(s.dir, streamcheck.TruthFile))
	s.must(err)
	s.Cleanup(func() { file.Close() })
	return &truth{s: s, file: file, add: streamcheck.WriteTruth(file)}
}

// begin begins a life: that of an empty store, or one that is a copy of the life of up to
// the revision at.
func (t *truth) begin(of int, at int64) {
	t.s.Helper()
	t.life++
	t.from = at + 1
	t.s.must(t.add(streamcheck.Entry{Life: t.life, Begin: true, Of: of, At: at}))
}

// watch records an etcd as it goes, over connections that no fault touches.
func (t *truth) watch(endpoints []string) {
	t.s.Helper()
	var err error
	t.store, err = etcdstore.Open(t.s.ctx, etcdstore.Options{Endpoints: endpoints, Logger: zerolog.Nop()})
	t.s.must(err)
	t.recording = streamcheck.Record(t.store, t.life, t.from, t.add)
	t.s.Cleanup(func() {
		if t.recording != nil { // the test has failed
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_ = t.recording.Finish(ended)
			_ = t.store.Close()
		}
	})
}

// finish ends the life: all of it is written down.
func (t *truth) finish(ctx context.Context) {
	t.s.Helper()
	switch {
	case t.recording != nil:
		err := t.recording.Finish(ctx)
		t.recording = nil
		t.s.must(errors.Join(err, t.store.Close()))
	case t.data != "":
		t.read(ctx)
	default:
		t.s.Fatal("nobody knows the history of the store: there is nothing to hold the run to")
	}
}

// read writes down what a data directory holds, in which no server runs. When a change
// happened it does not tell.
func (t *truth) read(ctx context.Context) {
	t.s.Helper()
	t.open(ctx, func(s *etcdstore.Store) error {
		return streamcheck.Record(s, t.life, t.from, func(e streamcheck.Entry) error {
			e.Mono = 0
			return t.add(e)
		}).Finish(ctx)
	})
}

// head is the revision that a data directory has come to, in which no server runs.
func (t *truth) head(ctx context.Context) (head int64) {
	t.s.Helper()
	t.open(ctx, func(s *etcdstore.Store) (err error) {
		_, head, err = s.Read(ctx, store.Key("head"))
		return err
	})
	return head
}

// open opens the data directory.
func (t *truth) open(ctx context.Context, do func(*etcdstore.Store) error) {
	t.s.Helper()
	dir := filepath.Join(t.data, "etcd")
	if _, err := os.Stat(filepath.Join(dir, "member")); err != nil {
		t.s.Fatalf("the server's store is not where it was: %v", err)
	}
	s, err := etcdstore.Open(ctx, etcdstore.Options{DataDir: dir, Logger: zerolog.Nop()})
	t.s.must(err)
	t.s.must(errors.Join(do(s), s.Close()))
}

// recorded waits until the changes up to a revision are written down, so that the store
// may forget them.
func (t *truth) recorded(ctx context.Context, revision int64) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for t.recording.Reached() < revision {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("recorded up to revision %d of %d: %w", t.recording.Reached(), revision, ctx.Err())
		}
	}
	return nil
}
