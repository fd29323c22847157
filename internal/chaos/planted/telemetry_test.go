//go:build faults && unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/chaos/ledger"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/rollout"
	"github.com/tidegate/tidegate/server"
)

const (
	counted  = "counted" // a flag, and its rollout
	errorsOf = counted + "-errors"
)

// source tells a relay, and evaluates at it, and knows how much it did.
type source struct {
	*site
	sender    *telemetryv1.Sender
	last      *telemetryv1.TrackRequest
	told      uint64
	evaluated uint64
}

// roll starts a rollout that stays where it is.
func (s *site) roll(srv *node) *source {
	s.Helper()
	_, err := s.flags(srv).CreateFlag(s.Context(), &controlv1.CreateFlagRequest{
		Environment: bed.Environment, Reason: "test", Flag: &flagv1.Flag{
			Key: counted, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, OffVariant: "off",
			Variants: []*flagv1.Variant{
				{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
			},
			DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
		},
	})
	s.must(err)
	guard, err := rollout.ParseGuardrail(errorsOf + ": rate < +500% relative, of observations")
	s.must(err)
	_, err = controlv1.NewRolloutServiceClient(bed.Dial(s, srv.addr)).StartRollout(s.Context(), &controlv1.StartRolloutRequest{
		Environment: bed.Environment, Reason: "test", Rollout: &rolloutv1.Rollout{
			Key: counted, FlagKey: counted, Treatment: "on", Strategy: rolloutv1.Strategy_STRATEGY_FIXED,
			Unit: rolloutv1.Unit_UNIT_REQUEST, Guardrails: []*rolloutv1.Guardrail{guard},
		},
	})
	s.must(err)
	return &source{site: s, sender: &telemetryv1.Sender{InstanceId: "source", BootId: uuid.NewString()}}
}

// send sends a message until it is answered.
func (s *source) send(relay string, q *telemetryv1.TrackRequest) {
	s.Helper()
	client := telemetryv1.NewTelemetryServiceClient(bed.Dial(s, relay))
	bed.EventuallyWithin(s, patience, "Convergence: telemetry is taken", func() error {
		call, cancel := context.WithTimeout(s.Context(), patience)
		defer cancel()
		a, err := client.Track(call, q)
		if err == nil && len(a.GetRefusals()) > 0 {
			s.Fatalf("refused: %v", a.GetRefusals())
		}
		return err
	})
}

// tell tells so many observations of each variant, in one message.
func (s *source) tell(relay string, n int) {
	s.Helper()
	s.sender.Sequence++
	q := &telemetryv1.TrackRequest{Environment: bed.Environment, Sender: &telemetryv1.Sender{
		InstanceId: s.sender.InstanceId, BootId: s.sender.BootId, Sequence: s.sender.Sequence,
	}}
	for range n {
		for _, variant := range []string{"on", "off"} {
			q.Events = append(q.Events, &telemetryv1.Event{
				Exposure: &telemetryv1.Exposure{FlagKey: counted, Variant: variant}, ExposedAt: timestamppb.Now(),
				Observations: []*telemetryv1.Observation{{Metric: errorsOf, Value: &telemetryv1.Observation_Happened{}}},
			})
		}
	}
	s.last = q
	s.send(relay, q)
	s.told += uint64(2 * n)
}

// evaluate has so many evaluations served.
func (s *source) evaluate(relay string, n int) {
	s.Helper()
	client := evaluationv1.NewEvaluationServiceClient(bed.Dial(s, relay))
	for i := range n {
		_, err := client.Evaluate(s.Context(), &evaluationv1.EvaluateRequest{
			Environment: bed.Environment, FlagKey: counted, Context: &evaluationv1.EvaluationContext{TargetingKey: fmt.Sprint(i)},
		})
		s.must(err)
		s.evaluated++
	}
}

// conserved demands that all of it is counted, or declared lost, once: now, or soon.
func (s *source) conserved() {
	s.Helper()
	bed.EventuallyWithin(s, 2*patience, "Conserved: everything is counted or declared lost", func() error {
		l, err := ledger.Read(s.Context(), s.store, bed.Environment)
		if err != nil {
			return err
		}
		sum := l.Sum()
		if emitted := s.told + s.evaluated; sum.Emitted != emitted || sum.Counted+sum.Lost != emitted || sum.Missing() != 0 {
			err := fmt.Errorf("%d were told and %d evaluated; the ledger: %s", s.told, s.evaluated, &sum)
			if sum.Counted+sum.Lost > emitted { // which time does not heal
				s.Fatalf("Conserved: %v", err)
			}
			return err
		}
		var observations uint64
		for _, st := range l.Evidence[counted].GetGuardrails()[0].GetSteps() {
			observations += st.GetCounts().GetTreatmentExposures() + st.GetCounts().GetControlExposures()
		}
		if observations != s.told {
			return fmt.Errorf("%d were told, the evidence is of %d", s.told, observations)
		}
		return nil
	})
}

// copied is a folder as a process leaves it that is killed now.
func (s *site) copied(name, as string) {
	s.Helper()
	from := filepath.Join(s.dir, name)
	s.must(filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(s.dir, as, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.Create(to)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	}))
}

// TestRelayDies has a relay die again and again, right after it has answered: what it was told
// is on its disk, and comes again; what it has served since the last second's end is lost, and
// declared.
func TestRelayDies(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	from := s.roll(srv)
	name := "relay-0"
	for life := range 3 {
		link := s.proxy(srv.addr)
		r := s.relay(name, anywhere, link.Addr())
		s.synced(srv, r)
		if life > 0 {
			from.send(r.addr, from.last) // its answer may have been lost
		}
		from.tell(r.addr, 1+s.random.IntN(5))
		link.Refuse(true)
		link.Reset()  // from now on nothing leaves it
		for range 3 { // the disk is written once in 100 ms
			from.tell(r.addr, 1+s.random.IntN(5))
		}
		from.evaluate(r.addr, 1+s.random.IntN(5))
		next := fmt.Sprintf("relay-%d", life+1)
		s.copied(name, next)
		r.stop()
		name = next
	}
	r := s.relay(name, anywhere, srv.addr)
	s.synced(srv, r)
	from.send(r.addr, from.last)
	from.conserved()
}

// TestTelemetryCut has batches get lost on their way, and acknowledgements, each before the link
// breaks.
func TestTelemetryCut(t *testing.T) {
	s := newSite(t)
	srv := s.server("server", anywhere, s.store)
	from := s.roll(srv)
	link := s.proxy(srv.addr)
	r := s.relay("relay", anywhere, link.Addr())
	s.synced(srv, r)
	for range 2 {
		link.SetUp(proxy.Direction{Swallow: true})
		from.tell(r.addr, 1+s.random.IntN(5))
		time.Sleep(200 * time.Millisecond) // it is sent at once
		link.Heal()
		link.Reset()
		from.conserved()
		link.SetDown(proxy.Direction{Swallow: true})
		from.tell(r.addr, 1+s.random.IntN(5))
		from.conserved()
		link.Heal()
		link.Reset()
		from.tell(r.addr, 1+s.random.IntN(5))
		from.conserved()
	}
}

// unsure is a way to the store on which commits of the ledger fail, or happen and are not
// answered.
type unsure struct {
	store.Store
	mu   sync.Mutex
	fail func() (before, after bool)
}

func ofLedger(t store.Txn) bool {
	return slices.ContainsFunc(t.Ops, func(o store.Op) bool { return o.Key == "/tidegate/v1/t/head" })
}

func (f *unsure) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if !ofLedger(t) {
		return f.Store.Commit(ctx, t)
	}
	f.mu.Lock()
	before, after := f.fail()
	f.mu.Unlock()
	if before {
		return store.Outcome{}, fmt.Errorf("%w: the way is cut", store.ErrUnavailable)
	}
	out, err := f.Store.Commit(ctx, t)
	if after && err == nil {
		return store.Outcome{}, fmt.Errorf("%w: the answer is lost", store.ErrUnavailable)
	}
	return out, err
}

// TestStoreFails has two of three commits of the ledger fail, each in another way.
func TestStoreFails(t *testing.T) {
	s := newSite(t)
	commit := s.random.IntN(3)
	on := &unsure{Store: s.store, fail: func() (before, after bool) {
		commit++
		return commit%3 == 0, commit%3 == 1
	}}
	srv := s.server("server", anywhere, on)
	from := s.roll(srv)
	r := s.relay("relay", anywhere, srv.addr)
	s.synced(srv, r)
	for range 8 {
		from.tell(r.addr, 1+s.random.IntN(5))
		time.Sleep(time.Duration(s.random.Int64N(int64(800 * time.Millisecond))))
	}
	from.conserved()
}

// held is a way to the store on which a commit of the ledger can be held up.
type held struct {
	store.Store
	hold    chan struct{} // closed: the next one is held up
	holding chan struct{} // closed: one is
	release chan struct{}
	once    sync.Once
}

func (h *held) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	select {
	case <-h.hold:
		if ofLedger(t) {
			h.once.Do(func() {
				close(h.holding)
				<-h.release
				ctx = context.WithoutCancel(ctx) // it was on its way
			})
		}
	default:
	}
	return h.Store.Commit(ctx, t)
}

// KeepAlive is not heard either while a commit is held up.
func (h *held) KeepAlive(ctx context.Context, lease store.LeaseID) error {
	select {
	case <-h.holding:
		select {
		case <-h.release:
		default:
			return fmt.Errorf("%w: the way is cut", store.ErrUnavailable)
		}
	default:
	}
	return h.Store.KeepAlive(ctx, lease)
}

// TestDeposed has a leader whose commit gets stuck on the way until another one leads, and has
// counted the same and more.
func TestDeposed(t *testing.T) {
	s := newSite(t)
	on := &held{Store: s.store, hold: make(chan struct{}), holding: make(chan struct{}), release: make(chan struct{})}
	way := newGate(on)
	addrs := bed.FreeAddrs(t, 2)
	among := func(o *server.Options) { o.AdvertiseAddr = o.GRPCAddr }
	first := s.server("first", addrs[0], way, among)
	from := s.roll(first)
	second := s.server("second", addrs[1], s.store, among)
	r := s.relay("relay", anywhere, second.addr)
	s.synced(first, second, r)
	from.tell(r.addr, 3)
	from.conserved()
	close(on.hold)
	from.tell(r.addr, 3)
	<-on.holding
	way.set(true) // nor does it hear that its lease is over
	from.tell(r.addr, 1+s.random.IntN(5))
	from.conserved()
	close(on.release)
	way.set(false)
	from.tell(r.addr, 1+s.random.IntN(5))
	from.conserved()
}
