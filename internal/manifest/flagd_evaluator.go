package manifest

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// references says what becomes of {"$ref": "name"}.
type references int

const (
	plain    references = iota // an object as any other
	resolved                   // the evaluator of that name
	refused                    // an error: evaluators do not refer to each other
)

// evaluator is a part of targeting that flags refer to by name. Flags share its value.
type evaluator struct {
	value *structpb.Value
	place *place
}

// readEvaluators reads $evaluators.
func (d *decoder) readEvaluators(e entry, at *place) map[string]evaluator {
	here := at.field("$evaluators", ".$evaluators", d.valuePosition(e))
	evaluators := map[string]evaluator{}
	d.references = refused
	for _, e := range d.entries(e.value, here) {
		at := here.field(e.name, "["+e.name+"]", d.valuePosition(e))
		if d.expect(e.value, at, yaml.MappingNode, "an object: JsonLogic") {
			evaluators[e.name] = evaluator{d.value(e.value, at), at}
		}
	}
	d.references = plain
	return evaluators
}

// reference reads {"$ref": "name"} in targeting; ok tells whether it is one.
func (d *decoder) reference(n *yaml.Node, at *place) (v *structpb.Value, ok bool) {
	if d.references == plain || len(n.Content) != 2 || n.Content[0].Value != "$ref" {
		return nil, false
	}
	name := n.Content[1]
	if !d.expect(name, at, yaml.ScalarNode, "the name of an evaluator") {
		return nil, true
	}
	if d.references == refused {
		d.fail(at, "refers to another evaluator, which evaluators cannot: write it out")
		return nil, true
	}
	found, ok := d.evaluators[name.Value]
	switch {
	case ok:
	case len(d.evaluators) == 0:
		d.fail(at, "refers to %q, but the definition has no $evaluators", name.Value)
		return nil, true
	default:
		d.fail(at, "refers to %q, which is not in $evaluators: %s", name.Value, didYouMean(name.Value, slices.Sorted(maps.Keys(d.evaluators))))
		return nil, true
	}
	at.elsewhere = found.place
	return found.value, true
}
