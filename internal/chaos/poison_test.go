//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidegate/tidegate/controlplane/store/etcdtest"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	"github.com/tidegate/tidegate/internal/chaos/proxy"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// poisoned is a scenario with a flag whose stored bytes, put there past the server, make
// no sense.
type poisoned struct {
	*scenario
	key      string
	revision int64 // of the poison
}

func newPoisoned(t *testing.T) *poisoned {
	t.Helper()
	s := newScenario(t)
	etcd := s.etcd(etcdtest.Options{})
	srv := s.server("--etcd-endpoints", etcd.Endpoints()[0])
	s.relay(srv.GRPC)
	s.relay(srv.GRPC)
	s.load()
	p := &poisoned{scenario: s, key: "poison"}
	s.unaudited = append(s.unaudited, p.key)
	p.set(1)
	p.mustAnswer(1)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	r, err := s.client(etcd).Put(ctx, "/tidegate/v1/c/"+bed.Environment+"/f/"+p.key, "\xff\xff poison")
	s.must(err)
	p.revision = r.Header.Revision
	return p
}

// set writes the flag as it should be written.
func (p *poisoned) set(count int) {
	p.Helper()
	_, err := controlv1.NewFlagServiceClient(bed.Dial(p, p.servers[0].GRPC)).Apply(p.ctx, &controlv1.ApplyRequest{
		Environment: bed.Environment, Reason: "poison", RequestId: uuid.NewString(),
		Flags: []*controlv1.FlagWrite{{Flag: (&churned{key: p.key, enabled: true, count: count}).asFlag()}},
	})
	p.must(err)
}

// mustAnswer waits until every relay answers the flag with a value.
func (p *poisoned) mustAnswer(want int64) {
	p.Helper()
	for _, r := range p.relays {
		bed.Eventually(p, fmt.Sprintf("the flag is %d", want), func() error { return p.answers(r, want) })
	}
}

func (p *poisoned) answers(r *relay, want int64) error {
	a, err := r.readers.Evaluation.Evaluate(p.ctx, &evaluationv1.EvaluateRequest{Environment: bed.Environment, FlagKey: p.key})
	if err == nil && a.GetIntValue() != want {
		err = fmt.Errorf("it is %v", a)
	}
	return err
}

// TestPoisonFlag: every relay rejects the flag once and answers from the last version that
// it could use; it is not sent again; flags beside it are updated; and it is used again
// when it is mended.
func TestPoisonFlag(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t)
	srv := p.servers[0]
	p.mustServe(p.relays, func() {
		bed.Eventually(p, "both relays reject it", func() error {
			if n := p.metric(srv.Process, "tidegate_hub_rejected_items", ""); n != float64(len(p.relays)) {
				return fmt.Errorf("%v rejections", n)
			}
			return nil
		})
		ctx, cancel := context.WithCancel(p.ctx)
		defer cancel()
		f, err := bed.Follow(ctx, p.relays[0].GRPC, bed.Hello("watcher", nil))
		p.must(err)
		sent := 0
		for range 20 {
			d, err := f.Update()
			p.must(err)
			for _, item := range d.Puts {
				if item.Key == p.key && item.ModRevision == p.revision {
					sent++
				}
			}
		}
		if sent != 1 {
			t.Errorf("sent %d times, want once", sent)
		}
		for _, r := range p.relays {
			if err := p.answers(r, 1); err != nil {
				t.Errorf("poisoned: %v", err)
			}
		}
		p.set(2)
		p.mustAnswer(2)
	})
	p.converge()
}

// TestPoisonFlagOverRestart: the last version that could be used is still used by a relay
// that was killed and started without its server.
func TestPoisonFlagOverRestart(t *testing.T) {
	t.Parallel()
	p := newPoisoned(t)
	r := p.relays[0]
	rewrites := p.metric(r.Process, "tidegate_relay_state_rewrites_total", "")
	stop := p.bulk(p.servers[0], 30*time.Millisecond)
	bed.Eventually(p, "the relay has it in a snapshot on disk", func() error {
		switch {
		case p.metric(r.Process, "tidegate_relay_snapshot_rejected_items", "") != 1:
			return errors.New("it has not rejected it")
		case p.metric(r.Process, "tidegate_relay_state_rewrites_total", "") < rewrites+2:
			return errors.New("its log is not folded") // one may have begun before
		}
		return nil
	})
	stop()
	r.set(proxy.Direction{Stall: true}, proxy.Direction{Stall: true})
	r.Kill()
	r.Start()
	if err := p.answers(r, 1); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	r.heal()
	r.links[0].Reset()
	p.set(2)
	p.mustAnswer(2)
	p.converge()
}
