package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"

	"github.com/tidegate/tidegate/bench/testbed"
	"github.com/tidegate/tidegate/clientsdk"
)

const (
	// lookEvery is how often it is looked what is served.
	lookEvery = 3 * time.Millisecond
	// looked are how many subjects ask, in turn.
	looked = 5
)

// treated finds subjects whom the rollout gives the treatment, once it does.
func (s *scene) treated(ctx context.Context, key string) (list []string, err error) {
	for i := 0; len(list) < looked; i++ {
		subject := fmt.Sprintf("look-%d", i%10_000)
		on, err := s.relays[0].serves(ctx, key, subject)
		if err != nil {
			return nil, err
		}
		if on {
			list = append(list, subject)
		}
	}
	return list, nil
}

// serves tells whether a relay serves a subject the treatment.
func (r *relay) serves(ctx context.Context, key, subject string) (bool, error) {
	a, err := r.evaluation.Evaluate(ctx, &evaluationv1.EvaluateRequest{
		Environment: testbed.Environment, FlagKey: lookAt(key), Context: &evaluationv1.EvaluationContext{TargetingKey: subject},
	})
	return a.GetBoolValue(), err
}

// shown is when each relay, and each client in process, began to serve what was waited for.
type shown struct{ relays, inProcess []time.Time }

// await waits until all of the subjects are served the treatment everywhere, or the control.
func (s *scene) await(ctx context.Context, key string, subjects []string, on bool) (shown, error) {
	at := shown{make([]time.Time, len(s.relays)), make([]time.Time, len(s.relays))}
	errs := make([]error, len(s.relays))
	var all sync.WaitGroup
	for i, r := range s.relays {
		all.Go(func() {
			at.relays[i], errs[i] = awaitAll(ctx, subjects, on, func(subject string) (bool, error) { return r.serves(ctx, key, subject) })
		})
		all.Go(func() {
			at.inProcess[i], _ = awaitAll(ctx, subjects, on, func(subject string) (bool, error) {
				return r.inProcess.Boolean(ctx, lookAt(key), clientsdk.User(subject), false), nil
			})
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return at, err
		}
	}
	return at, ctx.Err()
}

// awaitAll asks for one subject after the other until all of them are served what is waited
// for, and returns when that began.
func awaitAll(ctx context.Context, subjects []string, want bool, ask func(subject string) (bool, error)) (began time.Time, err error) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for i, streak := 0, 0; streak < len(subjects); i++ {
		got, err := ask(subjects[i%len(subjects)])
		switch {
		case err != nil:
			return began, err
		case got != want:
			streak = 0
		default:
			if streak == 0 {
				began = time.Now()
			}
			streak++
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return began, ctx.Err()
		}
	}
	return began, nil
}
