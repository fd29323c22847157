package decider

import (
	"context"
	"errors"
	"fmt"
	"time"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
)

// ErrNotLeading says that this server does not judge: the leader knows.
var ErrNotLeading = errors.New("decider: this server does not lead")

// standingKept is how long a judgement is told of: who leads makes one each second.
const standingKept = 10 * time.Second

// Assess returns how the evidence of a rollout stands, as it was judged last; ErrNotLeading if
// that is not known here. It does not ask the store.
func (d *Decider) Assess(_ context.Context, environment, rollout string) (*rolloutv1.Assessment, error) {
	d.mu.Lock()
	s := d.standing[id{environment, rollout}]
	d.mu.Unlock()
	if s == nil || time.Since(s.seen) > standingKept {
		return nil, ErrNotLeading
	}
	return s.assess(), nil
}

// Violated names the guardrails that are violated, by the evidence that is stored: any server
// can tell.
func (d *Decider) Violated(ctx context.Context, environment, rollout string) ([]string, error) {
	a, err := d.stored(ctx, environment, rollout)
	var names []string
	for _, g := range a.GetGuardrails() {
		if g.GetStanding() == rolloutv1.Standing_STANDING_BREACH {
			names = append(names, g.GetName())
		}
	}
	return names, err
}

// Success is what the success metric has come to, by the evidence that is stored.
func (d *Decider) Success(ctx context.Context, environment, rollout string) (*rolloutv1.SuccessAssessment, error) {
	a, err := d.stored(ctx, environment, rollout)
	return a.GetSuccess(), err
}

// stored is how the evidence stands that is stored; nil: the rollout is over.
func (d *Decider) stored(ctx context.Context, environment, rollout string) (*rolloutv1.Assessment, error) {
	r, err := d.o.Authority.ActiveRollout(ctx, environment, rollout)
	if err != nil || r == nil {
		return nil, err
	}
	p, err := judge.Compile(r.Rollout)
	if err != nil {
		return nil, err
	}
	j, err := judgeOn(p, r, nil, &rolloutv1.Situation{}, judge.GatedDwell{})
	if err != nil {
		return nil, fmt.Errorf("the evidence of rollout %q: %w", rollout, err)
	}
	return j.Assessment(), nil
}
