package manifest

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxInteger is the largest whole number that every JSON reader keeps: 2^53-1.
const maxInteger = 1<<53 - 1

var (
	jsonNumber  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)
)

// value reads a value with its type; nil after an error.
func (d *decoder) value(n *yaml.Node, at *place) *structpb.Value {
	switch n.Kind {
	case yaml.MappingNode:
		if !d.expect(n, at, yaml.MappingNode, "") {
			return nil
		}
		if v, ok := d.reference(n, at); ok {
			return v
		}
		s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(n.Content)/2)}
		for _, e := range d.entries(n, at) {
			here := at.field(e.name, "."+e.name, d.position(e.value))
			if v := d.value(e.value, here); v != nil {
				s.Fields[e.name] = v
			}
		}
		return structpb.NewStructValue(s)
	case yaml.SequenceNode:
		if !d.expect(n, at, yaml.SequenceNode, "") {
			return nil
		}
		l := &structpb.ListValue{}
		for _, element := range n.Content {
			if v := d.value(element, at.index(d.position(element))); v != nil {
				l.Values = append(l.Values, v)
			}
		}
		return structpb.NewListValue(l)
	}
	if !d.expect(n, at, yaml.ScalarNode, "a value") {
		return nil
	}
	return d.scalar(n, at)
}

func (d *decoder) scalar(n *yaml.Node, at *place) *structpb.Value {
	tag := n.ShortTag()
	switch {
	case n.Style != 0: // in quotes or a block
		return structpb.NewStringValue(n.Value)
	case tag == "!!null":
		return structpb.NewNullValue()
	case tag == "!!bool":
		return structpb.NewBoolValue(strings.EqualFold(n.Value, "true"))
	case jsonNumber.MatchString(n.Value):
		return d.number(n, at)
	case tag == "!!int" || tag == "!!float":
		d.fail(at, `readers of YAML disagree on %s: write a number as in JSON, or "%s" in quotes for a text`, n.Value, n.Value)
		return nil
	}
	return structpb.NewStringValue(n.Value)
}

func (d *decoder) number(n *yaml.Node, at *place) *structpb.Value {
	v, err := strconv.ParseFloat(n.Value, 64)
	switch {
	case err != nil:
		d.fail(at, `is too large for a number: write "%s" in quotes for a text`, n.Value)
		return nil
	case wholeNumber.MatchString(n.Value) && math.Abs(v) > maxInteger && !d.flagd:
		d.fail(at, `whole numbers beyond 9007199254740991 lose digits in JSON: write "%s" in quotes for a text`, n.Value)
		return nil
	}
	if v == 0 {
		v = 0 // -0 is 0
	}
	return structpb.NewNumberValue(v)
}
