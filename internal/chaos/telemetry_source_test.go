//go:build unix

package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/clientsdk"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/e2e/bed"
)

// The flags of the sources, each with a rollout of its own.
const (
	toldFlag     = "told"     // observations by Track
	embeddedFlag = "embedded" // SDKs that evaluate in process
	askedFlag    = "asked"    // evaluations at relays
)

func metricOf(flag string) string { return flag + "-errors" }

// subjects are the contexts that everything is about.
const subjects = 1000

// failEvery is which observations are of something that happened: of both variants the same
// share, so that nothing is decided.
const failEvery = 50

// split is the subjects of a flag: every other one of them is served the treatment. Just as many
// as there should be: a relay that is started again takes its subjects for new ones, and a share
// that is off by chance would look like a sample ratio that is wrong.
type split [subjects]string

// armOf is the index of a subject's arm: 1 is the treatment.
func armOf(subject int) int { return subject % 2 }

// own is a source's own account, by arm.
type own struct {
	exposures, observations, events [2]uint64
}

func (o *own) add(other own) {
	for arm := range 2 {
		o.exposures[arm] += other.exposures[arm]
		o.observations[arm] += other.observations[arm]
		o.events[arm] += other.events[arm]
	}
}

func (o *own) total() (n uint64) {
	for arm := range 2 {
		n += o.exposures[arm] + o.observations[arm]
	}
	return n
}

// pace keeps a source to so many of something a second, in the long run.
type pace struct {
	every time.Duration
	next  time.Time
}

// wait waits for the next turn; false: the source is to end.
func (p *pace) wait(ctx context.Context) bool {
	now := time.Now()
	if p.next.IsZero() || now.Sub(p.next) > 5*time.Second {
		p.next = now // what was missed for long is not made up for at once
	}
	timer := time.NewTimer(p.next.Sub(now))
	defer timer.Stop()
	p.next = p.next.Add(p.every)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// teller tells a relay observations, numbered, and each message again until it is answered.
type teller struct {
	s      *scenario
	relay  telemetryv1.TelemetryServiceClient
	sender telemetryv1.Sender
	split  *split
	pace   pace
	quota  uint64
	own    own
}

const tellerBatch = 200

func newTeller(s *scenario, addr string, number int, sp *split, quota uint64, every time.Duration) *teller {
	return &teller{
		s: s, relay: telemetryv1.NewTelemetryServiceClient(bed.Dial(s, addr)), split: sp, quota: quota, pace: pace{every: every},
		sender: telemetryv1.Sender{InstanceId: fmt.Sprintf("teller-%d", number), BootId: uuid.NewString()},
	}
}

// run tells until its quota is fulfilled, or ctx ends: then it has an answer to everything, too.
func (t *teller) run(ctx context.Context) {
	for told := uint64(0); told < t.quota && t.pace.wait(ctx); told += tellerBatch {
		t.tell(t.s.ctx, told)
	}
}

// tell tells one message.
func (t *teller) tell(ctx context.Context, from uint64) {
	t.sender.Sequence++
	request := &telemetryv1.TrackRequest{Environment: bed.Environment, Sender: &telemetryv1.Sender{
		InstanceId: t.sender.InstanceId, BootId: t.sender.BootId, Sequence: t.sender.Sequence,
	}}
	var sum own
	now := timestamppb.Now()
	for i := range uint64(tellerBatch) {
		n := int((from + i) % subjects)
		happened := (from+i)/subjects%failEvery == 0
		request.Events = append(request.Events, &telemetryv1.Event{
			Context: &evaluationv1.EvaluationContext{TargetingKey: t.split[n]}, ExposedAt: now,
			Observations: []*telemetryv1.Observation{{Metric: metricOf(toldFlag), Value: &telemetryv1.Observation_Happened{Happened: happened}}},
		})
		arm := armOf(n)
		sum.observations[arm]++
		if happened {
			sum.events[arm]++
		}
	}
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		answer, err := t.relay.Track(call, request)
		cancel()
		if err == nil {
			if len(answer.GetRefusals()) > 0 || answer.GetTaken() != tellerBatch {
				t.s.Errorf("%s: %d of %d taken: %v", t.sender.InstanceId, answer.GetTaken(), tellerBatch, answer.GetRefusals())
			}
			t.own.add(sum)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// embedded is an SDK that evaluates in process, and tracks.
type embedded struct {
	s      *scenario
	client clientsdk.Client
	split  *split
	pace   pace
	quota  uint64
	own    own
}

func newEmbedded(s *scenario, number int, sp *split, quota uint64, every time.Duration, addrs ...string) *embedded {
	s.Helper()
	c, err := clientsdk.NewInProcess(s.ctx, addrs[0], bed.Environment, clientsdk.WithAddresses(addrs[1:]...),
		clientsdk.WithInstanceID(fmt.Sprintf("sdk-%d", number)))
	s.must(err)
	s.Cleanup(func() { c.Close() })
	s.must(c.WaitReady(s.ctx))
	return &embedded{s: s, client: c, split: sp, quota: quota, pace: pace{every: every}}
}

// embeddedBurst is how many exposures, each with an observation, there are at a time.
const embeddedBurst = 50

func (e *embedded) run(ctx context.Context) {
	for n := uint64(0); 2*n < e.quota && e.pace.wait(ctx); n += embeddedBurst {
		for i := n; i < n+embeddedBurst; i++ {
			e.step(e.s.ctx, int(i%subjects), i/subjects%failEvery == 0)
		}
	}
}

func (e *embedded) step(ctx context.Context, subject int, failed bool) {
	about := clientsdk.NewContext(e.split[subject], nil)
	arm := armOf(subject)
	if on := e.client.Boolean(ctx, embeddedFlag, about, false); on != (arm == 1) {
		e.s.Errorf("%s is served %v in process", e.split[subject], on)
		return
	}
	e.own.exposures[arm]++
	e.client.TrackEvent(ctx, metricOf(embeddedFlag), about, failed)
	e.own.observations[arm]++
	if failed {
		e.own.events[arm]++
	}
}

// asker asks a relay, again and again. Whether a call without an answer was counted, only the
// relay knows.
type asker struct {
	s     *scenario
	relay evaluationv1.EvaluationServiceClient
	split *split
	pace  pace
	quota uint64
	// answered and unknown are calls, by arm.
	answered, unknown [2]uint64
}

func newAsker(s *scenario, addr string, sp *split, quota uint64, every time.Duration) *asker {
	return &asker{s: s, relay: evaluationv1.NewEvaluationServiceClient(bed.Dial(s, addr)), split: sp, quota: quota, pace: pace{every: every}}
}

// askerBurst is how many calls are made at a time.
const askerBurst = 10

func (a *asker) run(ctx context.Context) {
	for n := uint64(0); n < a.quota && a.pace.wait(ctx); n += askerBurst {
		for i := n; i < n+askerBurst; i++ {
			a.ask(a.s.ctx, int(i%subjects))
		}
	}
}

// ask asks about a subject until there is an answer.
func (a *asker) ask(ctx context.Context, subject int) {
	arm := armOf(subject)
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		answer, err := a.relay.Evaluate(call, &evaluationv1.EvaluateRequest{
			Environment: bed.Environment, FlagKey: askedFlag, Context: &evaluationv1.EvaluationContext{TargetingKey: a.split[subject]},
		})
		cancel()
		if err == nil {
			if answer.GetBoolValue() != (arm == 1) {
				a.s.Errorf("%s is served %v at a relay", a.split[subject], answer)
			}
			a.answered[arm]++
			return
		}
		a.unknown[arm]++
		time.Sleep(50 * time.Millisecond)
	}
}

// splitOf finds the subjects of a flag, by an SDK that counts nothing.
func (s *scenario) splitOf(c clientsdk.Client, flag string) *split {
	sp, next := &split{}, [2]int{0, 1}
	for n := 0; next[0] < subjects || next[1] < subjects; n++ {
		key, arm := fmt.Sprintf("subject-%d", n), 0
		if c.Boolean(s.ctx, flag, clientsdk.NewContext(key, nil), false) {
			arm = 1
		}
		if next[arm] < subjects {
			sp[next[arm]] = key
			next[arm] += 2
		}
	}
	return sp
}
