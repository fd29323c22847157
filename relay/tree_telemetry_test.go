package relay

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/snapshot"
	"github.com/tidegate/tidegate/internal/uplink"
)

// What a relay below counts goes up through this one, under its own name.
func TestTelemetryThroughTree(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000))
	upstream, _ := p.serve()
	o := options(upstream, production)
	o.InstanceID = "above"
	above, stopAbove := startReady(t, o, p.revision)
	o = options(above.GRPCAddr(), production)
	o.InstanceID = "below"
	below, stopBelow := startReady(t, o, p.revision)
	event := []*telemetryv1.Event{{Context: subject(1), Observations: failed()}}
	for i, r := range []*Relay{above, below, below} {
		if _, err := track(t.Context(), dial(t, r.GRPCAddr()), &telemetryv1.TrackRequest{Events: event}); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	stopBelow()
	stopAbove()
	events := map[string]uint64{}
	for _, b := range p.collected.batches {
		events[b.GetSender().GetInstanceId()] += b.GetTally().GetCounted()
	}
	if events["above"] != 1 || events["below"] != 2 {
		t.Errorf("events by relay: %v", events)
	}
	p.collected.check(t)
}

// While a rollout is not over, a relay says up to when everything was told, and nothing else
// where there is nothing else to say; when it is over, it says nothing.
func TestSignsOfLife(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000))
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	lives := func() (list []time.Time) {
		p.collected.mu.Lock()
		defer p.collected.mu.Unlock()
		for _, b := range p.collected.batches {
			if at := b.GetCompleteTo(); at != nil {
				list = append(list, at.AsTime())
			}
			if len(b.GetWindows()) > 0 {
				t.Errorf("something was counted: %v", b)
			}
		}
		return list
	}
	eventually(t, "three signs of life", func() bool { return len(lives()) >= 3 })
	list := lives()
	for i, at := range list[1:] {
		if d := at.Sub(list[i]); d < freshEvery || d > freshEvery+time.Second || !at.Equal(at.Truncate(time.Second)) {
			t.Errorf("after %s: %s", d, at)
		}
	}
	if age := time.Since(list[len(list)-1]); age > 30*time.Second {
		t.Errorf("everything was told up to %s ago", age)
	}
	over := rolloutAt("checkout", 2, 0)
	over.Status.State = 4
	p.put(production, rollingFlag("checkout", 0), over)
	waitRevision(t, r, p.revision)
	c := r.telemetry.byName[production]
	before := c.judged.Load()
	eventually(t, "four seconds", func() bool { return c.judged.Load() >= before+4 })
	if more := len(lives()) - len(list); more > 2 {
		t.Errorf("%d signs of life of a rollout that is over", more)
	}
}

// A relay above takes telemetry of whom it would let follow.
func TestAdmission(t *testing.T) {
	t.Parallel()
	p := newPublisher(t, production, staging)
	secret, presented := accesskey.New()
	other, _ := accesskey.New()
	data, err := proto.Marshal(&accessv1.Key{Id: presented.ID, SecretHash: presented.Hash()})
	if err != nil {
		t.Fatal(err)
	}
	replica := p.replicas.Replica(production)
	p.revision++
	s, d := replica.Snapshot().Next(p.revision, []snapshot.Item{{Kind: syncv1.Kind_KIND_KEY, Key: presented.ID, ModRevision: p.revision, Data: data}}, nil)
	p.publish(replica, s, d)
	p.replicas.Add("empty")
	sdk, ofSDK := newKey(serverRole)
	p.put(production, ofSDK)
	with := func(values ...string) context.Context {
		md := metadata.MD{}
		for _, v := range values {
			md.Append("authorization", v)
		}
		return metadata.NewIncomingContext(t.Context(), md)
	}
	for _, c := range []struct {
		name        string
		ctx         context.Context
		required    bool
		environment string
		want        codes.Code
		refused     bool // the batch alone
	}{
		{"no key", with(), false, production, codes.OK, false},
		{"no key where one is required", with(), true, production, codes.Unauthenticated, false},
		{"the key", with("Bearer " + secret), true, production, codes.OK, false},
		{"one that tells of itself alone", with("Bearer " + sdk), true, production, codes.PermissionDenied, false},
		{"not of this environment, but of another", with("Bearer " + secret), false, staging, codes.Unknown, true},
		{"of none", with("Bearer " + other), false, staging, codes.PermissionDenied, false},
		{"no state yet", with("Bearer " + secret), false, "empty", codes.Unavailable, false},
		{"no key at all", with("Bearer nonsense"), false, production, codes.Unauthenticated, false},
		{"two", with("Bearer "+secret, "Bearer "+secret), false, production, codes.Unauthenticated, false},
		{"another scheme", with("Basic " + secret), false, production, codes.Unauthenticated, false},
	} {
		err := admission{replicas: p.replicas, required: c.required}.mayTell(c.ctx, c.environment)
		if status.Code(err) != c.want || errors.Is(err, uplink.ErrRefused) != c.refused {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Counting costs an answer no memory.
func TestCountingAllocates(t *testing.T) {
	p := newPublisher(t, production)
	p.put(production, rollingFlag("checkout", 5000), rolloutAt("checkout", 1, 5000), boolFlag("other"))
	upstream, _ := p.serve()
	r, _ := startReady(t, options(upstream, production), p.revision)
	counting, plain := r.evaluation, service(p)
	for _, key := range []string{"checkout", "other"} {
		c := newCall()
		c.flagKey, c.targetingKey = key, "user-5"
		var room [512]byte
		now := time.Now()
		of := func(s *evaluationService) float64 {
			return testing.AllocsPerRun(200, func() {
				if _, err := s.appendEvaluation(room[:0], c, &credential{}, now); err != nil {
					t.Fatal(err)
				}
			})
		}
		if got, want := of(counting), of(plain); got > want {
			t.Errorf("%s: %v allocations, %v without counting", key, got, want)
		}
		c.Free()
	}
}
