//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/clientsdk"
	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/chaos/ledger"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/counterfile"
	"github.com/tidegate/tidegate/internal/e2e/bed"
	"github.com/tidegate/tidegate/internal/rollout"
)

// counting is a scenario of telemetry: servers on one etcd, three relays, one of them behind
// the others, and sources whose own accounts are held against what the store has in the end.
type counting struct {
	*scenario
	// stores are in front of etcd, one for each server; fronts in front of each relay.
	stores, fronts []*proxy.Proxy

	tellers   []*teller
	embeddeds []*embedded
	askers    []*asker
	splits    map[string]*split
}

// newCounting starts everything but the sources.
func newCounting(s *scenario, servers int) *counting {
	s.Helper()
	c := &counting{scenario: s, splits: map[string]*split{}}
	etcd := s.etcd(etcdtest.Options{})
	var upstreams []string
	for range servers {
		p := s.proxy(etcd.Endpoints()[0])
		c.stores = append(c.stores, p)
		upstreams = append(upstreams, s.server("--etcd-endpoints", p.Addr()).GRPC)
	}
	one := s.relay(upstreams...)
	two := s.relay(append(upstreams[1:], upstreams[0])...)
	s.relay(one.GRPC, two.GRPC)
	for _, r := range s.relays {
		c.fronts = append(c.fronts, s.proxy(r.GRPC))
	}
	c.roll(toldFlag, embeddedFlag, askedFlag)
	return c
}

// roll makes flags, and rollouts that stay where they are.
func (c *counting) roll(flags ...string) {
	c.Helper()
	conn := bed.Dial(c, c.servers[0].GRPC)
	for _, key := range flags {
		_, err := controlv1.NewFlagServiceClient(conn).CreateFlag(c.ctx, &controlv1.CreateFlagRequest{
			Environment: bed.Environment, Reason: "test", Flag: switchOf(key),
		})
		c.must(err)
		guard, err := rollout.ParseGuardrail(metricOf(key) + ": rate < +500% relative, of observations")
		c.must(err)
		_, err = controlv1.NewRolloutServiceClient(conn).StartRollout(c.ctx, &controlv1.StartRolloutRequest{
			Environment: bed.Environment, Reason: "test", Rollout: &rolloutv1.Rollout{
				Key: key, FlagKey: key, Treatment: "on", Strategy: rolloutv1.Strategy_STRATEGY_FIXED,
				Unit: rolloutv1.Unit_UNIT_REQUEST, Guardrails: []*rolloutv1.Guardrail{guard},
			},
		})
		c.must(err)
	}
	began := time.Now()
	plain, err := clientsdk.NewInProcess(c.ctx, c.relays[2].GRPC, bed.Environment, clientsdk.WithoutTelemetry())
	c.must(err)
	defer plain.Close()
	c.must(plain.WaitReady(c.ctx))
	for _, key := range flags {
		bed.Eventually(c, "the rollout of "+key+" is served", func() error {
			for n := range 50 {
				if plain.Boolean(c.ctx, key, clientsdk.NewContext(fmt.Sprintf("subject-%d", n), nil), false) {
					return nil
				}
			}
			return errors.New("nobody is served the treatment")
		})
		c.splits[key] = c.splitOf(plain, key)
	}
	var addrs []string
	for _, r := range c.relays {
		addrs = append(addrs, r.GRPC)
	}
	bed.Eventually(c, "all relays have the rollouts", func() error { _, err := bed.SameState(c.ctx, addrs...); return err })
	// What is said to have been served before is of the time before the step, as clocks differ.
	time.Sleep(time.Until(began.Add(3 * time.Second)))
}

func switchOf(key string) *flagv1.Flag {
	return &flagv1.Flag{
		Key: key, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true, OffVariant: "off",
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)}, {Name: "off", Value: structpb.NewBoolValue(false)},
		},
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "off"}},
	}
}

// sources makes those of so many events, at about so many a second: half of them are told, two
// fifths are of SDKs, and a tenth are evaluations at relays.
func (c *counting) sources(events, rate int) {
	c.Helper()
	n, each := uint64(events), len(c.relays)
	per := func(share float64, burst, sources int) time.Duration {
		return time.Duration(float64(burst*sources) / (share * float64(rate)) * float64(time.Second))
	}
	for i, front := range c.fronts {
		c.tellers = append(c.tellers, newTeller(c.scenario, front.Addr(), i, c.splits[toldFlag], n/2/uint64(each), per(0.5, tellerBatch, each)))
		c.askers = append(c.askers, newAsker(c.scenario, front.Addr(), c.splits[askedFlag], n/10/uint64(each), per(0.1, askerBurst, each)))
	}
	for i := range 2 {
		c.embeddeds = append(c.embeddeds, newEmbedded(c.scenario, i, c.splits[embeddedFlag], n*2/5/2, per(0.4, 2*embeddedBurst, 2),
			c.fronts[2-i].Addr(), c.fronts[1-i].Addr()))
	}
}

// emit runs the sources; the channel is closed when they have emitted everything, or, after ctx,
// what they had begun.
func (c *counting) emit(ctx context.Context) <-chan struct{} {
	var running sync.WaitGroup
	for _, t := range c.tellers {
		running.Go(func() { t.run(ctx) })
	}
	for _, e := range c.embeddeds {
		running.Go(func() { e.run(ctx) })
	}
	for _, a := range c.askers {
		running.Go(func() { a.run(ctx) })
	}
	done := make(chan struct{})
	c.clients.Go(func() { running.Wait(); close(done) })
	return done
}

// leading is the server that leads; nil: none does.
func (c *counting) leading() *bed.Server {
	c.Helper()
	results, _, err := c.truth.store.Read(c.ctx, store.Key(leader.Key))
	c.must(err)
	if len(results[0].KVs) == 0 {
		return nil
	}
	var record leader.Record
	c.must(json.Unmarshal(results[0].KVs[0].Value, &record))
	for _, srv := range c.servers {
		if srv.GRPC == record.Address {
			return srv
		}
	}
	c.Fatalf("%s leads, at %s: none of these servers is there", record.InstanceID, record.Address)
	return nil
}

// drained waits until everything is counted that can be: the SDKs have nothing left, nor have
// the spools.
func (c *counting) drained() {
	c.Helper()
	for _, e := range c.embeddeds {
		ctx, cancel := context.WithTimeout(c.ctx, 2*time.Minute)
		if err := e.client.Flush(ctx); err != nil {
			c.Errorf("an SDK cannot get rid of what it has: %v", err)
		}
		cancel()
	}
	// What a relay has counted is spooled at the end of its second, at the latest when it ends.
	for i := range c.relays {
		r := c.relays[len(c.relays)-1-i] // those behind others go first
		c.must(r.Terminate())
		r.Start()
		bed.Eventually(c, r.GRPC+" has nothing to send", func() error {
			batches := c.metric(r.Process, "tidegate_spool_events", "")
			if under := c.metric(r.Process, "tidegate_spool_under_way_batches", ""); batches+under > 0 {
				return fmt.Errorf("%v events, %v batches under way", batches, under)
			}
			return nil
		})
	}
}

// served is how many evaluations the relays have counted, by what each keeps of it.
func (c *counting) served() (n uint64) {
	c.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "relay-*", "exposures"))
	c.must(err)
	if len(files) != len(c.relays) {
		c.Fatalf("%d relays keep count of what they serve, in %v", len(c.relays), files)
	}
	for _, name := range files {
		f, err := counterfile.Open(name)
		c.must(err)
		n += f.Sum()
	}
	return n
}

// read reads the ledger from etcd.
func (c *counting) read() *ledger.Ledger {
	c.Helper()
	l, err := ledger.Read(c.ctx, c.truth.store, bed.Environment)
	c.must(err)
	return l
}
