package preview

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// checkEvery is after how many subjects it is looked whether there is time left.
const checkEvery = 8

// Comparison evaluates subjects twice. It is used by one goroutine.
type Comparison struct {
	// Before and After are the flags as they are, and as they would be.
	Before, After *eval.Environment
	// Here adds to a context where and when it is evaluated.
	Here func(*eval.Context)

	decoded map[*kept]*eval.Context // what is the same for many flags
}

// Compare tells of the sampled subjects of a flag, at most k. Nil: it is not known, or not
// before ctx ends.
func (s *Sampler) Compare(ctx context.Context, c *Comparison, key string, k int) *syncv1.PreviewFlag {
	if s == nil {
		return nil
	}
	subjects, withoutKey := s.of(c.Before.Flag(key), key, k)
	if subjects == nil {
		return nil
	}
	told := &syncv1.PreviewFlag{FlagKey: key, Relays: 1, Below: subjects.below, WithoutKey: withoutKey}
	groups := map[transition]*syncv1.PreviewTransition{}
	for i, hash := range subjects.hashes {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil
		}
		subject := c.context(subjects.contexts[i])
		if subject == nil {
			continue
		}
		t := compare(c.Before.Evaluate(key, subject), c.After.Evaluate(key, subject))
		group := groups[t]
		if group == nil {
			group = t.proto()
			groups[t] = group
			told.Transitions = append(told.Transitions, group)
		}
		group.Subjects = append(group.Subjects, hash)
	}
	return told
}

// context returns a context that was kept; nil: it was not.
func (c *Comparison) context(of *kept) *eval.Context {
	if of == nil {
		return nil
	}
	if known, ok := c.decoded[of]; ok {
		return known
	}
	var subject *eval.Context
	if decoded, err := of.decode(); err == nil { // which encoded it
		c.Here(&decoded)
		subject = &decoded
	}
	if c.decoded == nil {
		c.decoded = map[*kept]*eval.Context{}
	}
	c.decoded[of] = subject
	return subject
}

// transition is what a change does for a subject.
type transition struct {
	before, after outcome
	differs       bool
}

// outcome is what a subject gets; empty: the caller's default.
type outcome struct{ variant, code string }

func outcomeOf(r *eval.Result) outcome {
	switch {
	case r.ErrorCode != "":
		return outcome{code: string(r.ErrorCode)}
	case r.Variant == nil:
		return outcome{}
	}
	return outcome{variant: r.Variant.Name}
}

func compare(before, after eval.Result) transition {
	t := transition{before: outcomeOf(&before), after: outcomeOf(&after)}
	t.differs = t.before != t.after || t.before.variant != "" && !sameValue(&before.Variant.Value, &after.Variant.Value)
	return t
}

func sameValue(a, b *eval.VariantValue) bool {
	return a.Type == b.Type && a.Bool == b.Bool && a.String == b.String && a.Int == b.Int && a.Double == b.Double &&
		(a.Proto == b.Proto || proto.Equal(a.Proto, b.Proto))
}

func (t transition) proto() *syncv1.PreviewTransition {
	return &syncv1.PreviewTransition{Before: t.before.proto(), After: t.after.proto(), Differs: t.differs}
}

func (o outcome) proto() *syncv1.PreviewOutcome {
	return &syncv1.PreviewOutcome{Variant: o.variant, ErrorCode: o.code}
}

func transitionOf(p *syncv1.PreviewTransition) transition {
	return transition{before: outcomeFrom(p.GetBefore()), after: outcomeFrom(p.GetAfter()), differs: p.GetDiffers()}
}

func outcomeFrom(p *syncv1.PreviewOutcome) outcome {
	return outcome{variant: p.GetVariant(), code: p.GetErrorCode()}
}
