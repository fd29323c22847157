package manifest

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// decoder turns nodes into messages and collects what is wrong.
type decoder struct {
	file     string
	document *Document
	errs     Errors

	json  bool // the file is JSON
	flagd bool // the document is a flagd definition
	// evaluators are those of a flagd definition, references what becomes of {"$ref": X}.
	evaluators map[string]evaluator
	references references
}

func decode(file string, data []byte) *decoder {
	d := newDecoder(file)
	d.read(data, func(n *yaml.Node) {
		if d.flagd = isFlagd(n, d.json); d.flagd {
			d.flagdRoot(n)
		} else {
			d.root(n)
		}
	})
	return d
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, document: &Document{places: map[string]*place{}}}
}

// read has each document of the file read by root.
func (d *decoder) read(data []byte, root func(*yaml.Node)) {
	documents, errs := d.readDocuments(data)
	if errs != nil {
		d.errs = errs
		return
	}
	for _, n := range documents {
		root(n)
	}
	if len(documents) == 0 {
		d.errs = Errors{{
			Position: Position{File: d.file, Line: 1, Column: 1},
			Problem:  "there is nothing in the file: it must begin with 'apiVersion: " + apiVersion + "'",
		}}
	}
}

// result is the document, or everything that is wrong with it.
func (d *decoder) result() (*Document, error) {
	if len(d.errs) > 0 {
		d.errs.Sort()
		return nil, d.errs
	}
	return d.document, nil
}

// root reads one document.
func (d *decoder) root(n *yaml.Node) {
	at := &place{Position: d.position(n)}
	present := d.fields(n, at, []field{
		{"apiVersion", "apiVersion", d.version},
		{"flags", "flags", func(n *yaml.Node, at *place) {
			for _, e := range d.entries(n, at) {
				root := &place{Position: d.position(e.key), label: flagPath(e.name)}
				d.document.places[root.label] = root
				d.document.Flags = append(d.document.Flags, d.flag(e.name, e.value, root))
			}
		}},
		{"segments", "segments", func(n *yaml.Node, at *place) {
			for _, e := range d.entries(n, at) {
				root := &place{Position: d.position(e.key), label: segmentPath(e.name)}
				d.document.places[root.label] = root
				d.document.Segments = append(d.document.Segments, d.segment(e.name, e.value, root))
			}
		}},
		{"rollouts", "rollouts", func(_ *yaml.Node, at *place) {
			d.fail(at, "rollouts are started, not applied: move them to a file of their own, for 'tidegate rollout start -f FILE'")
		}},
	})
	d.requireVersion(n, at, present)
}

func (d *decoder) version(n *yaml.Node, at *place) {
	var v string
	d.text(&v)(n, at)
	if v != "" && v != apiVersion {
		d.fail(at, "unknown version %q: expected %s", v, apiVersion)
	}
}

func (d *decoder) requireVersion(n *yaml.Node, at *place, present map[string]bool) {
	if n.Kind == yaml.MappingNode && !present["apiVersion"] {
		d.fail(at, "apiVersion is missing: write 'apiVersion: %s'", apiVersion)
	}
}

// validate compiles what was read. What a flag's decoding already reported is not
// reported again.
func (d *decoder) validate() {
	for _, f := range d.document.Flags {
		_, err := eval.Compile(f, 0)
		d.definition(d.document.places[flagPath(f.GetKey())], err)
	}
	for _, s := range d.document.Segments {
		_, err := eval.CompileSegment(s, 0)
		d.definition(d.document.places[segmentPath(s.GetKey())], err)
	}
}

func (d *decoder) definition(root *place, err error) {
	if err == nil {
		return
	}
	fields, ok := err.(eval.Errors) //nolint:errorlint // Compile's promise
	if !ok {
		d.fail(root, "%s", err.Error())
		return
	}
	for _, f := range fields {
		at, rest := root.find(f.Field)
		if at.faultyWithin() || rest == "" && at.faultyBelow() || namesVariant(f.Field) && root.fields["variants"].faultyBelow() ||
			f.Field == "stages" && root.fields["strategy"].faultyBelow() {
			continue
		}
		d.errs = append(d.errs, Error{Position: at.Position, Field: at.path() + fileWords(rest), Problem: f.Problem})
	}
}

// namesVariant: the field of a flag names one of its variants.
func namesVariant(field string) bool {
	return field == "off_variant" || strings.HasSuffix(field, ".variant")
}

// fail reports a problem of what is at the place, once.
func (d *decoder) fail(at *place, format string, args ...any) {
	at.faulty = true
	d.errs = append(d.errs, Error{Position: at.Position, Field: at.path(), Problem: fmt.Sprintf(format, args...)})
}

func (d *decoder) position(n *yaml.Node) Position {
	return Position{File: d.file, Line: n.Line, Column: n.Column}
}

// valuePosition is where a value can be seen: that of its name where it is nothing, or
// is written below.
func (d *decoder) valuePosition(e entry) Position {
	block := e.value.Kind != yaml.ScalarNode && e.value.Style&yaml.FlowStyle == 0
	if block || isNull(e.value) {
		return d.position(e.key)
	}
	return d.position(e.value)
}

// entry is one 'name: value' of a mapping.
type entry struct {
	name       string
	key, value *yaml.Node
}

// entries are those of a mapping, without those that are wrong.
func (d *decoder) entries(n *yaml.Node, at *place) []entry {
	if !d.expect(n, at, yaml.MappingNode, "a mapping of 'name: value'") {
		return nil
	}
	entries := make([]entry, 0, len(n.Content)/2)
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		here := &place{Position: d.position(key), parent: at}
		if key.Kind == yaml.ScalarNode {
			here.label = at.entryLabel(key.Value)
		}
		switch {
		case key.Tag == "!!merge":
			d.fail(here, "merge keys are not supported: write the fields out")
			continue
		case key.Kind == yaml.AliasNode, key.Anchor != "", key.Style&yaml.TaggedStyle != 0:
			d.expect(key, here, yaml.ScalarNode, "")
			continue
		case key.Kind != yaml.ScalarNode, key.Value == "" && isNull(key):
			d.fail(here, "a name must be a text, is %s", describe(key))
			continue
		}
		if first := seen[key.Value]; first != nil {
			d.fail(here, "is given twice, first in line %d: keep one of the two", first.Line)
			continue
		}
		seen[key.Value] = key
		entries = append(entries, entry{name: key.Value, key: key, value: value})
	}
	return entries
}

// field reads one field of a message.
type field struct {
	name  string // in the file
	proto string // in the message
	read  func(n *yaml.Node, at *place)
}

// fields reads a mapping whose names are those of a message, and tells which of them
// are present.
func (d *decoder) fields(n *yaml.Node, at *place, fields []field) map[string]bool {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	present := make(map[string]bool, len(fields))
next:
	for _, e := range d.entries(n, at) {
		for _, f := range fields {
			if f.name == e.name {
				present[f.name] = true
				d.given(e, at, f)
				continue next
			}
		}
		d.unknown(e, at, names)
		// What was meant is not missing.
		if meant := suggest(e.name, names); meant != "" {
			present[meant] = true
			for _, f := range fields {
				if f.name == meant && at.fields[f.proto] == nil {
					at.field(f.proto, "."+f.name, d.position(e.key)).faulty = true
				}
			}
		}
	}
	return present
}

// given reads a field that is there; a name without a value is a slip, but for the null
// that an expression may be.
func (d *decoder) given(e entry, at *place, f field) {
	here := at.field(f.proto, "."+f.name, d.valuePosition(e))
	if isNull(e.value) && (f.proto != "expression" || e.value.Value == "") {
		d.fail(here, "has no value: give it one, or remove the line")
		return
	}
	f.read(e.value, here)
}

func (d *decoder) unknown(e entry, at *place, names []string) {
	here := &place{Position: d.position(e.key), parent: at, label: "." + e.name}
	d.fail(here, "unknown field: %s", didYouMean(e.name, names))
}

// expect reports whether the node is of the kind, and says what is wrong if not.
func (d *decoder) expect(n *yaml.Node, at *place, kind yaml.Kind, want string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.fail(at, "aliases (*%s) are not supported: write the value out, or make a segment of clauses that repeat", n.Value)
	case n.Anchor != "":
		d.fail(at, "anchors (&%s) are not supported: remove it", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		d.fail(at, "tags (%s) are not supported: remove it, and put texts in quotes", n.Tag)
	case n.Kind != kind:
		d.fail(at, "must be %s, is %s", want, describe(n))
	default:
		return true
	}
	return false
}

// text reads a name or a text, as written.
func (d *decoder) text(into *string) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		if d.expect(n, at, yaml.ScalarNode, "a text") {
			*into = n.Value
		}
	}
}

// texts reads a list of names or texts.
func (d *decoder) texts(into *[]string) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		if n.Kind == yaml.ScalarNode {
			d.fail(at, "must be a list: write [%s]", n.Value)
			return
		}
		d.list(n, at, func(n *yaml.Node, at *place) {
			var s string
			d.text(&s)(n, at)
			*into = append(*into, s)
		})
	}
}

// list reads each element of a list.
func (d *decoder) list(n *yaml.Node, at *place, read func(*yaml.Node, *place)) {
	if !d.expect(n, at, yaml.SequenceNode, "a list") {
		return
	}
	for _, element := range n.Content {
		here := at.index(d.position(element))
		if isNull(element) {
			d.fail(here, "is an empty element: give it a value, or remove it")
			continue
		}
		read(element, here)
	}
}

func (d *decoder) boolean(into *bool) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		if !d.expect(n, at, yaml.ScalarNode, "true or false") {
			return
		}
		if n.ShortTag() != "!!bool" {
			d.fail(at, "must be true or false, is %s", describe(n))
			return
		}
		*into = strings.EqualFold(n.Value, "true")
	}
}

// weight reads 0 to 2^31-1.
func (d *decoder) weight(into *uint32) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		const want = "a whole number from 0 to 2147483647"
		if !d.expect(n, at, yaml.ScalarNode, want) {
			return
		}
		v, err := strconv.ParseUint(n.Value, 10, 31)
		if err != nil || n.Style != 0 || !jsonNumber.MatchString(n.Value) {
			d.fail(at, "must be %s, is %s", want, describe(n))
			return
		}
		*into = uint32(v)
	}
}

func (d *decoder) bucketingVersion(into *flagv1.BucketingVersion) func(*yaml.Node, *place) {
	return func(n *yaml.Node, at *place) {
		const want = "2 or 3"
		if !d.expect(n, at, yaml.ScalarNode, want) {
			return
		}
		switch {
		case n.Style != 0: // in quotes
		case n.Value == "2":
			*into = flagv1.BucketingVersion_BUCKETING_VERSION_2
			return
		case n.Value == "3":
			*into = flagv1.BucketingVersion_BUCKETING_VERSION_3
			return
		}
		d.fail(at, "must be %s, is %s", want, describe(n))
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// describe names what is there, for 'must be X, is Y'.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	value := n.Value
	if utf8.RuneCountInString(value) > longestShown {
		value = string([]rune(value)[:longestShown]) + "..."
	}
	switch n.ShortTag() {
	case "!!bool":
		return value
	case "!!int", "!!float":
		return "the number " + value
	}
	return "the text " + strconv.Quote(value)
}

// longestShown is how much of a wrong value a message repeats, in characters.
const longestShown = 40
