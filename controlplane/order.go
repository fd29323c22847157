package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// maxChain is how many environments can be one behind the other.
const maxChain = 32

// ordered is what a draft has to be like, as its environment's order asks: what the environment
// before has of the same key. It must not change before the draft is written.
type ordered struct {
	version
	key string // of the store
}

// promotion checks what settings say of where things come from, by itself.
func (c *checker) promotion(field, environment string, p *controlv1.Promotion) {
	switch {
	case p.GetFrom() != "" && p.GetFrom() == environment:
		c.add(field+".from", "must be another environment than %s itself", environment)
	case p.GetFrom() != "":
		c.environment(field+".from", p.GetFrom())
	case p.GetRequired():
		c.add(field+".required", "is set without from: say which environment comes before this one")
	}
}

// checkChain makes sure that an environment can come behind another one, and returns on what
// condition: that those before are as they were looked at.
func (a *Authority) checkChain(ctx context.Context, environment string, p *controlv1.Promotion) ([]store.Compare, error) {
	var compares []store.Compare
	chain := []string{environment}
	for next := p.GetFrom(); next != ""; {
		chain = append(chain, next)
		const field = "settings.promotion.from"
		switch {
		case next == environment:
			return nil, precluded(field, "the order would run in a circle: "+strings.Join(chain, ", which is promoted from "))
		case len(chain) > maxChain:
			return nil, precluded(field, fmt.Sprintf("more than %d environments would be one behind the other", maxChain))
		}
		results, _, err := a.store.Read(ctx, store.Key(environmentKey(next)))
		if err != nil {
			return nil, unavailable(err)
		}
		v := environmentKind.version(results[0])
		if v.revision == 0 {
			if err := a.checkEnvironment(ctx, next); err != nil {
				return nil, err
			}
			return nil, &NotFoundError{What: fmt.Sprintf("environment %q", next)}
		}
		settings, ok := v.message.(*controlv1.EnvironmentSettings)
		if !ok {
			return nil, fmt.Errorf("%w: %s", ErrCorrupt, settingsOf(next))
		}
		compares = append(compares, store.Unchanged(environmentKey(next), v.revision))
		next = settings.GetPromotion().GetFrom()
	}
	return compares, nil
}

// isOrdered tells whether an environment's order, where it is required, asks something of a
// draft. The kill switch, rollouts and earlier versions are free of it.
func (d *draft) isOrdered() bool {
	return (d.kind == flagKind || d.kind == segmentKind) && !d.unchecked && d.rollout == "" && d.restored == 0
}

// readOrdered reads what the environment's order asks the drafts to be like. What is promoted is
// compared with where it comes from anyhow.
func (a *Authority) readOrdered(ctx context.Context, p *plan, s *state) error {
	settings, _ := s.settings.message.(*controlv1.EnvironmentSettings)
	if !settings.GetPromotion().GetRequired() || p.restored != nil {
		return nil
	}
	var drafts []*draft
	for _, d := range s.drafts {
		if d.isOrdered() && d.from == nil {
			drafts = append(drafts, d)
		}
	}
	for batch := range slices.Chunk(drafts, store.MaxTxnOps) {
		ranges := make([]store.Range, 0, len(batch))
		for _, d := range batch {
			before := resource{environment: settings.GetPromotion().GetFrom(), kind: d.kind, key: d.key}
			d.ordered = &ordered{key: before.stateKey()}
			ranges = append(ranges, store.Key(d.ordered.key))
		}
		results, _, err := a.store.Read(ctx, ranges...)
		if err != nil {
			return unavailable(err)
		}
		for i, d := range batch {
			d.ordered.version = d.kind.version(results[i])
		}
	}
	return nil
}

// checkOrder refuses what does not come from the environment before this one, by what the
// settings say. That they do is a condition of the write by checkSource.
func (s *state) checkOrder(p *plan, drafts []*draft) error {
	settings, _ := s.settings.message.(*controlv1.EnvironmentSettings)
	before := settings.GetPromotion().GetFrom()
	if before == "" {
		return nil
	}
	if p.promotedFrom != "" && p.promotedFrom != before {
		return precluded("from_environment", fmt.Sprintf("environment %q is promoted from %q, as its settings say, not from %q",
			p.environment, before, p.promotedFrom))
	}
	var problems eval.Errors
	for _, d := range drafts {
		if d.ordered == nil {
			continue
		}
		if problem := d.disorder(before); problem != "" {
			problems = append(problems, eval.FieldError{Field: d.field, Problem: problem})
		}
	}
	if len(problems) > 0 {
		return &PreconditionError{Fields: problems}
	}
	return nil
}

// disorder says how a draft is not as in the environment before its own; empty: it is.
func (d *draft) disorder(before string) string {
	what := fmt.Sprintf("the %s %q", d.kind.name, d.key)
	current, desired, there := definitionOf(d.current.message), definitionOf(d.desired), definitionOf(d.ordered.message)
	switch {
	case d.desired == nil && d.ordered.revision == 0:
		return ""
	case d.desired == nil:
		return fmt.Sprintf("%s is still in environment %q, which comes before this one: delete it there first", what, before)
	case current != nil && proto.Equal(current, desired):
		return "" // the switch alone
	case d.ordered.revision == 0:
		return fmt.Sprintf("%s is not in environment %q, which comes before this one: make it there, and promote it", what, before)
	case there == nil:
		return fmt.Sprintf("%s cannot be decoded in environment %q, which comes before this one", what, before)
	case proto.Equal(there, desired):
		return ""
	}
	return fmt.Sprintf("%s would not be as in environment %q, which comes before this one (%s): change it there, and promote it",
		what, before, pathsOf(fieldChanges(there, desired)))
}

// pathsOf names some of what changed.
func pathsOf(changes []*controlv1.FieldChange) string {
	const shown = 3
	var paths []string
	for i, c := range changes {
		if i == shown {
			paths = append(paths, fmt.Sprintf("and %d more", len(changes)-shown))
			break
		}
		paths = append(paths, c.GetPath())
	}
	return strings.Join(paths, ", ")
}

// definitionOf is a flag without whether it is enabled, a segment as it is; nil for anything
// else.
func definitionOf(m proto.Message) proto.Message {
	switch m := pinned(m).(type) {
	case *flagv1.Flag:
		if m == nil {
			return nil
		}
		m = proto.CloneOf(m)
		m.Enabled = false
		return m
	case *flagv1.Segment:
		if m != nil {
			return m
		}
	}
	return nil
}
