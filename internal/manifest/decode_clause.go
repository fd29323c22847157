package manifest

import (
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func (d *decoder) clauses(into *[]*flagv1.Clause) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		if n.Kind == yaml.MappingNode {
			d.fail(at, "must be a list of clauses: write '- ' before the clause, or put it in [ ]")
			return
		}
		d.list(n, at, func(n *yaml.Node, at *place) {
			*into = append(*into, d.clause(n, at))
		})
	}
}

// clause reads {attribute: X, OPERATOR: value or list}, and 'not: true'.
func (d *decoder) clause(n *yaml.Node, at *place) *flagv1.Clause {
	c := &flagv1.Clause{}
	var found string // the operator's name
	absent := false  // exists: false
	for _, e := range d.entries(n, at) {
		o, isOperator := operatorNamed(e.name)
		switch {
		case e.name == "attribute":
			d.given(e, at, field{"attribute", "attribute", d.text(&c.Attribute)})
		case e.name == "not":
			d.given(e, at, field{"not", "negate", d.boolean(&c.Negate)})
		case !isOperator:
			d.unknown(e, at, clauseFields())
			at.faulty = true
		case found != "":
			d.fail(&place{Position: d.position(e.key), parent: at, label: "." + e.name},
				"a clause has one operator, and this one has '%s': make two clauses, which must then both hold", found)
		default:
			found = e.name
			c.Operator = o.op
			at.field("operator", "."+e.name, d.position(e.key))
			d.given(e, at, field{e.name, "values", func(n *yaml.Node, at *place) {
				if o.op == flagv1.Operator_OPERATOR_EXISTS {
					absent = d.absent(n, at)
					return
				}
				c.Values = d.clauseValues(n, at, o)
			}})
		}
	}
	if n.Kind == yaml.MappingNode && found == "" && !at.faulty {
		d.fail(at, "has no operator: add one of %s", strings.Join(operatorNames(), ", "))
	}
	if absent {
		if c.Negate {
			d.fail(at, "'not: true' with 'exists: false' negates twice: write 'exists: true'")
		}
		c.Negate = true
	}
	return c
}

// absent reads the value of 'exists'.
func (d *decoder) absent(n *yaml.Node, at *place) bool {
	var exists bool
	d.boolean(&exists)(n, at)
	return !exists && !at.faulty
}

// clauseValues reads one value, or a list of them.
func (d *decoder) clauseValues(n *yaml.Node, at *place, o operator) []*structpb.Value {
	if n.Kind != yaml.SequenceNode {
		return []*structpb.Value{d.clauseValue(n, at.item("", at.Position), o)}
	}
	var values []*structpb.Value
	d.list(n, at, func(n *yaml.Node, at *place) {
		values = append(values, d.clauseValue(n, at, o))
	})
	return values
}

func (d *decoder) clauseValue(n *yaml.Node, at *place, o operator) *structpb.Value {
	want := "a text, a number, true or false"
	if o.text {
		want = "a text"
	}
	if !d.expect(n, at, yaml.ScalarNode, want) {
		return nil
	}
	if tag := n.ShortTag(); o.text && tag != "!!str" && tag != "!!timestamp" {
		d.fail(at, `must be a text, is %s: write "%s" in quotes`, describe(n), n.Value)
		return nil
	}
	return d.value(n, at)
}

func operatorNames() []string {
	names := make([]string, len(operators))
	for i, o := range operators {
		names[i] = o.name
	}
	return names
}

func clauseFields() []string {
	return append([]string{"attribute", "not"}, operatorNames()...)
}
