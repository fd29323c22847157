package telemetry

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/tally"
)

// rig is a reporter, what it counts, and a relay that merges what is reported.
type rig struct {
	t        *testing.T
	snapshot *snapshot.Snapshot
	tally    *tally.Tally // of the SDK
	relays   *tally.Tally
	relay    *relay
	reporter *Reporter
	idle     atomic.Bool // there are no rollouts
	asked    atomic.Int64
	tripped  chan []string
}

func newRig(t *testing.T, r *relay) *rig {
	t.Helper()
	return newRigWith(t, r, to{r})
}

func newRigWith(t *testing.T, r *relay, courier Courier) *rig {
	t.Helper()
	g := &rig{t: t, relay: r, tripped: make(chan []string, 10_000)}
	g.snapshot = rolloutSnapshot(t)
	g.tally, g.relays = newTally(t, g.snapshot), newTally(t, rolloutSnapshot(t))
	g.relays.Turn(time.Now())
	r.t = t
	if r.report == nil {
		r.report = func(in *telemetryv1.ReportRequest) error {
			if err := g.relays.Merge(in, 0); err != nil {
				t.Errorf("%v: %v", err, in)
			}
			return nil
		}
	}
	g.reporter = NewReporter(ReporterOptions{
		Environment: "production", InstanceID: "sdk-1", Tally: g.tally,
		Rollouts: func() (bool, int64) {
			g.asked.Add(1)
			return !g.idle.Load(), 7
		},
		Tripped: func(keys []string, revision int64) {
			if revision != 7 {
				t.Errorf("revision %d", revision)
			}
			g.tripped <- keys
		},
		Courier: courier,
	})
	return g
}

func newTally(t testing.TB, s *snapshot.Snapshot) *tally.Tally {
	t.Helper()
	counts, err := tally.New(tally.Options{Environment: "production", EvaluationsEvery: EvaluationsEvery, Reported: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := counts.Apply(s, time.Now()); err != nil {
		t.Fatal(err)
	}
	return counts
}

// rolloutSnapshot has a flag whose half is a rollout.
func rolloutSnapshot(t testing.TB) *snapshot.Snapshot {
	t.Helper()
	flag := &flagv1.Flag{
		Key: "checkout", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants: []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
			Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: 5_000}, {Variant: "off", Weight: 5_000}},
		}}},
	}
	rollout := &rolloutv1.Rollout{
		Key: "checkout-1", FlagKey: "checkout", Control: "off", Treatment: "on", Unit: rolloutv1.Unit_UNIT_REQUEST,
		Guardrails: []*rolloutv1.Guardrail{{Name: "errors", Metric: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE}},
		Status: &rolloutv1.Status{
			State: rolloutv1.State_STATE_RUNNING, Weight: 5_000, Step: 1,
			Steps: []*rolloutv1.Step{{Step: 1, Weight: 5_000, BeganAt: timestamppb.New(time.Unix(0, 0))}},
		},
	}
	return snapshotOf(t, map[snapshot.ID]proto.Message{
		{Kind: syncv1.Kind_KIND_FLAG, Key: "checkout"}:      flag,
		{Kind: syncv1.Kind_KIND_ROLLOUT, Key: "checkout-1"}: rollout,
	})
}

// plainSnapshot has a flag and no rollout.
func plainSnapshot(t testing.TB) *snapshot.Snapshot {
	t.Helper()
	return snapshotOf(t, map[snapshot.ID]proto.Message{{Kind: syncv1.Kind_KIND_FLAG, Key: "plain"}: &flagv1.Flag{
		Key: "plain", Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants:       []*flagv1.Variant{{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)}},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
	}})
}

func snapshotOf(t testing.TB, all map[snapshot.ID]proto.Message) *snapshot.Snapshot {
	t.Helper()
	var items []snapshot.Item
	for id, m := range all {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, snapshot.Item{Kind: id.Kind, Key: id.Key, ModRevision: 1, Data: data})
	}
	s, _ := snapshot.New("production", snapshot.Epoch{Counter: 1}).Next(1, items, nil)
	if r := s.Rejections(); len(r) > 0 {
		t.Fatal(r)
	}
	return s
}

// serve counts an answer to a subject, and an observation of it.
func (g *rig) serve(subject int) {
	e := g.snapshot.Eval()
	asked := &eval.Context{TargetingKey: strconv.Itoa(subject)}
	result := e.EvaluateFlag(e.Flag("checkout"), asked)
	g.tally.Exposed(&result, asked)
	_, refusals := g.tally.Observe(&tally.Event{Context: asked, Observations: []*telemetryv1.Observation{{
		Metric: "errors", Value: &telemetryv1.Observation_Happened{Happened: subject%2 == 0},
	}}}, time.Now())
	if len(refusals) > 0 {
		g.t.Fatal(refusals)
	}
}

// TestReporterOnce: attempts fail before and after they are counted; in the end the relay has
// counted each exposure and observation once.
func TestReporterOnce(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			random, luck := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
			fail := func(int) error {
				if luck.IntN(3) == 0 {
					return errAway
				}
				return nil
			}
			g := newRig(t, &relay{before: fail, after: fail})
			const n = 2_000
			for i := range n {
				g.serve(i)
				if random.IntN(50) == 0 {
					time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
				}
				balanced(t, g.reporter.Stats())
			}
			if err := g.reporter.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			g.counted(2 * n)
			g.reporter.Close(t.Context())
		})
	}
}

// counted checks that the relay, and the stats, have everything.
func (g *rig) counted(n uint64) {
	g.t.Helper()
	s := g.reporter.Stats()
	balanced(g.t, s)
	g.relays.Cut(time.Now().Add(2 * time.Second))
	if a := g.relays.Account(); s.Acknowledged != n || s.Emitted != n || a.Counted != n || a.Lost != 0 {
		g.t.Errorf("of %d: %+v; the relay: %+v", n, s, a)
	}
	if last := g.relay.last; last.GetEmitted() != n || last.GetLost() != 0 {
		g.t.Errorf("of %d: %v", n, last)
	}
}

// TestReporterHourAway: a relay that is away for longer than an hour costs a few attempts, and
// nothing is lost.
func TestReporterHourAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		g := newRig(t, &relay{before: func(int) error {
			if back.Load() {
				return nil
			}
			return errAway
		}})
		const n = 5_400
		for i := range n {
			g.serve(i)
			time.Sleep(time.Second)
		}
		if a := g.relay.attempted(); a < 400 || a > 1_200 {
			t.Errorf("%d attempts in an hour and a half", a)
		}
		if s := g.reporter.Stats(); s.Err == nil {
			t.Errorf("%+v", s)
		}
		back.Store(true)
		if err := g.reporter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.counted(2 * n)
		g.reporter.Close(t.Context())
	})
}

// TestReporterRefused: what a relay will never take is lost, and declared in the next report.
func TestReporterRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		r := &relay{}
		r.report = func(in *telemetryv1.ReportRequest) error {
			if refuse && in.GetTally().GetCounted() > 0 {
				refuse = false
				return status.Error(codes.InvalidArgument, "no sense")
			}
			return nil
		}
		g := newRig(t, r)
		g.serve(1)
		if err := g.reporter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.serve(2)
		g.reporter.Refuse(1, "elsewhere")
		if err := g.reporter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := g.reporter.Stats()
		balanced(t, s)
		if s.Emitted != 5 || s.Acknowledged != 2 || s.Lost[LostRefused] != 3 {
			t.Errorf("%+v", s)
		}
		if last := r.last; last.GetEmitted() != 4 || last.GetLost() != 2 || r.lost != 2 {
			t.Errorf("%v, and %d told to be lost", last, r.lost)
		}
		g.serve(3)
		if err := g.reporter.Flush(t.Context()); err != nil || r.lost != 2 {
			t.Errorf("%v; what was lost is told again: %d", err, r.lost)
		}
		g.reporter.Close(t.Context())
	})
}

// TestReporterTripped: the answers tell what is shut, within a second, traffic or not.
func TestReporterTripped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, &relay{})
		time.Sleep(3 * time.Second)
		for len(g.tripped) > 0 {
			if keys := <-g.tripped; len(keys) > 0 {
				t.Error(keys)
			}
		}
		g.relay.mu.Lock()
		g.relay.tripped = []string{"checkout-1"}
		g.relay.mu.Unlock()
		time.Sleep(1100 * time.Millisecond)
		if keys := <-g.tripped; !slices.Equal(keys, []string{"checkout-1"}) {
			t.Error(keys)
		}
		g.reporter.Close(t.Context())
	})
}

// TestReporterAsksAtOnce: what the relay has shut is heard as soon as there are rollouts, not a
// second later.
func TestReporterAsksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(300 * time.Millisecond)
		began := time.Now()
		g := newRig(t, &relay{tripped: []string{"checkout-1"}})
		if got := <-g.tripped; !slices.Equal(got, []string{"checkout-1"}) || time.Since(began) > 0 {
			t.Errorf("after %v: %v", time.Since(began), got)
		}
		g.reporter.Close(t.Context())
	})
}

// TestReporterIdle: without rollouts nothing is sent, after a while it is looked once a minute
// for what flags served; and it begins again.
func TestReporterIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, &relay{})
		if err := g.tally.Apply(nil, time.Now()); err != nil {
			t.Fatal(err)
		}
		g.idle.Store(true)
		time.Sleep(10 * time.Minute)
		attempts, asked := g.relay.attempted(), g.asked.Load()
		time.Sleep(time.Hour)
		if n := g.asked.Load() - asked; n > 4*60 {
			t.Errorf("%d looks in an hour without a rollout", n)
		}
		if err := g.reporter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if now := g.relay.attempted(); now != attempts {
			t.Errorf("%d attempts without a rollout", now-attempts)
		}
		g.snapshot = rolloutSnapshot(t)
		g.tally.Turn(time.Now())
		if err := g.tally.Apply(g.snapshot, time.Now()); err != nil {
			t.Fatal(err)
		}
		g.idle.Store(false)
		g.reporter.Wake()
		g.serve(1)
		if err := g.reporter.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.counted(2)
		if g.relay.longest > 3*time.Second {
			t.Errorf("a window of %v", g.relay.longest)
		}
		g.reporter.Close(t.Context())
	})
}

// TestReporterTells: what flags served that have no rollout is told with each minute in which
// there is something to tell, and by who closes; a relay that is away is told later.
func TestReporterTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		told := map[string]uint64{}
		g := newRig(t, &relay{
			before: func(int) error {
				if away.Load() {
					return errAway
				}
				return nil
			},
			report: func(in *telemetryv1.ReportRequest) error {
				for _, e := range in.GetEvaluations() {
					told[e.GetFlagKey()] += e.GetCount()
				}
				return nil
			},
		})
		g.snapshot = plainSnapshot(t)
		if err := g.tally.Apply(g.snapshot, time.Now()); err != nil {
			t.Fatal(err)
		}
		g.idle.Store(true)
		check := func(when string, want uint64) {
			t.Helper()
			if synctest.Wait(); told["plain"] != want || len(told) > 1 {
				t.Errorf("%s: %v, want %d of plain", when, told, want)
			}
		}
		time.Sleep(10 * time.Minute)
		attempts := g.relay.attempted()
		g.evaluate("plain", 3)
		time.Sleep(2 * time.Minute)
		check("after two minutes", 3)
		time.Sleep(time.Hour)
		if n := g.relay.attempted() - attempts; n != 1 {
			t.Errorf("%d messages, want 1", n)
		}
		away.Store(true)
		g.evaluate("plain", 4)
		time.Sleep(5 * time.Minute)
		away.Store(false)
		time.Sleep(5 * time.Minute)
		check("after a relay was away", 7)
		g.evaluate("plain", 5)
		g.reporter.Close(t.Context())
		check("after closing", 12)
	})
}

// evaluate evaluates a flag n times.
func (g *rig) evaluate(key string, n int) {
	e := g.snapshot.Eval()
	for range n {
		result := e.EvaluateFlag(e.Flag(key), &eval.Context{TargetingKey: "u"})
		g.tally.Exposed(&result, nil)
	}
}

// TestReporterClose sends what the second under way holds; what no relay takes in time is lost.
func TestReporterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, &relay{})
		time.Sleep(300 * time.Millisecond)
		g.serve(1)
		g.reporter.Close(t.Context())
		g.counted(2)
	})
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, &relay{before: func(int) error { return errAway }})
		time.Sleep(2500 * time.Millisecond)
		g.serve(1)
		time.Sleep(1500 * time.Millisecond)
		g.serve(2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		g.reporter.Close(ctx)
		s := g.reporter.Stats()
		balanced(t, s)
		if s.Lost[LostUnsent] != 4 || s.Pending != 0 || time.Since(began) != time.Second {
			t.Errorf("after %v: %+v", time.Since(began), s)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a relay that hangs: what waits behind is lost, too, and told
		g := newRigWith(t, &relay{}, hangs{})
		for i := range 5 {
			g.serve(i)
			time.Sleep(1100 * time.Millisecond)
		}
		g.serve(5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g.reporter.Close(ctx)
		s := g.reporter.Stats()
		balanced(t, s)
		if s.Lost[LostUnsent] != 12 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, &relay{before: func(int) error { return errAway }})
		time.Sleep(5 * time.Second)
		if err := g.reporter.Flush(t.Context()); err != nil { // nobody waits for what says nothing
			t.Error(err)
		}
		began := time.Now()
		g.reporter.Close(t.Context())
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
	})
}
