package controlplane

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// steerRequest is a person's change of a rollout that is there.
type steerRequest interface {
	environmentRequest
	GetKey() string
	GetBaseRevision() int64
}

func checkSteer(r steerRequest) error {
	var check checker
	check.environment("environment", r.GetEnvironment())
	check.key("key", r.GetKey())
	check.revision("base_revision", r.GetBaseRevision())
	check.write(r)
	return check.err()
}

// heldRollout is a rollout and its flag as the store has them. They are read one after the
// other: a write that is based on both compares both.
type heldRollout struct {
	resource
	revision int64
	rollout  *rolloutv1.Rollout
	flag     resource
	// flagRevision is 0 where there is no such flag; flagNow is nil then, and where it cannot
	// be decoded. A rollout ends all the same.
	flagRevision int64
	flagNow      *flagv1.Flag
}

func (a *Authority) readRollout(ctx context.Context, environment, key string) (*heldRollout, error) {
	h := &heldRollout{resource: resource{environment: environment, kind: rolloutKind, key: key}}
	v, err := a.get(ctx, rolloutKind, environment, key)
	if err != nil {
		return nil, err
	}
	h.revision = v.revision
	h.rollout, _ = v.message.(*rolloutv1.Rollout)
	h.flag = resource{environment: environment, kind: flagKind, key: h.rollout.GetFlagKey()}
	results, _, err := a.store.Read(ctx, store.Key(h.flag.stateKey()))
	if err != nil {
		return nil, unavailable(err)
	}
	current := flagKind.version(results[0])
	h.flagRevision = current.revision
	h.flagNow, _ = current.message.(*flagv1.Flag)
	return h, nil
}

// changes are those that make next of a rollout and of its flag, as they were read.
func (h *heldRollout) changes(next rollout.Next, verb controlv1.Action) []*change {
	revision := h.revision
	if next.Rollout.GetStatus().GetState() == rolloutv1.State_STATE_COMPLETED {
		verb = controlv1.Action_ACTION_COMPLETED // also where a person promoted it there
	}
	changes := []*change{{
		resource: h.resource, field: "key", base: &revision, present: true, unchecked: true, verb: verb, content: fixed(next.Rollout),
	}}
	if rollout.Active(h.rollout) && !rollout.Active(next.Rollout) {
		changes[0].claims = &claimsChange{flagKey: h.flag.key, claim: rollout.ClaimOf(h.rollout), release: true}
	}
	if next.Flag != nil && h.flagRevision != 0 {
		changes = append(changes, flagOfRollout(h.flag, h.key, h.flagRevision, verb, next.Flag))
	}
	return changes
}

// steer makes of a rollout what step makes of it. Without a base it wins over whatever happens
// at the same time: step sees what came of that. A base is the rollout's: it wins over what happens
// to the flag all the same.
func (s *Rollouts) steer(ctx context.Context, c Caller, r steerRequest, base *int64, verb controlv1.Action,
	step func(*heldRollout) (rollout.Next, error),
) (*result, error) {
	if err := checkSteer(r); err != nil {
		return nil, err
	}
	for races := 0; ; races++ {
		result, err := s.steerOnce(ctx, c, r, base, verb, step)
		if (base == nil && changedMeanwhile(err) || flagChanged(err)) && races < maxRaces {
			if _, gone := s.authority.readRollout(ctx, r.GetEnvironment(), r.GetKey()); gone != nil {
				return nil, gone
			}
			continue
		}
		return result, err
	}
}

// flagChanged tells whether somebody changed the flag in between.
func flagChanged(err error) bool {
	var conflict *ConflictError
	return errors.As(err, &conflict) && conflict.Conflict.GetKind() == flagKind.control
}

func (s *Rollouts) steerOnce(ctx context.Context, c Caller, r steerRequest, base *int64, verb controlv1.Action,
	step func(*heldRollout) (rollout.Next, error),
) (*result, error) {
	h, err := s.authority.readRollout(ctx, r.GetEnvironment(), r.GetKey())
	var next rollout.Next
	if err == nil {
		if base != nil && *base != h.revision {
			err = s.authority.conflict(ctx, h.resource, *base)
		} else {
			next, err = step(h)
			err = unfit("", err)
			s.keepSuccess(ctx, h, next)
		}
	}
	if err != nil {
		// What is not possible now may be what this request did when it came first.
		if w, repeated := s.authority.repeated(ctx, c, r, r.GetEnvironment()); repeated {
			return w.results[0], nil
		}
		return nil, err
	}
	w, err := s.authority.write(ctx, &plan{request: r, caller: c, environment: r.GetEnvironment(), announce: s.o.Announce, changes: h.changes(next, verb)})
	if err != nil {
		return nil, err
	}
	return w.results[0], nil
}

// keepSuccess has a rollout that somebody ends say what it came to. It ends also where nobody can
// tell.
func (s *Rollouts) keepSuccess(ctx context.Context, h *heldRollout, next rollout.Next) {
	if s.o.Assessor == nil || h.rollout.GetSuccess() == nil || !rollout.Active(h.rollout) || next.Rollout == nil || rollout.Active(next.Rollout) {
		return
	}
	success, err := s.o.Assessor.Success(ctx, h.environment, h.key)
	if err != nil {
		s.authority.logger.Warn().Err(err).Stringer("of", h.resource).Msg("a rollout ends, and what its success metric came to is not known")
	}
	next.Rollout.Status.Success = success
}

// PauseRollout stops the widening.
func (s *Rollouts) PauseRollout(ctx context.Context, c Caller, r *controlv1.PauseRolloutRequest) (*controlv1.PauseRolloutResponse, error) {
	result, err := s.steer(ctx, c, r, r.BaseRevision, controlv1.Action_ACTION_PAUSED, func(h *heldRollout) (rollout.Next, error) {
		paused, err := rollout.Pause(h.rollout)
		return rollout.Next{Rollout: paused}, err
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.PauseRolloutResponse{Rollout: rolloutVersion(result.version), Entry: result.entry}, nil
}

// ResumeRollout lets it go on.
func (s *Rollouts) ResumeRollout(ctx context.Context, c Caller, r *controlv1.ResumeRolloutRequest) (*controlv1.ResumeRolloutResponse, error) {
	result, err := s.steer(ctx, c, r, r.BaseRevision, controlv1.Action_ACTION_RESUMED, func(h *heldRollout) (rollout.Next, error) {
		resumed, err := rollout.Resume(h.rollout)
		return rollout.Next{Rollout: resumed}, err
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.ResumeRolloutResponse{Rollout: rolloutVersion(result.version), Entry: result.entry}, nil
}

// PromoteRollout goes to a stage above.
func (s *Rollouts) PromoteRollout(ctx context.Context, c Caller, r *controlv1.PromoteRolloutRequest) (*controlv1.PromoteRolloutResponse, error) {
	at := s.at(ctx, r.GetEnvironment())
	result, err := s.steer(ctx, c, r, r.BaseRevision, controlv1.Action_ACTION_ADVANCED, func(h *heldRollout) (rollout.Next, error) {
		if err := s.checkViolated(ctx, h); err != nil {
			return rollout.Next{}, err
		}
		if err := h.checkFlag(); err != nil {
			return rollout.Next{}, err
		}
		stage := int(h.rollout.GetStatus().GetStage()) + 1
		if r.Stage != nil {
			stage = int(r.GetStage())
		}
		return rollout.Advance(h.rollout, h.flagNow, stage, at)
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.PromoteRolloutResponse{Rollout: rolloutVersion(result.version), Entry: result.entry}, nil
}

// checkViolated refuses what would widen a rollout that a guardrail is against.
func (s *Rollouts) checkViolated(ctx context.Context, h *heldRollout) error {
	if s.o.Assessor == nil || !rollout.Active(h.rollout) {
		return nil
	}
	violated, err := s.o.Assessor.Violated(ctx, h.environment, h.key)
	switch {
	case err != nil:
		return fmt.Errorf("%w: whether a guardrail is violated is not known: nothing was written: %w", ErrUnavailable, err)
	case len(violated) > 0:
		return precluded("key", fmt.Sprintf("guardrail %s is violated: abort the rollout, or wait until the evidence is better", quoteList(violated)))
	}
	return nil
}

func (h *heldRollout) checkFlag() error {
	switch {
	case h.flagRevision == 0:
		return precluded("key", fmt.Sprintf("%s is no longer there: abort the rollout", h.flag))
	case h.flagNow == nil:
		return fmt.Errorf("%w: %s", ErrCorrupt, h.flag)
	}
	return nil
}

// AbortRollout ends the rollout at the control.
func (s *Rollouts) AbortRollout(ctx context.Context, c Caller, r *controlv1.AbortRolloutRequest) (*controlv1.AbortRolloutResponse, error) {
	at := rollout.At{Time: s.authority.now()} // nothing is divided by relays any more
	result, err := s.steer(ctx, c, r, r.BaseRevision, controlv1.Action_ACTION_ABORTED, func(h *heldRollout) (rollout.Next, error) {
		if h.rollout.GetStatus().GetState() == rolloutv1.State_STATE_ABORTED {
			return rollout.Next{Rollout: h.rollout}, nil
		}
		return rollout.Finish(h.rollout, h.flagNow, rolloutv1.State_STATE_ABORTED, at)
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.AbortRolloutResponse{Rollout: rolloutVersion(result.version), Entry: result.entry}, nil
}
