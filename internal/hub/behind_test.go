package hub_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tree"
)

// fakeStore answers for a store.
type fakeStore struct {
	mu       sync.Mutex
	epoch    snapshot.Epoch
	revision int64
	err      error
	asked    atomic.Int64
	// gate, if not nil, holds each answer back until something can be received from it.
	gate chan struct{}
}

func (s *fakeStore) head(ctx context.Context) (snapshot.Epoch, int64, error) {
	s.asked.Add(1)
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return snapshot.Epoch{}, 0, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, s.revision, s.err
}

// ahead is a hello whose state is some revisions ahead of the one here.
func ahead(b *bed, by int64) *syncv1.Hello {
	cursor := b.set.Replica("production").Snapshot().Cursor()
	cursor.Revision += by
	cursor.Digest.Lo++
	h := hello("f", "production")
	h.Scopes[0].Cursor = cursor.Proto()
	return h
}

// TestBehind: what a follower that is ahead is told depends on the store alone.
func TestBehind(t *testing.T) {
	other := snapshot.Epoch{Counter: 9}
	for name, tc := range map[string]struct {
		store *fakeStore
		lost  bool
	}{
		"the store is as far":        {&fakeStore{epoch: epoch, revision: 11}, false},
		"the store is farther":       {&fakeStore{epoch: epoch, revision: 100}, false},
		"the store went back":        {&fakeStore{epoch: epoch, revision: 10}, true},
		"it is as far as this hub":   {&fakeStore{epoch: epoch, revision: 1}, true},
		"the store does not answer":  {&fakeStore{err: errors.New("no quorum")}, false},
		"the store begins anew":      {&fakeStore{epoch: other, revision: 1}, false},
		"there is no store: a relay": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var logged syncBuffer
			registry := prometheus.NewRegistry()
			o := hub.Options{BehindWait: 200 * time.Millisecond, Logger: zerolog.New(&logged), Registerer: registry}
			if tc.store != nil {
				o.Head = tc.store.head
			}
			b := newBed(t, o, 0, "production")
			b.publish("production", 10, "a") // revision 1
			c := b.present(nil, ahead(b, 10))
			g := c.goodbye()
			if g.GetCode() != syncv1.Goodbye_CODE_BEHIND || strings.Contains(g.GetMessage(), "needs a new epoch") != tc.lost {
				t.Errorf("%v", g)
			}
			if len(c.have) != 0 {
				t.Error("it was sent something")
			}
			revision, behind := b.hub.StoreBehind()
			if behind != tc.lost || behind && revision != 11 {
				t.Errorf("StoreBehind: %d, %v", revision, behind)
			}
			want := 0.0
			if tc.lost {
				want = 11
			}
			if got := gauge(t, registry, "tidegate_store_behind_followers"); got != want {
				t.Errorf("the metric is %v", got)
			}
			if strings.Contains(logged.String(), "THE STORE IS BEHIND ITS FOLLOWERS") != tc.lost {
				t.Errorf("logged:\n%s", logged.String())
			}
		})
	}
}

// gauge reads a metric without labels.
func gauge(t *testing.T, from prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// TestCaughtUpMeanwhile: a hub that lags behind its store serves who is ahead of it as soon
// as it can.
func TestCaughtUpMeanwhile(t *testing.T) {
	store := &fakeStore{epoch: epoch, revision: 11}
	b := newBed(t, hub.Options{BehindWait: time.Minute, Head: store.head}, 0, "production")
	b.publish("production", 10, "a")
	c := b.present(nil, ahead(b, 1))
	eventually(t, "the store is asked", func() bool { return store.asked.Load() == 1 })
	want := b.publish("production", 10, "b")
	if got := c.outcome(); got != "welcome" {
		t.Fatal(got)
	}
	c.expect(syncv1.Begin_MODE_FULL, want) // its state was none of ours
	if _, behind := b.hub.StoreBehind(); behind {
		t.Error("an alarm")
	}
}

// TestAlarm: it is logged once a minute, keeps the highest revision, and ends with a new
// epoch alone: a store that has gone beyond has done so by another history.
func TestAlarm(t *testing.T) {
	var logged syncBuffer
	store := &fakeStore{epoch: epoch, revision: 1}
	b := newBed(t, hub.Options{BehindWait: time.Minute, Head: store.head, Logger: zerolog.New(&logged)}, 0, "production")
	b.publish("production", 10, "a")
	for _, by := range []int64{5, 10, 7} {
		if g := b.present(nil, ahead(b, by)).goodbye(); g.GetCode() != syncv1.Goodbye_CODE_BEHIND {
			t.Fatalf("%v", g)
		}
	}
	if revision, behind := b.hub.StoreBehind(); !behind || revision != 11 {
		t.Errorf("StoreBehind: %d, %v", revision, behind)
	}
	if n := strings.Count(logged.String(), "THE STORE IS BEHIND"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	r := b.set.Replica("production")
	r.Advance(12)
	if _, behind := b.hub.StoreBehind(); !behind {
		t.Error("the store has gone beyond, and the alarm has ended")
	}
	restored, _ := snapshot.New("production", snapshot.Epoch{Counter: 2}).Next(2, nil, nil)
	if err := r.Publish(restored, restored.Full()); err != nil {
		t.Fatal(err)
	}
	if _, behind := b.hub.StoreBehind(); behind {
		t.Error("a new epoch has begun, and there is an alarm")
	}
	store.mu.Lock()
	store.epoch = restored.Cursor().Epoch
	store.mu.Unlock()
	if g := b.present(nil, ahead(b, 5)).goodbye(); g.GetCode() != syncv1.Goodbye_CODE_BEHIND {
		t.Fatalf("%v", g)
	}
	if n := strings.Count(logged.String(), "THE STORE IS BEHIND"); n != 2 {
		t.Errorf("logged %d times: a new alarm is news", n)
	}
}

// TestLossShowsFartherDown: a relay that lost its own state hides from the server what those
// below it still have, but for its reports.
func TestLossShowsFartherDown(t *testing.T) {
	store := &fakeStore{epoch: epoch, revision: 1}
	b := newBed(t, hub.Options{Head: store.head}, 0, "production")
	state := b.publish("production", 10, "a")
	h := hello("relay", "production")
	h.FollowerKind = syncv1.FollowerKind_FOLLOWER_KIND_RELAY
	c := b.present(nil, h)
	report := func(revision int64) {
		t.Helper()
		cursor := state.Cursor()
		cursor.Revision = revision
		err := c.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Report{Report: &syncv1.Report{Relays: []*syncv1.RelayStatus{{
			InstanceId: "below", BootId: "b", Upstream: "relay",
			Environments: []*syncv1.RelayEnvironment{{Environment: "production", Cursor: cursor.Proto()}},
		}}}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	store.mu.Lock()
	store.revision = 5
	store.mu.Unlock()
	report(1)
	report(5)
	eventually(t, "the store is asked", func() bool { return store.asked.Load() == 1 })
	if revision, behind := b.hub.StoreBehind(); behind {
		t.Errorf("the store is at 5, and an alarm says %d", revision)
	}
	report(6)
	eventually(t, "an alarm", func() bool { revision, behind := b.hub.StoreBehind(); return behind && revision == 6 })
}

// TestAheadIsReported: a relay's hub tells what is below it, and above it, although there
// is nothing to send; but what nobody acknowledged counts for nothing.
func TestAheadIsReported(t *testing.T) {
	below := tree.New("hub")
	told := below.Subscribe()
	defer told.Close()
	b := newBed(t, hub.Options{Tree: below, BehindWait: time.Minute}, 0, "production")
	b.publish("production", 10, "a")
	h := ahead(b, 10)
	h.FollowerKind = syncv1.FollowerKind_FOLLOWER_KIND_RELAY
	b.present(nil, h)
	var report *syncv1.Report
	eventually(t, "it is told", func() bool {
		report = told.Take()
		return len(report.GetRelays()) == 1 && report.GetRelays()[0].GetEnvironments()[0].GetClaimed().GetRevision() == 11
	})
	if e := report.GetRelays()[0].GetEnvironments()[0]; e.GetCursor() != nil {
		t.Errorf("what it did not acknowledge counts: %v", e)
	}

	store := &fakeStore{epoch: epoch, revision: 1}
	above := newBed(t, hub.Options{Head: store.head}, 0, "production")
	above.publish("production", 10, "a")
	h = hello("relay", "production")
	h.FollowerKind = syncv1.FollowerKind_FOLLOWER_KIND_RELAY
	c := above.present(nil, h)
	report.Relays[0].Upstream = "relay"
	if err := c.stream.Send(&syncv1.StreamRequest{Message: &syncv1.StreamRequest_Report{Report: report}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an alarm", func() bool { revision, behind := above.hub.StoreBehind(); return behind && revision == 11 })
}

// TestOneQuestion: however many come at once, the store is asked one question at a time,
// and nobody gets the answer to one that was asked before it came.
func TestOneQuestion(t *testing.T) {
	store := &fakeStore{epoch: epoch, revision: 1, gate: make(chan struct{})}
	b := newBed(t, hub.Options{BehindWait: time.Minute, Head: store.head}, 0, "production")
	b.publish("production", 10, "a")
	first := b.present(nil, ahead(b, 5))
	eventually(t, "the store is asked", func() bool { return store.asked.Load() == 1 })
	const many = 50
	var clients []*client
	for range many {
		c := b.present(nil, ahead(b, 5))
		if got := c.outcome(); got != "welcome" {
			t.Fatal(got)
		}
		clients = append(clients, c)
	}
	store.gate <- struct{}{}
	first.goodbye()
	if n := store.asked.Load(); n > 2 {
		t.Errorf("asked %d times", n)
	}
	eventually(t, "the others' question is asked", func() bool { return store.asked.Load() == 2 })
	close(store.gate)
	for _, c := range clients {
		c.goodbye()
	}
	// Those whose welcome came before they asked may have come one question later.
	if n := store.asked.Load(); n > 3 {
		t.Errorf("asked %d times for %d followers", n, many+1)
	}
}
