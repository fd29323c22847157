package manifest

import (
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

// A flagd definition becomes flags like this:
//
//	state            enabled
//	variants         variants; numbers are integers if all of them are whole
//	defaultVariant   default outcome
//	targeting        a rule called targeting, whose outcome is the expression
//	$evaluators      written out where "$ref" names them
//	metadata         metadata, that of the set below that of the flag; the bucketing
//	                 version, where bucketingVersion says 2 or 3
//
// As in flagd, fields that are not known are ignored, unless they look like a slip.

// isFlagd tells whether a document is a flagd definition rather than one of ours: JSON
// without flags is.
func isFlagd(n *yaml.Node, json bool) bool {
	if n.Kind != yaml.MappingNode {
		return false
	}
	if member(n, "apiVersion") != nil || member(n, "segments") != nil {
		return false
	}
	if member(n, "$schema") != nil || member(n, "$evaluators") != nil {
		return true
	}
	flags := member(n, "flags")
	switch {
	case flags == nil:
		return false
	case flags.Kind == yaml.SequenceNode || flags.Kind == yaml.MappingNode && len(flags.Content) == 0 && json:
		return true
	}
	for i := 1; i < len(flags.Content); i += 2 {
		for _, name := range []string{"state", "defaultVariant", "targeting"} {
			if member(flags.Content[i], name) != nil {
				return true
			}
		}
	}
	return false
}

// member is the value of a mapping's member, or nil.
func member(n *yaml.Node, name string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name && n.Content[i].Kind == yaml.ScalarNode {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// flagdSet is what the flags of one definition share.
type flagdSet struct {
	metadata      *structpb.Struct
	metadataPlace *place
	// first are the flags read so far, by their keys: the flag set and the node.
	first map[string]flagdFlag
}

type flagdFlag struct {
	set  string
	line int
}

// flagdRoot reads a flagd definition.
func (d *decoder) flagdRoot(n *yaml.Node) {
	at := &place{Position: d.position(n)}
	set := flagdSet{first: map[string]flagdFlag{}, metadataPlace: &place{}}
	var flags *entry
	for _, e := range d.entries(n, at) {
		switch e.name {
		case "flags":
			flags = &e
		case "$evaluators":
			d.evaluators = d.readEvaluators(e, at)
		case "metadata":
			set.metadataPlace = at.field("metadata", ".metadata", d.valuePosition(e))
			set.metadata = d.flagdMetadata(e.value, set.metadataPlace)
		case "$schema":
		default:
			d.slip(e, at, "flags", "$evaluators", "metadata", "$schema")
		}
	}
	if flags == nil {
		d.fail(at, "flags is missing: an object of flags by their keys, or a list of flags")
		return
	}
	here := at.field("flags", ".flags", d.valuePosition(*flags))
	if flags.value.Kind == yaml.SequenceNode {
		for _, element := range flags.value.Content {
			d.listedFlag(element, here.index(d.position(element)), &set)
		}
		return
	}
	for _, e := range d.entries(flags.value, here) {
		root := &place{Position: d.position(e.key), label: flagPath(e.name)}
		d.addFlagd(d.flagdFlag(e.name, e.value, root, &set), root, e.key.Line, &set)
	}
}

// listedFlag reads a flag of the list form, which holds its key.
func (d *decoder) listedFlag(n *yaml.Node, at *place, set *flagdSet) {
	if !d.expect(n, at, yaml.MappingNode, "a flag: an object with its key, state and variants") {
		return
	}
	node := member(n, "key")
	if node == nil || node.Kind != yaml.ScalarNode || isNull(node) {
		d.fail(at, "key is missing: the flag's key, as a text")
		return
	}
	root := &place{Position: d.position(node), label: flagPath(node.Value)}
	d.addFlagd(d.flagdFlag(node.Value, n, root, set), root, node.Line, set)
}

// addFlagd adds a flag, unless there is one with its key. (That two flag sets may have
// flags of the same key is what environments are for here.)
func (d *decoder) addFlagd(f *flagv1.Flag, root *place, line int, set *flagdSet) {
	id := f.GetMetadata().GetFields()["flagSetId"].GetStringValue()
	first, taken := set.first[f.GetKey()]
	switch {
	case taken && first.set == id:
		d.fail(root, "is given twice, first in line %d: keep one of the two", first.line)
		return
	case taken:
		d.fail(root, "is in two flag sets, %q and (first, in line %d) %q: keep each set in a file of its own, and apply each to an environment of its own",
			id, first.line, first.set)
		return
	}
	set.first[f.GetKey()] = flagdFlag{id, line}
	d.document.places[root.label] = root
	d.document.Flags = append(d.document.Flags, f)
}

// flagdFlag reads one flag.
func (d *decoder) flagdFlag(key string, n *yaml.Node, at *place, set *flagdSet) *flagv1.Flag {
	f := &flagv1.Flag{Key: key, BucketingVersion: bucketing.Default}
	at.field("key", "", at.Position)
	var own *structpb.Struct
	present := map[string]bool{}
	for _, e := range d.entries(n, at) {
		present[e.name] = true
		read, known := map[string]func(entry, *place, *flagv1.Flag){
			"state": d.state, "variants": d.flagdVariants, "defaultVariant": d.defaultVariant, "targeting": d.targeting,
		}[e.name]
		switch {
		case known:
			read(e, at, f)
		case e.name == "metadata":
			own = d.flagdMetadata(e.value, at.field("metadata", ".metadata", d.valuePosition(e)))
		case e.name != "key":
			d.slip(e, at, "state", "variants", "defaultVariant", "targeting", "metadata")
		}
	}
	d.mergeMetadata(f, own, at, set)
	if at.faulty { // not an object
		return f
	}
	if !present["state"] {
		d.fail(at.field("enabled", ".state", at.Position), "is missing: ENABLED or DISABLED")
	}
	if !present["variants"] {
		d.fail(at.field("variants", ".variants", at.Position), `is missing: at least one, as in {"on": true, "off": false}`)
		f.Type = flagv1.ValueType_VALUE_TYPE_BOOLEAN // any will do
	}
	return f
}

// slip reports a field that is not known and that looks like one that is.
func (d *decoder) slip(e entry, at *place, names ...string) {
	if suggest(e.name, names) != "" {
		d.unknown(e, at, names)
	}
}
