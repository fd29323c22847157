package e2e

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore/backup"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// eraLength parts what is written after each restoration from all that was before.
const eraLength = 1_000_000

// storyKeys are flags that are always written together, with one value.
var storyKeys = []string{bed.Prefix + "a", bed.Prefix + "b", bed.Prefix + "c"}

// story knows everything that was ever written, and how often the store was restored.
type story struct {
	held int64 // what the backup has
	eras atomic.Int64

	mu      sync.Mutex
	written map[int64]bool
	next    map[int]int64 // by era
}

func newStory() *story { return &story{written: make(map[int64]bool), next: make(map[int]int64)} }

// restored says that from now on the backup's state may be seen.
func (s *story) restored(times int) { s.eras.Store(int64(times)) }

// value is the next one of an era; it counts as written before it is.
func (s *story) value(era int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next[era]++
	v := int64(era)*eraLength + s.next[era]
	s.written[v] = true
	return v
}

func (s *story) wrote(value int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written[value]
}

// narrator writes one value after the other, until it is stopped.
type narrator struct {
	acknowledged, newest atomic.Int64
	cancel               context.CancelFunc
	ended                chan struct{}
}

func (s *story) write(ctx context.Context, t *testing.T, server string, era int) *narrator {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	n := &narrator{cancel: cancel, ended: make(chan struct{})}
	flags := controlv1.NewFlagServiceClient(bed.Dial(t, server))
	go func() {
		defer close(n.ended)
		for ctx.Err() == nil {
			v := s.value(era)
			r := &controlv1.ApplyRequest{Environment: bed.Environment, Reason: "count"}
			for _, key := range storyKeys {
				r.Flags = append(r.Flags, &controlv1.FlagWrite{Flag: bed.Counter(key, v)})
			}
			attempt, done := context.WithTimeout(ctx, 5*time.Second)
			if _, err := flags.Apply(attempt, r); err == nil {
				n.acknowledged.Add(1)
				n.newest.Store(v)
			}
			done()
		}
	}()
	t.Cleanup(func() { n.stop() })
	n.more(t, 1)
	return n
}

// last is how many writes were acknowledged.
func (n *narrator) last() int64 { return n.acknowledged.Load() }

// more waits until some more writes were acknowledged.
func (n *narrator) more(t *testing.T, writes int64) {
	t.Helper()
	awaitMore(t, "writes are acknowledged", &n.acknowledged, writes)
}

// stop ends it, and returns how many writes were acknowledged.
func (n *narrator) stop() int64 {
	n.cancel()
	<-n.ended
	return n.last()
}

func awaitMore(t *testing.T, what string, count *atomic.Int64, more int64) {
	t.Helper()
	before := count.Load()
	bed.Eventually(t, what, func() error {
		if now := count.Load(); now < before+more {
			return fmt.Errorf("%d more, want %d", now-before, more)
		}
		return nil
	})
}

// witness asks a relay all the time, and checks what it is told.
type witness struct {
	*story
	t       *testing.T
	name    string
	answers atomic.Int64
	seen    atomic.Int64 // the newest value
	era     int64        // that the relay serves, or the backup's state before it
	cancel  context.CancelFunc
	ended   chan struct{}
}

func (s *story) watch(ctx context.Context, t *testing.T, relay *bed.Relay) *witness {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	w := &witness{story: s, t: t, name: relay.GRPC, cancel: cancel, ended: make(chan struct{})}
	evaluations := evaluationv1.NewEvaluationServiceClient(bed.Dial(t, relay.GRPC))
	ask := func() (*evaluationv1.EvaluateAllResponse, error) {
		ctx, cancel := context.WithTimeout(ctx, bed.Patience)
		defer cancel()
		return evaluations.EvaluateAll(ctx, &evaluationv1.EvaluateAllRequest{Environment: bed.Environment, KeyPrefix: bed.Prefix})
	}
	bed.Eventually(t, "the relay has the flags", func() error {
		all, err := ask()
		if err == nil && len(all.GetEvaluations()) != len(storyKeys) {
			err = fmt.Errorf("it has %d", len(all.GetEvaluations()))
		}
		return err
	})
	go func() {
		defer close(w.ended)
		for ctx.Err() == nil {
			all, err := ask()
			switch {
			case ctx.Err() != nil:
			case err != nil:
				t.Errorf("%s did not answer: %v", w.name, err)
			default:
				w.check(all)
				w.expose(ctx, evaluations)
			}
			select { // there is work to be done beside this
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { w.end(t) })
	return w
}

// expose has the relay count: a subject more is served by the rollout.
func (w *witness) expose(ctx context.Context, evaluations evaluationv1.EvaluationServiceClient) {
	_, err := evaluations.Evaluate(ctx, &evaluationv1.EvaluateRequest{
		Environment: bed.Environment, FlagKey: "new-checkout",
		Context: &evaluationv1.EvaluationContext{TargetingKey: fmt.Sprintf("user-%d", w.answers.Load())},
	})
	if err != nil && ctx.Err() == nil {
		w.t.Errorf("%s did not answer: %v", w.name, err)
	}
}

// check demands that an answer is a state that the store had, and follows the one before it in one
// history, or is of a restored store.
func (w *witness) check(all *evaluationv1.EvaluateAllResponse) {
	if len(all.GetEvaluations()) != len(storyKeys) {
		w.t.Errorf("%s: %d answers, want %d", w.name, len(all.GetEvaluations()), len(storyKeys))
		return
	}
	value := all.GetEvaluations()[0].GetIntValue()
	for _, a := range all.GetEvaluations() {
		if a.GetIntValue() != value || a.GetReason() != "STATIC" {
			w.t.Errorf("%s: answered %v, when another flag that is always written with it was %d", w.name, a, value)
		}
	}
	if !w.wrote(value) {
		w.t.Errorf("%s serves %d, which was never written", w.name, value)
	}
	last, restored := w.seen.Load(), w.eras.Load()
	switch {
	case value >= last && value < (w.era+1)*eraLength && (value >= w.era*eraLength || value == last): // it goes on
	case restored > w.era && (value == w.held || value/eraLength == restored): // it was restored
		w.era = restored
	default:
		w.t.Errorf("%s: serves %d after %d, in era %d of %d", w.name, value, last, w.era, restored)
	}
	w.seen.Store(value)
	w.answers.Add(1)
}

// more waits until the relay has answered some more.
func (w *witness) more(t *testing.T, answers int64) {
	t.Helper()
	awaitMore(t, "the relay answers", &w.answers, answers)
}

// awaits waits until the relay serves a value.
func (w *witness) awaits(t *testing.T, value int64) {
	t.Helper()
	bed.Eventually(t, w.name+" serves what was restored", func() error {
		if seen := w.seen.Load(); seen != value {
			return fmt.Errorf("it serves %d, want %d", seen, value)
		}
		return nil
	})
}

func (w *witness) end(*testing.T) {
	w.cancel()
	<-w.ended
}

// holding is what a backup holds of the environment, by the keys of the store.
type holding struct {
	backup.Info
	flags map[string]store.KV
	items map[string]store.KV // of all kinds
}

func readBackup(t *testing.T, path string) *holding {
	t.Helper()
	h := &holding{flags: make(map[string]store.KV), items: make(map[string]store.KV)}
	const root = "/tidegate/v1/c/" + bed.Environment + "/"
	info, err := backup.Read(path, func(kv store.KV) error {
		if kind, key, ok := strings.Cut(strings.TrimPrefix(kv.Key, root), "/"); ok && strings.HasPrefix(kv.Key, root) {
			if kind == "f" {
				h.flags[key] = kv
			}
			h.items[kind+"/"+key] = kv
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Info = info
	return h
}

// value is that of the flags that are written together.
func (h *holding) value(t *testing.T) int64 {
	t.Helper()
	var values []int64
	for _, key := range storyKeys {
		f := new(flagv1.Flag)
		if err := proto.Unmarshal(h.flags[key].Value, f); err != nil || len(f.GetVariants()) != 1 {
			t.Fatalf("the backup's %s: %v, %v", key, f, err)
		}
		values = append(values, int64(f.GetVariants()[0].GetValue().GetNumberValue()))
	}
	if values[0] != values[1] || values[0] != values[2] {
		t.Fatalf("the backup is of no one moment: %v", values)
	}
	return values[0]
}

// agree waits until all hold exactly what the backup has; of the rollout, whose status goes on,
// that it is there.
func agree(ctx context.Context, t *testing.T, what string, held *holding, addrs []string) {
	t.Helper()
	letters := map[syncv1.Kind]string{
		syncv1.Kind_KIND_FLAG: "f", syncv1.Kind_KIND_SEGMENT: "s", syncv1.Kind_KIND_KEY: "k", syncv1.Kind_KIND_ROLLOUT: "r",
	}
	bed.Eventually(t, what+" agree", func() error {
		state, err := bed.SameState(ctx, addrs...)
		if err != nil {
			return err
		}
		there := 0
		for item := range state.Items() {
			there++
			want, ok := held.items[letters[item.Kind]+"/"+item.Key]
			if !ok || item.Kind != syncv1.Kind_KIND_ROLLOUT && (!bytes.Equal(want.Value, item.Data) || want.ModRevision != item.ModRevision) {
				return fmt.Errorf("%s is of revision %d, and of %d in the backup", item.ID(), item.ModRevision, want.ModRevision)
			}
		}
		if there != len(held.items) {
			return fmt.Errorf("%d items, the backup has %d", there, len(held.items))
		}
		return nil
	})
}
