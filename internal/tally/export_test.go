package tally

import (
	"time"

	"github.com/tidegate/tidegate/eval"
)

// Attributed is what attribution comes to, for tests.
type Attributed struct {
	Verdict string
	Step    uint64
	Treated bool
}

// Attribute attributes a context as Observe does.
func (t *Tally) Attribute(rollout string, ctx *eval.Context, exposedAt, now time.Time) Attributed {
	v := t.view.Load()
	a := v.byKey[rollout].attribute(t, v.env, ctx, exposedAt, now)
	verdicts := [...]string{outside: "outside", belongs: "belongs", ambiguous: "ambiguous", forgotten: "forgotten"}
	return Attributed{verdicts[a.verdict], a.step, a.arm == treatment}
}

// MinBits is the size that sets of subjects begin with.
const MinBits = minBits
