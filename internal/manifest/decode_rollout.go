package manifest

import (
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

func decodeRollouts(file string, data []byte) *decoder {
	d := newDecoder(file)
	d.read(data, d.rolloutsRoot)
	return d
}

// rolloutsRoot reads one document of a file of rollouts.
func (d *decoder) rolloutsRoot(n *yaml.Node) {
	at := &place{Position: d.position(n)}
	flags := func(_ *yaml.Node, at *place) {
		d.fail(at, "is not of a file of rollouts: move it to a file of its own, for 'tidegate apply'")
	}
	present := d.fields(n, at, []field{
		{"apiVersion", "apiVersion", d.version},
		{"rollouts", "rollouts", func(n *yaml.Node, at *place) {
			for _, e := range d.entries(n, at) {
				root := &place{Position: d.position(e.key), label: rolloutPath(e.name)}
				d.document.places[root.label] = root
				d.document.Rollouts = append(d.document.Rollouts, d.rollout(e.name, e.value, root))
			}
		}},
		{"flags", "flags", flags},
		{"segments", "segments", flags},
	})
	d.requireVersion(n, at, present)
}

func (d *decoder) validateRollouts() {
	for _, r := range d.document.Rollouts {
		if errs := rollout.Check(r); len(errs) > 0 {
			d.definition(d.document.places[rolloutPath(r.GetKey())], errs)
		}
	}
}

func (d *decoder) rollout(key string, n *yaml.Node, at *place) *rolloutv1.Rollout {
	r := &rolloutv1.Rollout{Key: key}
	at.field("key", "", at.Position)
	if isNull(n) {
		d.fail(at, "is empty: give it at least flag, to, strategy and guardrails")
		return r
	}
	d.fields(n, at, []field{
		{"description", "description", d.text(&r.Description)},
		{"owner", "owner", d.text(&r.Owner)},
		{"flag", "flag_key", d.text(&r.FlagKey)},
		{"rule", "rule", d.text(&r.Rule)},
		{"from", "control", d.text(&r.Control)},
		{"to", "treatment", d.text(&r.Treatment)},
		{"strategy", "strategy", oneOf(d, &r.Strategy, rollout.Strategies())},
		{"stages", "stages", func(n *yaml.Node, at *place) {
			d.list(n, at, func(n *yaml.Node, at *place) { r.Stages = append(r.Stages, d.stage(n, at)) })
		}},
		{"holdback", "holdback", func(n *yaml.Node, at *place) {
			var weight uint32
			d.share(&weight)(n, at)
			r.Holdback = proto.Uint32(weight)
		}},
		{"bake", "bake", d.duration(&r.Bake)},
		{"guardrails", "guardrails", func(n *yaml.Node, at *place) { r.Guardrails = d.guardrails(n, at) }},
		{"success", "success", func(n *yaml.Node, at *place) { r.Success = d.success(n, at) }},
		{"unit", "unit", oneOf(d, &r.Unit, rollout.Units())},
		{"falseRollbackBudget", "false_rollback_budget", d.budget(&r.FalseRollbackBudget)},
		{"edgeBreaker", "edge_breaker", func(n *yaml.Node, at *place) { r.EdgeBreaker = d.edgeBreaker(n, at) }},
		{"notify", "notify", d.texts(&r.Notify)},
	})
	return r
}

// oneOf reads the name of a value of an enum.
func oneOf[E ~int32](d *decoder, into *E, words []rollout.Word[E]) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		var name string
		d.text(&name)(n, at)
		if at.faulty {
			return
		}
		names := make([]string, len(words))
		for i, w := range words {
			names[i] = w.Name
			if w.Name == name {
				*into = w.Value
				return
			}
		}
		d.fail(at, "unknown value %q: %s", name, didYouMean(name, names))
	}
}

func (d *decoder) stage(n *yaml.Node, at *place) *rolloutv1.Stage {
	s := &rolloutv1.Stage{}
	present := d.fields(n, at, []field{
		{"weight", "weight", d.share(&s.Weight)},
		{"minDwell", "min_dwell", d.duration(&s.MinDwell)},
		{"manual", "manual", d.boolean(&s.Manual)},
	})
	if n.Kind == yaml.MappingNode && !present["weight"] {
		d.fail(at, "weight is missing: a share such as 5%%")
	}
	return s
}

// guardrails reads 'name: statistic < margin' in its order.
func (d *decoder) guardrails(n *yaml.Node, at *place) []*rolloutv1.Guardrail {
	entries := d.entries(n, at)
	guardrails := make([]*rolloutv1.Guardrail, 0, len(entries))
	for _, e := range entries {
		here := at.item("["+e.name+"]", d.valuePosition(e))
		here.field("name", "", d.position(e.key))
		g := &rolloutv1.Guardrail{Name: e.name}
		var text string
		if d.text(&text)(e.value, here); !here.faulty {
			parsed, err := rollout.ParseGuardrailOf(e.name, text)
			if err != nil {
				d.fail(here, "%s", err.Error())
			} else {
				g = parsed
			}
		}
		here.parts("metric", "statistic", "worse", "quantile", "denominator", "weight", "action", "promotion_ratios", "reference", "segment_by")
		here.field("margin", "", here.Position).parts("relative", "percentage_points", "absolute", "seconds")
		guardrails = append(guardrails, g)
	}
	return guardrails
}

func (d *decoder) success(n *yaml.Node, at *place) *rolloutv1.Success {
	var text string
	if d.text(&text)(n, at); at.faulty {
		return nil
	}
	s, err := rollout.ParseSuccess(text)
	if err != nil {
		d.fail(at, "%s", err.Error())
		return nil
	}
	at.parts("metric", "statistic", "better", "denominator", "alpha", "relevant_difference", "give_up_after")
	return s
}

func (d *decoder) edgeBreaker(n *yaml.Node, at *place) *rolloutv1.EdgeBreaker {
	b := &rolloutv1.EdgeBreaker{}
	d.fields(n, at, []field{
		{"disabled", "disabled", d.boolean(&b.Disabled)},
		{"after", "after", d.duration(&b.After)},
	})
	return b
}

// share reads a percentage as a weight.
func (d *decoder) share(into *uint32) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		if !d.expect(n, at, yaml.ScalarNode, "a share such as 5%") {
			return
		}
		weight, err := rollout.ParseWeight(n.Value)
		if err != nil {
			d.fail(at, "%s", err.Error())
			return
		}
		*into = weight
	}
}

func (d *decoder) budget(into *float64) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		if !d.expect(n, at, yaml.ScalarNode, "a probability such as 1%") {
			return
		}
		p, err := rollout.ParseProbability(n.Value)
		if err != nil {
			d.fail(at, "%s", err.Error())
			return
		}
		*into = p
	}
}

func (d *decoder) duration(into **durationpb.Duration) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		if !d.expect(n, at, yaml.ScalarNode, "a duration such as 5m") {
			return
		}
		parsed, err := rollout.ParseDuration(n.Value)
		if err != nil {
			d.fail(at, "%s", err.Error())
			return
		}
		*into = durationpb.New(parsed)
	}
}

// parts adds fields of the message that are written at the same place, without names.
func (p *place) parts(names ...string) {
	for _, name := range names {
		p.field(name, "", p.Position)
	}
}
