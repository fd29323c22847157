package tally

import (
	"time"

	"github.com/tidegate/tidegate/eval"
)

// verdict is what attribution came to.
type verdict uint8

const (
	outside   verdict = iota // no part of the rollout
	belongs                  // to the arm at the step
	ambiguous                // to the arm now, but who knows what it was
	forgotten                // to a step that the status does not tell of any more
)

// attribution is which step and arm of a rollout an observation belongs to.
type attribution struct {
	verdict verdict
	step    uint64
	arm     arm
	// hash tells subjects apart; bySubject is false where there is none.
	hash      uint32
	bySubject bool
}

// attribute evaluates the rollout's flag for a context, and says what it was served at a time;
// zero: just now. Of whoever was served here at the present step, what is told now is of that
// step, however young it is.
func (c *course) attribute(t *Tally, env *eval.Environment, ctx *eval.Context, exposedAt, now time.Time) attribution {
	if c.current == nil {
		return attribution{}
	}
	r := env.EvaluateFlag(c.flag, ctx)
	outcome, hash := r.Assignment()
	if outcome != c.outcome {
		return attribution{}
	}
	from, to, at := now.Add(-t.options.Settling), now, now
	if !exposedAt.IsZero() {
		from, to, at = exposedAt.Add(-t.options.Skew), exposedAt.Add(t.options.Skew), exposedAt
	}
	i := c.at(at, !exposedAt.IsZero())
	a := attribution{verdict: belongs, hash: hash, bySubject: true}
	if i < 0 {
		if a.verdict = c.before(to); a.verdict != belongs {
			return a
		}
		i = 0
	}
	bucket := eval.Bucket(hash, totalWeight)
	a.step, a.arm = c.stretches[i].number, armAt(c.stretches[i].weight, bucket)
	served := exposedAt.IsZero() && c.current.number == a.step && c.current.served(hash)
	if !served && !c.constant(bucket, a.arm, from, to) {
		a.verdict = ambiguous
	}
	return a
}

// armAt is the arm of a bucket at a weight: the treatment comes first.
func armAt(weight, bucket uint64) arm {
	if bucket < weight {
		return treatment
	}
	return control
}

// at is the index of the stretch in force at a time: the last, if none is asked for; -1 if
// that was before the first.
func (c *course) at(at time.Time, asked bool) int {
	last := len(c.stretches) - 1
	if !asked {
		return last
	}
	for ; last >= 0 && c.stretches[last].began.After(at); last-- {
	}
	return last
}

// before says what becomes of an observation of a time before the first stretch that is
// known, but for what clocks may differ by up to `to`.
func (c *course) before(to time.Time) verdict {
	switch {
	case !c.stretches[0].began.After(to):
		return belongs
	case c.stretches[0].number > 1:
		return forgotten
	}
	return outside
}

// constant tells whether the arm of a bucket was the same in all of a time. Before the first
// step everybody had the control.
func (c *course) constant(bucket uint64, a arm, from, to time.Time) bool {
	for i := len(c.stretches) - 1; i >= 0; i-- {
		s := &c.stretches[i]
		if !s.began.After(to) && armAt(s.weight, bucket) != a {
			return false
		}
		if !s.began.After(from) {
			return true
		}
	}
	return c.stretches[0].number == 1 && a == control
}

// attributeVariant is attribute for what names a variant and no subject.
func (c *course) attributeVariant(variant string, exposedAt, now time.Time) attribution {
	a := attribution{verdict: belongs}
	switch {
	case c.current == nil:
		return attribution{}
	case variant == c.plan.treatment:
		a.arm = treatment
	case variant == c.plan.control:
		a.arm = control
	default:
		return attribution{}
	}
	at := now
	if !exposedAt.IsZero() {
		at = exposedAt
	}
	i := c.at(at, !exposedAt.IsZero())
	if i < 0 {
		return attribution{verdict: c.before(at)}
	}
	a.step = c.stretches[i].number
	return a
}
