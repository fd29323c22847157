package clientsdk_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/clientsdk"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// fakeTelemetry is the TelemetryService of a relay, as telemetry.proto says.
type fakeTelemetry struct {
	telemetryv1.UnimplementedTelemetryServiceServer
	t testing.TB

	mu      sync.Mutex
	marks   map[string]uint64 // by boot
	events  []*telemetryv1.Event
	cells   map[string]*telemetryv1.Cell // sums, by arm and step
	counted uint64
	served  map[string]uint64 // evaluations, by flag and variant
	tally   *telemetryv1.Tally
	tripped []string
	lose    int    // so many answers get lost
	key     string // that was presented last
}

func newFakeTelemetry(t testing.TB) *fakeTelemetry {
	return &fakeTelemetry{t: t, marks: map[string]uint64{}, served: map[string]uint64{}, cells: map[string]*telemetryv1.Cell{}}
}

// take counts a message once.
func (f *fakeTelemetry) take(environment string, s *telemetryv1.Sender, count func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if environment != production {
		return status.Error(codes.NotFound, "no such environment")
	}
	if s.GetInstanceId() == "" || s.GetBootId() == "" || s.GetSequence() > f.marks[s.GetBootId()]+1 {
		f.t.Errorf("sender %v after %d", s, f.marks[s.GetBootId()])
	}
	if s.GetSequence() > f.marks[s.GetBootId()] {
		f.marks[s.GetBootId()] = s.GetSequence()
		count()
	}
	if f.lose > 0 {
		f.lose--
		return status.Error(codes.Unavailable, "the answer is lost")
	}
	return nil
}

// presented is the authorization of the last call.
func (f *fakeTelemetry) presented() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.key
}

func (f *fakeTelemetry) Track(ctx context.Context, in *telemetryv1.TrackRequest) (*telemetryv1.TrackResponse, error) {
	return &telemetryv1.TrackResponse{}, f.take(in.GetEnvironment(), in.GetSender(), func() {
		f.events, f.key = append(f.events, in.GetEvents()...), authorization(ctx)
	})
}

func (f *fakeTelemetry) Report(_ context.Context, in *telemetryv1.ReportRequest) (*telemetryv1.ReportResponse, error) {
	err := f.take(in.GetEnvironment(), in.GetSender(), func() {
		f.tally = in.GetTally()
		f.counted += in.GetTally().GetCounted()
		for _, e := range in.GetEvaluations() {
			f.served[e.GetFlagKey()+"/"+e.GetVariant()] += e.GetCount()
		}
		for _, w := range in.GetWindows() {
			for _, c := range w.GetCells() {
				key := fmt.Sprintf("%s/%d", c.GetArm(), c.GetStep())
				sum := f.cells[key]
				if sum == nil {
					sum = &telemetryv1.Cell{}
					f.cells[key] = sum
				}
				sum.Exposures += c.GetExposures()
				for _, m := range c.GetMetrics() {
					if len(sum.GetMetrics()) == 0 {
						sum.Metrics = []*telemetryv1.MetricCell{{}}
					}
					sum.Metrics[0].Count += m.GetCount()
					sum.Metrics[0].Events += m.GetEvents()
				}
			}
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	return &telemetryv1.ReportResponse{Tripped: f.tripped}, err
}

func (f *fakeTelemetry) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// rolledOut is the flag of a rollout at a weight, and dependent one that is on where it is.
func rolledOut(weight uint32) *flagv1.Flag {
	f := boolean("new-checkout", false)
	f.DefaultOutcome = &flagv1.Outcome{Kind: &flagv1.Outcome_Split{Split: &flagv1.Split{
		Variants: []*flagv1.WeightedVariant{{Variant: "on", Weight: weight}, {Variant: "off", Weight: 10_000 - weight}},
	}}}
	return f
}

func dependent() *flagv1.Flag {
	f := boolean("express", true)
	f.OffVariant = "off"
	f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "new-checkout", Variants: []string{"on"}}}
	return f
}

func rollout(step uint64, weight uint32) *rolloutv1.Rollout {
	r := &rolloutv1.Rollout{
		Key: "checkout-1", FlagKey: "new-checkout", Control: "off", Treatment: "on", Unit: rolloutv1.Unit_UNIT_REQUEST,
		Guardrails: []*rolloutv1.Guardrail{{Name: "errors", Metric: "errors", Statistic: rolloutv1.Statistic_STATISTIC_RATE}},
		Status:     &rolloutv1.Status{State: rolloutv1.State_STATE_RUNNING, Weight: weight, Step: step, StartedAt: timestamppb.New(time.Unix(1, 0))},
	}
	for s := uint64(1); s <= step; s++ {
		r.Status.Steps = append(r.Status.Steps, &rolloutv1.Step{Step: s, Weight: weight, BeganAt: timestamppb.New(time.Unix(int64(s), 0))})
	}
	return r
}

// roll publishes the flags and the rollout at the next revision.
func (u *upstream) roll(step uint64, weight uint32) {
	u.t.Helper()
	revision := int64(1)
	if now := u.replicas.Replica(production).Snapshot(); now != nil {
		revision = now.Cursor().Revision + 1
	}
	var items []snapshot.Item
	for id, m := range map[snapshot.ID]proto.Message{
		{Kind: syncv1.Kind_KIND_FLAG, Key: "new-checkout"}:  rolledOut(weight),
		{Kind: syncv1.Kind_KIND_FLAG, Key: "express"}:       dependent(),
		{Kind: syncv1.Kind_KIND_ROLLOUT, Key: "checkout-1"}: rollout(step, weight),
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			u.t.Fatal(err)
		}
		items = append(items, snapshot.Item{Kind: id.Kind, Key: id.Key, ModRevision: revision, Data: data})
	}
	u.publish(revision, items)
}

// newCountingUpstream is an upstream that is a relay: it takes telemetry, too.
func newCountingUpstream(t testing.TB) (*upstream, *fakeTelemetry) {
	f := newFakeTelemetry(t)
	u := &upstream{telemetry: f}
	u.init(t)
	return u, f
}

func subject(i int) clientsdk.Context { return clientsdk.User(fmt.Sprint("user-", i)) }

// TestInProcessCounts: what is served and tracked arrives once, with the arm that was served,
// although the relay is killed and answers get lost.
func TestInProcessCounts(t *testing.T) {
	t.Parallel()
	u, f := newCountingUpstream(t)
	u.roll(1, 5_000)
	f.lose = 2
	c := inProcess(t, u.addr)
	ctx := patiently(t)
	const n = 900
	served := map[bool]uint64{}
	for i := range n {
		on := c.Boolean(ctx, "new-checkout", subject(i), false)
		if i%2 == 0 { // details count, too, and once
			on = c.BooleanDetails(ctx, "new-checkout", subject(i), false).Value
			served[on]++
		}
		served[on]++
		c.TrackEvent(ctx, "errors", subject(i), on)
		c.TrackValue(ctx, "unwatched", subject(i), 1)
		switch i {
		case n / 3:
			u.kill()
		case 2 * n / 3:
			u.start()
		}
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	const emitted = n + n/2 + n
	if s := c.TelemetryStats(); s.Emitted != emitted || s.Acknowledged != emitted || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	treatment, control := f.cells["ARM_TREATMENT/1"], f.cells["ARM_CONTROL/1"]
	if f.counted != emitted || treatment.GetExposures() != served[true] || control.GetExposures() != served[false] {
		t.Errorf("counted %d: %v, %v; served %v", f.counted, treatment, control, served)
	}
	if m := treatment.GetMetrics()[0]; m.GetCount() != m.GetEvents() {
		t.Errorf("treatment: %v", m)
	}
	if m := control.GetMetrics()[0]; m.GetEvents() != 0 || m.GetCount()+treatment.GetMetrics()[0].GetCount() != n {
		t.Errorf("control: %v", m)
	}
	if f.tally.GetEmitted() != emitted || f.tally.GetLost() != 0 {
		t.Errorf("%v", f.tally)
	}
}

// TestInProcessTripped: a rollout that the relay has shut serves the control, to those who
// depend on it as well, until a newer revision of it arrives.
func TestInProcessTripped(t *testing.T) {
	t.Parallel()
	u, f := newCountingUpstream(t)
	u.roll(1, 10_000)
	c := inProcess(t, u.addr)
	ctx := patiently(t)
	changes := make(chan []string, 100)
	c.OnChange(func(keys []string) { changes <- keys })
	serves := func(what string, on bool) {
		t.Helper()
		for i := range 100 {
			if c.Boolean(ctx, "new-checkout", subject(i), !on) != on || c.Boolean(ctx, "express", subject(i), !on) != on {
				t.Fatalf("%s: not served %v", what, on)
			}
		}
	}
	flags := []string{"express", "new-checkout"}
	serves("open", true)

	f.set(func() { f.tripped = []string{"checkout-1", "unknown"} })
	if keys := receive(t, "the trip is told", changes); !slices.Equal(keys, flags) {
		t.Errorf("changed: %v", keys)
	}
	serves("shut", false)
	if d := c.BooleanDetails(ctx, "new-checkout", subject(1), true); d.Variant != "off" || d.Reason != clientsdk.ReasonSplit || d.FlagRevision != 1 {
		t.Errorf("%+v", d)
	}

	u.put(boolean("another", true)) // a change of something else opens nothing
	if keys := receive(t, "another flag", changes); !slices.Equal(keys, []string{"another"}) {
		t.Errorf("changed: %v", keys)
	}
	serves("shut, at a later revision", false)

	f.set(func() { f.tripped = nil })
	u.roll(2, 10_000)
	eventually(t, "the rollout is open again", func() bool { return c.Boolean(ctx, "new-checkout", subject(1), false) })
	serves("open again", true)
}

// TestInProcessUntripped: a relay that does not name the rollout any more has opened it.
func TestInProcessUntripped(t *testing.T) {
	t.Parallel()
	u, f := newCountingUpstream(t)
	u.roll(1, 10_000)
	c := inProcess(t, u.addr)
	ctx := patiently(t)
	for _, shut := range []bool{true, false} {
		f.set(func() {
			f.tripped = nil
			if shut {
				f.tripped = []string{"checkout-1"}
			}
		})
		eventually(t, fmt.Sprintf("shut: %v", shut), func() bool { return c.Boolean(ctx, "new-checkout", subject(1), shut) != shut })
	}
}

// TestTrackRemote: each observation reaches the relay once, as it was told.
func TestTrackRemote(t *testing.T) {
	t.Parallel()
	f := newFakeRelay(t, typedFlags()...)
	f.telemetry.lose = 2
	c := remote(t, f.addr)
	ctx := patiently(t)
	at := time.Unix(1_700_000_000, 0)
	user := clientsdk.User("u").With("plan", "gold")
	c.TrackEvent(ctx, "errors", user, true, clientsdk.ForFlag("new-checkout"))
	c.TrackValue(ctx, "cart", user, 12.5, clientsdk.ExposedAt(at))
	c.TrackDuration(ctx, "latency", user, 1500*time.Millisecond)
	c.TrackOutcome(ctx, "fraud", user, clientsdk.PredictedScore(0.9).WithActual(false))
	c.TrackOutcome(ctx, "intent", user, clientsdk.PredictedLabel("buy").WithActualLabel("leave").WithPositiveLabel("buy"))
	c.TrackValue(ctx, "memory", clientsdk.Context{}, 1e9, clientsdk.OfVariant("new-checkout", "on"))
	c.TrackEvent(ctx, "anonymous", clientsdk.Context{}, false)
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if s := c.TelemetryStats(); s.Acknowledged != 7 || s.Emitted != 7 {
		t.Errorf("%+v", s)
	}
	f.telemetry.mu.Lock()
	defer f.telemetry.mu.Unlock()
	var got []string
	for _, e := range f.telemetry.events {
		o := e.GetObservations()[0]
		text := strings.Join(strings.Fields(fmt.Sprint(o)), " ")
		got = append(got, fmt.Sprintf("%s%v@%d %s", e.GetContext().GetTargetingKey(), e.GetExposure().GetVariant(), e.GetExposedAt().GetSeconds(), strings.ReplaceAll(text, ": ", ":")))
		if e.GetContext() == nil && e.GetExposure() == nil {
			t.Errorf("neither context nor exposure: %v", e)
		}
	}
	want := []string{
		`u@0 metric:"errors" happened:true flag_key:"new-checkout"`,
		`u@1700000000 metric:"cart" number:12.5`,
		`u@0 metric:"latency" duration:{seconds:1 nanos:500000000}`,
		`u@0 metric:"fraud" outcome:{predicted_score:0.9 actual_positive:false}`,
		`u@0 metric:"intent" outcome:{predicted_label:"buy" actual_label:"leave" positive_label:"buy"}`,
		`on@0 metric:"memory" number:1e+09 flag_key:"new-checkout"`,
		`@0 metric:"anonymous" happened:false`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTrackRefuses: what makes no sense is counted, says why, and does not hold up the rest.
func TestTrackRefuses(t *testing.T) {
	t.Parallel()
	f := newFakeRelay(t, typedFlags()...)
	u, _ := newCountingUpstream(t)
	u.roll(1, 5_000)
	for name, c := range map[string]clientsdk.Client{"remote": remote(t, f.addr), "in process": inProcess(t, u.addr)} {
		t.Run(name, func(t *testing.T) {
			ctx := patiently(t)
			for i, bad := range []struct {
				metric  string
				o       clientsdk.Observation
				options []clientsdk.TrackOption
				want    string
			}{
				{metric: "", o: clientsdk.ObservedEvent(true), want: "metric is empty"},
				{metric: strings.Repeat("m", 65), o: clientsdk.ObservedEvent(true), want: "at most 64"},
				{metric: "m\xff", o: clientsdk.ObservedEvent(true), want: "UTF-8"},
				{metric: "m", want: "no value"},
				{metric: "m", o: clientsdk.ObservedValue(math.NaN()), want: "finite"},
				{metric: "m", o: clientsdk.ObservedValue(math.Inf(-1)), want: "finite"},
				{metric: "m", o: clientsdk.ObservedDuration(-1), want: "negative"},
				{metric: "m", o: clientsdk.ObservedDuration(366 * 24 * time.Hour), want: "a year"},
				{metric: "m", o: clientsdk.ObservedOutcome(clientsdk.Outcome{}), want: "no prediction"},
				{metric: "m", o: clientsdk.ObservedOutcome(clientsdk.PredictedScore(1.1)), want: "0 to 1"},
				{metric: "m", o: clientsdk.ObservedOutcome(clientsdk.PredictedLabel("")), want: "predicted label is empty"},
				{metric: "m", o: clientsdk.ObservedOutcome(clientsdk.PredictedLabel("a").WithActualLabel("\xff")), want: "actual label"},
				{metric: "m", o: clientsdk.ObservedOutcome(clientsdk.PredictedLabel("a").WithPositiveLabel("\xff")), want: "positive label"},
				{metric: "m", o: clientsdk.ObservedEvent(true), options: []clientsdk.TrackOption{clientsdk.ForFlag("\xff")}, want: "UTF-8"},
				{metric: "m", o: clientsdk.ObservedEvent(true), options: []clientsdk.TrackOption{clientsdk.OfVariant("", "on")}, want: "OfVariant needs"},
			} {
				c.Track(ctx, bad.metric, clientsdk.User("u"), bad.o, bad.options...)
				if s := c.TelemetryStats(); s.Lost[clientsdk.LostRefused] != uint64(i+1) || !strings.Contains(s.Refusal, bad.want) {
					t.Fatalf("want %q: %+v", bad.want, s)
				}
			}
			c.TrackEvent(ctx, "errors", clientsdk.User("u"), true)
			if err := c.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			if s := c.TelemetryStats(); s.Acknowledged != 1 || s.Emitted != 16 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestTelemetryClose: a client that is closed has sent what it could and declared the rest; what
// comes later is declared, too.
func TestTelemetryClose(t *testing.T) {
	t.Parallel()
	f := newFakeRelay(t, typedFlags()...)
	u, telemetry := newCountingUpstream(t)
	u.roll(1, 5_000)
	ctx := patiently(t)
	for name, c := range map[string]clientsdk.Client{"remote": remote(t, f.addr), "in process": inProcess(t, u.addr)} {
		t.Run(name, func(t *testing.T) {
			var tracking sync.WaitGroup
			for g := range 4 {
				tracking.Go(func() {
					for i := range 250 {
						c.TrackEvent(ctx, "errors", subject(g*250+i), true)
					}
				})
			}
			tracking.Wait()
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c.TrackEvent(ctx, "errors", subject(1), true)
			if s := c.TelemetryStats(); s.Acknowledged != 1000 || s.Lost[clientsdk.LostUnsent] != 1 || s.Emitted != 1001 {
				t.Errorf("%+v", s)
			}
		})
	}
	if len(f.telemetry.events) != 1000 || telemetry.counted != 1000 {
		t.Errorf("counted %d and %d", len(f.telemetry.events), telemetry.counted)
	}
}

// TestServedInProcess: what a flag without a rollout served is told, so that it is not taken
// for unused; at the latest when the client closes.
func TestServedInProcess(t *testing.T) {
	t.Parallel()
	u, f := newCountingUpstream(t)
	u.roll(1, 0)
	u.put(boolean("plain", true))
	c := inProcess(t, u.addr)
	ctx := patiently(t)
	eventually(t, "the flag is there", func() bool { return c.Boolean(ctx, "plain", subject(1), false) })
	for range 10 {
		c.Boolean(ctx, "plain", subject(1), false)
		c.Boolean(ctx, "new-checkout", subject(1), false)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n := f.served["plain/on"]; n < 11 || len(f.served) != 1 {
		t.Errorf("told %v; want 11 of plain or more, and nothing of what the rollout counts", f.served)
	}
}

// TestWithoutTelemetry: nothing is sent; observers are told.
func TestWithoutTelemetry(t *testing.T) {
	t.Parallel()
	u, f := newCountingUpstream(t)
	u.roll(1, 5_000)
	var tracked []clientsdk.Tracked
	observe := clientsdk.WithTrackObserver(func(_ context.Context, o clientsdk.Tracked) { tracked = append(tracked, o) })
	c := inProcess(t, u.addr, clientsdk.WithoutTelemetry(), observe)
	ctx := patiently(t)
	c.Boolean(ctx, "new-checkout", subject(1), false)
	c.TrackValue(ctx, "errors", subject(1), 1)
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if s := c.TelemetryStats(); s.Emitted != 0 || len(tracked) != 1 || tracked[0].Metric != "errors" {
		t.Errorf("%+v, %+v", s, tracked)
	}
	if err := c.Close(); err != nil || len(f.marks) != 0 {
		t.Errorf("%v, %v", err, f.marks)
	}
}

// TestTelemetryOfControlServer: an upstream that takes no telemetry disturbs nothing.
func TestTelemetryOfControlServer(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.roll(1, 10_000)
	c := inProcess(t, u.addr)
	ctx := patiently(t)
	if !c.Boolean(ctx, "new-checkout", subject(1), false) {
		t.Error("not served")
	}
	eventually(t, "it is said", func() bool { return status.Code(c.TelemetryStats().Err) == codes.Unimplemented })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if s := c.TelemetryStats(); s.Lost[clientsdk.LostUnsent] != 1 || s.Emitted != 1 {
		t.Errorf("%+v", s)
	}
}
