package relay

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/hub"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/rpc"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	production = "production"
	staging    = "staging"
)

var testEpoch = snapshot.Epoch{Counter: 1, Random: 42}

// boolFlag serves on to the countries and off to the rest; without countries, on to
// everyone.
func boolFlag(key string, countries ...string) *flagv1.Flag {
	f := &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
		},
		OffVariant:     "off",
		DefaultOutcome: serve("on"),
	}
	if len(countries) > 0 {
		f.DefaultOutcome = serve("off")
		clause := &flagv1.Clause{Attribute: "country", Operator: flagv1.Operator_OPERATOR_IN}
		for _, c := range countries {
			clause.Values = append(clause.Values, structpb.NewStringValue(c))
		}
		f.Rules = []*flagv1.Rule{{Id: "country", Clauses: []*flagv1.Clause{clause}, Outcome: serve("on")}}
	}
	return f
}

func serve(variant string) *flagv1.Outcome {
	return &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: variant}}
}

// segmentFlag serves on to members of the segment.
func segmentFlag(key, segment string) *flagv1.Flag {
	f := boolFlag(key)
	f.DefaultOutcome = serve("off")
	f.Rules = []*flagv1.Rule{{
		Id:      "members",
		Clauses: []*flagv1.Clause{{Operator: flagv1.Operator_OPERATOR_IN_SEGMENT, Values: []*structpb.Value{structpb.NewStringValue(segment)}}},
		Outcome: serve("on"),
	}}
	return f
}

// item makes an item of a flag or segment, written at the revision.
func item(tb testing.TB, m proto.Message, revision int64) snapshot.Item {
	tb.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	i := snapshot.Item{ModRevision: revision, Data: data}
	switch m := m.(type) {
	case *flagv1.Flag:
		i.Kind, i.Key = syncv1.Kind_KIND_FLAG, m.GetKey()
	case *rolloutv1.Rollout:
		i.Kind, i.Key = syncv1.Kind_KIND_ROLLOUT, m.GetKey()
	case *accessv1.Key:
		i.Kind, i.Key = syncv1.Kind_KIND_KEY, m.GetId()
	case *flagv1.Segment:
		i.Kind, i.Key = syncv1.Kind_KIND_SEGMENT, m.GetKey()
	default:
		tb.Fatalf("no kind for %T", m)
	}
	return i
}

// publisher publishes states of environments, as a control plane would.
type publisher struct {
	tb       testing.TB
	replicas *replica.Set
	revision int64
	// collected is what relays have pushed.
	collected collected
}

func newPublisher(tb testing.TB, environments ...string) *publisher {
	tb.Helper()
	p := &publisher{tb: tb, replicas: replica.NewSet(replica.Options{}), revision: 10}
	for _, e := range environments {
		s := snapshot.New(e, testEpoch).Advance(p.revision)
		p.publish(p.replicas.Add(e), s, s.Full())
	}
	return p
}

func (p *publisher) publish(r *replica.Replica, s *snapshot.Snapshot, d snapshot.Delta) {
	p.tb.Helper()
	if err := r.Publish(s, d); err != nil {
		p.tb.Fatal(err)
	}
	for _, e := range p.replicas.Environments() {
		p.replicas.Replica(e).Advance(p.revision)
	}
}

// put writes flags and segments at the next revision, and returns it.
func (p *publisher) put(environment string, messages ...proto.Message) int64 {
	p.tb.Helper()
	p.revision++
	var items []snapshot.Item
	for _, m := range messages {
		items = append(items, item(p.tb, m, p.revision))
	}
	r := p.replicas.Replica(environment)
	s, d := r.Snapshot().Next(p.revision, items, nil)
	p.publish(r, s, d)
	return p.revision
}

func (p *publisher) deleteFlag(environment, key string) int64 {
	return p.delete(environment, syncv1.Kind_KIND_FLAG, key)
}

func (p *publisher) delete(environment string, kind syncv1.Kind, key string) int64 {
	p.tb.Helper()
	p.revision++
	r := p.replicas.Replica(environment)
	s, d := r.Snapshot().Next(p.revision, nil, []snapshot.ID{{Kind: kind, Key: key}})
	p.publish(r, s, d)
	return p.revision
}

// serve serves the sync protocol from what is published, and collects telemetry, until stop
// is called.
func (p *publisher) serve() (address string, stop func()) {
	p.tb.Helper()
	return p.serveAt("127.0.0.1:0")
}

func (p *publisher) serveAt(listen string) (address string, stop func()) {
	p.tb.Helper()
	h := hub.New(hub.Options{Replicas: p.replicas, InstanceID: "upstream", Heartbeat: 50 * time.Millisecond, Logger: zerolog.Nop()})
	server := rpc.NewServer(rpc.Options{Logger: zerolog.Nop(), Registerer: prometheus.NewRegistry()})
	syncv1.RegisterSyncServiceServer(server, h)
	telemetryv1.RegisterCollectorServiceServer(server, &p.collected)
	l, err := net.Listen("tcp", listen)
	if err != nil {
		p.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, rpc.ServeOptions{GRPC: []net.Listener{l}, Drain: h.Drain}) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			p.tb.Error(err)
		}
	}
	p.tb.Cleanup(stop)
	return l.Addr().String(), stop
}

// options of a relay on free ports.
func options(upstream string, environments ...string) Options {
	return Options{
		Upstreams: []string{upstream}, Environments: environments,
		GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", ManagementAddr: "127.0.0.1:0", FlagdSyncAddr: "127.0.0.1:0",
		Drain: 5 * time.Second, Logger: zerolog.Nop(),
	}
}

// start runs a relay until stop is called.
func start(tb testing.TB, o Options) (r *Relay, stop func()) {
	tb.Helper()
	r, err := Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	}
	tb.Cleanup(stop)
	return r, stop
}

// startReady runs a relay and waits until it serves at least the revision.
func startReady(tb testing.TB, o Options, revision int64) (r *Relay, stop func()) {
	tb.Helper()
	r, stop = start(tb, o)
	waitRevision(tb, r, revision)
	return r, stop
}

func waitRevision(tb testing.TB, r *Relay, revision int64) {
	tb.Helper()
	eventually(tb, fmt.Sprintf("revision %d", revision), func() bool {
		for _, e := range r.evaluation.environments {
			s := e.replica.Snapshot()
			if s == nil || s.Cursor().Revision < revision {
				return false
			}
		}
		return true
	})
}

// client dials a relay.
func client(tb testing.TB, r *Relay) evaluationv1.EvaluationServiceClient {
	tb.Helper()
	return evaluationv1.NewEvaluationServiceClient(dial(tb, r.GRPCAddr()))
}

func dial(tb testing.TB, address string) *grpc.ClientConn {
	tb.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
	})
	return conn
}

// canada is a context that boolFlag(_, "Canada") serves on.
func canada(tb testing.TB) *evaluationv1.EvaluationContext {
	tb.Helper()
	attributes, err := structpb.NewStruct(map[string]any{"country": "Canada"})
	if err != nil {
		tb.Fatal(err)
	}
	return &evaluationv1.EvaluationContext{TargetingKey: "user-1", Attributes: attributes}
}

// eventually waits for what other goroutines do.
func eventually(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("no %s within a minute", what)
		}
	}
}
