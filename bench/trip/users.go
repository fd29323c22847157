package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"

	"github.com/tidegate/tidegate/bench/testbed"
)

const (
	// people are who come at random.
	people = 1_000_000
	// usual is the share of requests that fail, whatever is served; broken that of the
	// treatment, once it is broken: 20 times as many.
	usual  = 0.01
	broken = 20 * usual
)

// visit is one request of a user.
type visit struct {
	relay    int
	sent     time.Time
	told     time.Time // when what came of it was sent
	treated  bool
	revision int64 // that answered
	// failed, and but for the fault it would not have.
	failed bool
}

// users ask for the flag, at a rate, until they are stopped.
type users struct {
	scene  *scene
	flag   string
	broken atomic.Bool
	stop   context.CancelFunc
	all    sync.WaitGroup

	mu     sync.Mutex
	visits []visit
	err    error
}

func (s *scene) open(ctx context.Context, flag string) *users {
	ctx, stop := context.WithCancel(ctx)
	u := &users{scene: s, flag: flag, stop: stop}
	u.all.Go(func() {
		began := time.Now()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(s.o.rate)))):
			}
			u.all.Go(func() { u.visit(ctx, i%len(s.relays)) })
		}
	})
	return u
}

// visit serves a user, who may fail, and tells the relay what came of it.
func (u *users) visit(ctx context.Context, at int) {
	r := u.scene.relays[at]
	user := &evaluationv1.EvaluationContext{TargetingKey: fmt.Sprintf("user-%d", rand.N(people))} //nolint:gosec // plays users
	v := visit{relay: at, sent: time.Now()}
	answer, err := r.evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{Environment: testbed.Environment, FlagKey: u.flag, Context: user})
	if err != nil {
		u.note(ctx, v, err)
		return
	}
	v.treated, v.revision = answer.GetBoolValue(), answer.GetEnvironmentRevision()
	draw := rand.Float64() //nolint:gosec // plays users
	v.failed = v.treated && u.broken.Load() && draw >= usual && draw < broken
	took := 50*time.Millisecond + rand.N(100*time.Millisecond) //nolint:gosec // plays a service
	e := &telemetryv1.Event{Context: user, Observations: []*telemetryv1.Observation{
		{Metric: timeMetric, Value: &telemetryv1.Observation_Duration{Duration: durationpb.New(took)}},
	}}
	if draw < usual || v.failed {
		e.Observations = append(e.Observations, &telemetryv1.Observation{
			Metric: errorMetric, Value: &telemetryv1.Observation_Happened{Happened: true},
		})
	}
	v.told = time.Now()
	_, err = r.telemetry.Track(ctx, &telemetryv1.TrackRequest{Environment: testbed.Environment, Events: []*telemetryv1.Event{e}})
	u.note(ctx, v, err)
}

func (u *users) note(ctx context.Context, v visit, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		u.err = errors.Join(u.err, err)
	}
	if v.revision > 0 {
		u.visits = append(u.visits, v)
	}
}

// close sends them away, and returns what they met.
func (u *users) close() ([]visit, error) {
	u.stop()
	u.all.Wait()
	return u.visits, u.err
}
