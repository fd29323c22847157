package decider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/controlplane"
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
	r, err := d.o.Authority.ActiveRollout(ctx, environment, rollout)
	if err != nil || r == nil {
		return nil, err
	}
	if r.Evidence == nil {
		return nil, nil
	}
	return violated(r)
}

func violated(r *controlplane.ActiveRollout) ([]string, error) {
	p, err := judge.Compile(r.Rollout)
	if err != nil {
		return nil, err
	}
	j, err := judgeOn(p, r, nil, &rolloutv1.Situation{}, judge.GatedDwell{})
	if err != nil {
		return nil, fmt.Errorf("the evidence of rollout %q: %w", r.Rollout.GetKey(), err)
	}
	var names []string
	for _, g := range j.Assessment().GetGuardrails() {
		if g.GetStanding() == rolloutv1.Standing_STANDING_BREACH {
			names = append(names, g.GetName())
		}
	}
	return names, nil
}
