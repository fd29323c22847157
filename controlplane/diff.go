package controlplane

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Bounds of a list of changes, so that an audit entry is not much larger than the
// resource in it. What is cut off can be had by comparing the resources of two entries.
const (
	maxChanges     = 200
	maxChangeText  = 4 << 10  // of one value; a longer one is named by size and hash
	maxChangesText = 64 << 10 // of all values
	// In a Conflict, which travels as an error, whose room is small.
	maxConflictText   = 1 << 10
	maxConflictReason = 256
)

// fieldChanges returns what differs between two versions of a flag or segment (nil: not
// there), in the order of the fields.
//
// Paths are as people think of them: elements of lists that have a name are matched by
// it, 'rules[staff].outcome.variant', not by their place. Such a list as a whole is
// reported too, as the names in order, where its order is not what removing and
// appending alone lead to. Lists that are sets ('included') change by the element,
// expressions by the operand.
// Values are JSON; bools and numbers always have one.
func fieldChanges(before, after proto.Message) []*controlv1.FieldChange {
	d := differ{made: before == nil, deleted: after == nil}
	switch {
	case d.made && d.deleted:
		return nil
	case d.made:
		before = keyed(after)
	case d.deleted:
		after = keyed(before)
	}
	d.message("", before.ProtoReflect(), after.ProtoReflect())
	return bounded(d.changes, maxChangesText)
}

// keyed returns an empty message of m's type and key: what to compare m with that is
// made or deleted, as the key is no change.
func keyed(m proto.Message) proto.Message {
	from := m.ProtoReflect()
	empty := from.New()
	for _, name := range []protoreflect.Name{"key", "id"} {
		if key := from.Descriptor().Fields().ByName(name); key != nil {
			empty.Set(key, from.Get(key))
		}
	}
	return empty.Interface()
}

type differ struct {
	made, deleted bool // there is nothing before, or after
	changes       []*controlv1.FieldChange
}

func (d *differ) add(path, before, after string) {
	d.changes = append(d.changes, &controlv1.FieldChange{Path: path, Before: shorten(before), After: shorten(after)})
}

func (d *differ) message(path string, before, after protoreflect.Message) {
	fields := before.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		// Whether it is on is told of every flag that is made or deleted.
		told := (d.made || d.deleted) && path == "" && fd.Name() == "enabled"
		if !before.Has(fd) && !after.Has(fd) && !told {
			continue
		}
		at := string(fd.Name())
		if path != "" {
			at = path + "." + at
		}
		b, a := before.Get(fd), after.Get(fd)
		switch {
		case b.Equal(a) && before.Has(fd) == after.Has(fd) && !told:
		case fd.IsList() && listName(fd) != nil:
			d.named(at, listName(fd), b.List(), a.List())
		case fd.IsList() && isSet(fd):
			d.set(at, fd, b.List(), a.List())
		case fd.IsList() && fd.Message() != nil && !wellKnown(fd.Message()):
			d.ordered(at, b.List(), a.List())
		case fd.IsList():
			d.field(at, fd, before, after)
		case isStruct(fd) && d.structs(at, b.Message(), a.Message()):
		case isExpression(fd) && before.Has(fd) && after.Has(fd):
			d.expression(at, valueOf(b), valueOf(a), maxDescent)
		case fd.Message() != nil && !wellKnown(fd.Message()) && before.Has(fd) && after.Has(fd):
			d.message(at, b.Message(), a.Message())
		default:
			d.field(at, fd, before, after)
		}
	}
}

// field reports a field as a whole.
func (d *differ) field(path string, fd protoreflect.FieldDescriptor, before, after protoreflect.Message) {
	b, a := fieldJSON(before, fd), fieldJSON(after, fd)
	switch {
	case d.made && !before.Has(fd):
		b = ""
	case d.deleted && !after.Has(fd):
		a = ""
	}
	d.add(path, b, a)
}

// named compares lists whose elements have unique names.
func (d *differ) named(path string, name protoreflect.FieldDescriptor, before, after protoreflect.List) {
	b, bOK := byName(name, before)
	a, aOK := byName(name, after)
	if !bOK || !aOK {
		d.ordered(path, before, after)
		return
	}
	for _, n := range b.names {
		at := path + "[" + n + "]"
		if other, ok := a.elements[n]; ok {
			d.message(at, b.elements[n], other)
		} else {
			d.add(at, messageJSON(b.elements[n]), "")
		}
	}
	// What removing and appending alone would lead to.
	var expected []string
	for _, n := range b.names {
		if a.elements[n] != nil {
			expected = append(expected, n)
		}
	}
	for _, n := range a.names {
		if b.elements[n] == nil {
			d.add(path+"["+n+"]", "", messageJSON(a.elements[n]))
			expected = append(expected, n)
		}
	}
	if !slices.Equal(expected, a.names) {
		d.add(path, namesJSON(b.names), namesJSON(a.names))
	}
}

// ordered compares lists place by place.
func (d *differ) ordered(path string, before, after protoreflect.List) {
	for i := range max(before.Len(), after.Len()) {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case i >= before.Len():
			d.add(at, "", messageJSON(after.Get(i).Message()))
		case i >= after.Len():
			d.add(at, messageJSON(before.Get(i).Message()), "")
		default:
			d.message(at, before.Get(i).Message(), after.Get(i).Message())
		}
	}
}

// set compares lists of strings whose order means nothing.
func (d *differ) set(path string, fd protoreflect.FieldDescriptor, before, after protoreflect.List) {
	b, a := elements(before), elements(after)
	known := len(d.changes)
	for i := range before.Len() {
		if v := before.Get(i).String(); !a[v] {
			d.add(path+"["+v+"]", scalarJSON(fd, before.Get(i)), "")
			a[v] = true
		}
	}
	for i := range after.Len() {
		if v := after.Get(i).String(); !b[v] {
			d.add(path+"["+v+"]", "", scalarJSON(fd, after.Get(i)))
			b[v] = true
		}
	}
	if len(d.changes) == known { // another order, or an element named twice
		d.add(path, listJSON(fd, before), listJSON(fd, after))
	}
}

// structs compares google.protobuf.Structs by their top-level fields; false if they have
// the same.
func (d *differ) structs(path string, before, after protoreflect.Message) bool {
	known := len(d.changes)
	fd := before.Descriptor().Fields().ByName("fields")
	b, a := before.Get(fd).Map(), after.Get(fd).Map()
	var names []string
	for _, m := range []protoreflect.Map{b, a} {
		m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
			names = append(names, k.String())
			return true
		})
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		key := protoreflect.ValueOfString(name).MapKey()
		var texts [2]string
		for i, m := range []protoreflect.Map{b, a} {
			if m.Has(key) {
				texts[i] = messageJSON(m.Get(key).Message())
			}
		}
		if texts[0] != texts[1] {
			d.add(path+"["+name+"]", texts[0], texts[1])
		}
	}
	return len(d.changes) > known
}

// bounded returns the changes within the bounds; what is left out is counted in a last
// entry.
func bounded(changes []*controlv1.FieldChange, maxText int) []*controlv1.FieldChange {
	size := 0
	for i, c := range changes {
		size += len(c.GetPath()) + len(c.GetBefore()) + len(c.GetAfter())
		if i < maxChanges && size <= maxText {
			continue
		}
		rest := &controlv1.FieldChange{Path: fmt.Sprintf("(%d more)", len(changes)-i)}
		return append(changes[:i:i], rest)
	}
	return changes
}

// listName returns the field by which elements of the list are told apart, or nil.
func listName(list protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if list.Message() == nil {
		return nil
	}
	for _, name := range []protoreflect.Name{"key", "id", "name", "flag_key", "variant"} {
		fd := list.Message().Fields().ByName(name)
		if fd != nil && fd.Kind() == protoreflect.StringKind && !fd.IsList() && fd.ContainingOneof() == nil {
			return fd
		}
	}
	return nil
}

type namedElements struct {
	names    []string
	elements map[string]protoreflect.Message
}

// byName indexes a list; false if a name is empty or not unique.
func byName(name protoreflect.FieldDescriptor, list protoreflect.List) (namedElements, bool) {
	n := namedElements{elements: make(map[string]protoreflect.Message, list.Len())}
	for i := range list.Len() {
		m := list.Get(i).Message()
		s := m.Get(name).String()
		if s == "" || n.elements[s] != nil {
			return n, false
		}
		n.names = append(n.names, s)
		n.elements[s] = m
	}
	return n, true
}

// isSet tells the lists whose order means nothing.
func isSet(fd protoreflect.FieldDescriptor) bool {
	switch fd.FullName() {
	case "tidegate.flag.v1.Segment.included", "tidegate.flag.v1.Segment.excluded", "tidegate.flag.v1.Flag.tags":
		return true
	}
	return false
}

func elements(list protoreflect.List) map[string]bool {
	set := make(map[string]bool, list.Len())
	for i := range list.Len() {
		set[list.Get(i).String()] = true
	}
	return set
}

// wellKnown tells messages that are values of their own, such as google.protobuf.Value.
func wellKnown(md protoreflect.MessageDescriptor) bool {
	return md.ParentFile().Package() == "google.protobuf"
}

func isStruct(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !fd.IsList() && fd.Message().FullName() == "google.protobuf.Struct"
}

// fieldJSON returns a field's value; empty if it is not there. A field without presence
// is there unless it is an empty string or an unspecified enum.
func fieldJSON(m protoreflect.Message, fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsList():
		if m.Get(fd).List().Len() == 0 {
			return ""
		}
		return listJSON(fd, m.Get(fd).List())
	case m.Has(fd):
	case fd.HasPresence(), fd.Kind() == protoreflect.StringKind, fd.Kind() == protoreflect.EnumKind:
		return ""
	}
	return scalarJSON(fd, m.Get(fd))
}

func listJSON(fd protoreflect.FieldDescriptor, list protoreflect.List) string {
	texts := make([]string, 0, list.Len())
	for i := range list.Len() {
		texts = append(texts, scalarJSON(fd, list.Get(i)))
	}
	return "[" + strings.Join(texts, ",") + "]"
}

// scalarJSON returns one value of the field's type.
func scalarJSON(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return messageJSON(v.Message())
	case protoreflect.EnumKind:
		if value := fd.Enum().Values().ByNumber(v.Enum()); value != nil {
			return plainJSON(string(value.Name()))
		}
		return plainJSON(v.Enum())
	default:
		return plainJSON(v.Interface())
	}
}

func messageJSON(m protoreflect.Message) string {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m.Interface())
	if err != nil { // such as a Value without a kind
		return plainJSON("not representable: " + err.Error())
	}
	var compact bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Compact(&compact, text); err != nil {
		return plainJSON("not representable: " + err.Error())
	}
	return compact.String()
}

func namesJSON(names []string) string { return plainJSON(names) }

func plainJSON(v any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return `"not representable"`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// shorten replaces a long value by a JSON string that identifies it.
func shorten(text string) string {
	if len(text) <= maxChangeText {
		return text
	}
	return plainJSON(fmt.Sprintf("(%d bytes of JSON, SHA-256 %x)", len(text), sha256.Sum256([]byte(text))))
}
