package relay

import (
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tidegate/tidegate/eval"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// This file reads requests in the form in which everyone encodes them: fields of a map's
// entry in order and once, values of one kind, nothing that is not known. It refuses
// whatever is different, well-formed or not, and never reads anything in another way than
// the generated code, which reads the rest (FuzzEvaluateRequest). As there, parts of a
// message that comes in several are merged.

const (
	// maxDepth is how deep lists and objects may nest.
	maxDepth = 16
	// maxFields is how many attributes are searched one by one; more go into a map.
	maxFields = 64
)

// reader reads a message from its beginning.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) fail() { r.rest, r.failed = nil, true }

// more tells whether there is another field.
func (r *reader) more() bool { return len(r.rest) > 0 }

// tag reads a field's number and type, as they are on the wire.
func (r *reader) tag() uint64 { return r.varint() }

func (r *reader) varint() uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		v := uint64(r.rest[0])
		r.rest = r.rest[1:]
		return v
	}
	v, n := protowire.ConsumeVarint(r.rest)
	if n < 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) double() float64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.rest))
	r.rest = r.rest[8:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.varint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

// text is a string in the bytes that are read.
func (r *reader) text() string {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.fail()
		return ""
	}
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // a call's bytes do not change while it is in use
}

// message begins a message in the message.
func (r *reader) message() reader { return reader{rest: r.bytes(), failed: r.failed} }

// end is called when a message in r was read.
func (r *reader) end(inner *reader) {
	if inner.failed {
		r.fail()
	}
}

// Types of fields, as they stand behind the number in a tag.
const (
	varintField = uint64(protowire.VarintType)
	doubleField = uint64(protowire.Fixed64Type)
	bytesField  = uint64(protowire.BytesType)
)

func (c *call) readStream(r reader) bool {
	for r.more() {
		switch r.tag() {
		case 1<<3 | varintField:
			c.id = r.varint()
		case 2<<3 | bytesField:
			if !c.readEvaluate(r.message()) {
				return false
			}
		default:
			return false
		}
	}
	return !r.failed
}

func (c *call) readEvaluate(r reader) bool {
	for r.more() {
		switch r.tag() {
		case 1<<3 | bytesField:
			c.environment = r.text()
		case 2<<3 | bytesField:
			c.flagKey = r.text()
		case 3<<3 | bytesField:
			c.readContext(&r)
		case 4<<3 | varintField:
			c.expected = flagv1.ValueType(r.varint())
		case 5<<3 | varintField:
			c.minRevision = int64(r.varint())
		case 6<<3 | bytesField:
			c.readMaxAge(&r)
		case 7<<3 | varintField:
			c.policy = evaluationv1.StalePolicy(r.varint())
		default:
			return false
		}
	}
	return !r.failed
}

func (c *call) readEvaluateAll(r reader) bool {
	for r.more() {
		switch r.tag() {
		case 1<<3 | bytesField:
			c.environment = r.text()
		case 2<<3 | bytesField:
			c.readContext(&r)
		case 3<<3 | bytesField:
			c.keys = append(c.keys, r.text())
		case 4<<3 | bytesField:
			c.prefix = r.text()
		case 5<<3 | varintField:
			c.minRevision = int64(r.varint())
		case 6<<3 | bytesField:
			c.readMaxAge(&r)
		case 7<<3 | varintField:
			c.policy = evaluationv1.StalePolicy(r.varint())
		default:
			return false
		}
	}
	return !r.failed
}

func (c *call) readMaxAge(outer *reader) {
	r := outer.message()
	if c.maxAge == nil {
		c.maxAge, c.duration.Seconds, c.duration.Nanos = &c.duration, 0, 0
	}
	for r.more() {
		switch r.tag() {
		case 1<<3 | varintField:
			c.duration.Seconds = int64(r.varint())
		case 2<<3 | varintField:
			c.duration.Nanos = int32(r.varint())
		default:
			r.fail()
		}
	}
	outer.end(&r)
}

func (c *call) readContext(outer *reader) {
	r := outer.message()
	c.attributes = c
	for r.more() {
		switch r.tag() {
		case 1<<3 | bytesField:
			c.targetingKey = r.text()
		case 2<<3 | bytesField:
			inner := r.message()
			c.fields = inner.object(c.fields, maxDepth)
			r.end(&inner)
		default:
			r.fail()
		}
	}
	outer.end(&r)
}

// field is an attribute, or a member of an object.
type field struct {
	name  string
	value eval.Value
}

// fields are a google.protobuf.Struct. Of several of one name, the last counts.
type fields []field

// Attribute implements eval.Attributes.
func (o fields) Attribute(name string) eval.Value {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].name == name {
			return o[i].value
		}
	}
	return eval.Value{}
}

// has tells whether there is a field of that name.
func (o fields) has(name string) bool {
	return slices.ContainsFunc(o, func(f field) bool { return f.name == name })
}

// Empty implements eval.Object.
func (o fields) Empty() bool { return len(o) == 0 }

// Names implements eval.Object, for fields without duplicates.
func (o fields) Names() []string {
	names := make([]string, len(o))
	for i := range o {
		names[i] = o[i].name
	}
	return names
}

// object reads a google.protobuf.Struct, and adds what it has to o. Only attributes may
// have the same name twice.
func (r *reader) object(o fields, depth int) fields {
	for r.more() {
		if r.tag() != 1<<3|bytesField || len(o) == maxFields || depth == 0 {
			r.fail()
			return o
		}
		entry := r.message()
		var f field
		if entry.tag() != 1<<3|bytesField {
			entry.fail()
		}
		f.name = entry.text()
		if entry.tag() != 2<<3|bytesField {
			entry.fail()
		}
		value := entry.message()
		f.value = value.value(depth)
		if entry.end(&value); entry.more() || depth < maxDepth && o.has(f.name) {
			entry.fail()
		}
		r.end(&entry)
		o = append(o, f)
	}
	return o
}

// list is a google.protobuf.ListValue.
type list []eval.Value

// Len implements eval.List.
func (l list) Len() int { return len(l) }

// At implements eval.List.
func (l list) At(i int) eval.Value { return l[i] }

func (r *reader) list(depth int) list {
	var l list
	for r.more() {
		if r.tag() != 1<<3|bytesField || depth == 0 {
			r.fail()
			return nil
		}
		inner := r.message()
		l = append(l, inner.value(depth))
		r.end(&inner)
	}
	return l
}

// value reads a google.protobuf.Value of one kind, or none.
func (r *reader) value(depth int) (v eval.Value) {
	if !r.more() {
		return v
	}
	switch r.tag() {
	case 1<<3 | varintField:
		r.varint() // null
	case 2<<3 | doubleField:
		v = eval.NumberValue(r.double())
	case 3<<3 | bytesField:
		v = eval.StringValue(r.text())
	case 4<<3 | varintField:
		v = eval.BoolValue(r.varint() != 0)
	case 5<<3 | bytesField:
		inner := r.message()
		v = eval.ObjectValue(inner.object(nil, depth-1))
		r.end(&inner)
	case 6<<3 | bytesField:
		inner := r.message()
		v = eval.ListValue(inner.list(depth - 1))
		r.end(&inner)
	default:
		r.fail()
	}
	if r.more() {
		r.fail()
	}
	return v
}
