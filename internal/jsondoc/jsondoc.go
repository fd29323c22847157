// Package jsondoc reads JSON into something that package eval looks attributes up in,
// without building maps and slices of it: one pass over the text, which is the storage of
// the strings, and one flat list of nodes, which the next text uses again.
//
// It is strict: what is not JSON as RFC 8259 defines it, in UTF-8, is refused as a whole,
// and so are numbers that no double holds and values nested too deeply. Of members with
// the same name the last one counts. An escaped surrogate without its other half reads as
// U+FFFD, as encoding/json has it.
//
// The other way there is little to it: values are appended to bytes.
package jsondoc

import (
	"maps"
	"math"
	"slices"
	"unsafe"

	"github.com/tidegate/tidegate/eval"
)

// Kind is the type of a value.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Bool
	Number
	String
	List
	Object
)

// Document is one JSON text, for one goroutine. The zero Document is ready for Parse.
type Document struct {
	text  []byte
	nodes []Node
	// indexes are of the objects with many members that something was looked up in, by
	// their places.
	indexes map[uint32]map[string]uint32
	// places are those of the elements of the long lists that were not read in order.
	places map[uint32][]uint32
}

// Node is one value of a document. It implements [eval.Object], as an object, and
// [eval.List], as a list.
type Node struct {
	doc *Document
	// bits are, of a Number, IEEE 754; of a Bool, 0 or 1; of a List, where At went last.
	bits uint64
	// from and size are, of a String, its text; size of a List or Object is their length.
	from, size uint32
	// at is the node's place, next that of what follows all that is in it.
	at, next uint32
	kind     Kind
}

var (
	_ eval.Object = (*Node)(nil)
	_ eval.List   = (*Node)(nil)
)

// Root is the document's value.
func (d *Document) Root() *Node { return &d.nodes[0] }

// Reset lets go of the text. Nodes are kept for the next one.
func (d *Document) Reset() { d.text, d.nodes, d.indexes, d.places = nil, d.nodes[:0], nil, nil }

// Cap is for how many nodes there is room.
func (d *Document) Cap() int { return cap(d.nodes) }

// Kind returns the value's type.
func (n *Node) Kind() Kind { return n.kind }

// Text returns the text of a String; it lives in the document's, as long as that does.
func (n *Node) Text() string {
	if n.kind != String || n.size == 0 {
		return ""
	}
	return unsafe.String(&n.doc.text[n.from], int(n.size)) //nolint:gosec // the text is not modified after Parse
}

// Value returns the value as eval has it; null is absent.
func (n *Node) Value() eval.Value {
	switch n.kind {
	case Bool:
		return eval.BoolValue(n.bits != 0)
	case Number:
		return eval.NumberValue(math.Float64frombits(n.bits))
	case String:
		return eval.StringValue(n.Text())
	case List:
		return eval.ListValue(n)
	case Object:
		return eval.ObjectValue(n)
	}
	return eval.Value{}
}

// Attribute implements [eval.Attributes].
func (n *Node) Attribute(name string) eval.Value {
	if m := n.Member(name); m != nil {
		return m.Value()
	}
	return eval.Value{}
}

// Empty implements [eval.Object].
func (n *Node) Empty() bool { return n.size == 0 }

// Names implements [eval.Object].
func (n *Node) Names() []string { return slices.Collect(maps.Keys(n.index())) }

// indexFrom is how many members or elements an object or a list has that is worth an
// index.
const indexFrom = 24

// Member returns a member of an Object: the last one of that name, or nil.
func (n *Node) Member(name string) *Node {
	if n.kind != Object {
		return nil
	}
	if n.size >= indexFrom {
		if at, there := n.index()[name]; there {
			return &n.doc.nodes[at]
		}
		return nil
	}
	var found *Node
	nodes := n.doc.nodes
	for at := n.at + 1; at < n.next; {
		key := &nodes[at]
		value := &nodes[at+1]
		if int(key.size) == len(name) && key.Text() == name {
			found = value
		}
		at = value.next
	}
	return found
}

func (n *Node) index() map[string]uint32 {
	if index := n.doc.indexes[n.at]; index != nil {
		return index
	}
	index := make(map[string]uint32, n.size)
	for at := n.at + 1; at < n.next; at = n.doc.nodes[at+1].next {
		index[n.doc.nodes[at].Text()] = at + 1
	}
	if n.doc.indexes == nil {
		n.doc.indexes = map[uint32]map[string]uint32{}
	}
	n.doc.indexes[n.at] = index
	return index
}

// Len implements [eval.List].
func (n *Node) Len() int {
	if n.kind != List {
		return 0
	}
	return int(n.size)
}

// At implements [eval.List]. Each element takes about the same time, whatever they hold
// and in whatever order they are asked for; in order takes no memory.
func (n *Node) At(i int) eval.Value {
	if i < 0 || i >= n.Len() {
		return eval.Value{}
	}
	index, at := uint32(n.bits>>32), uint32(n.bits)
	if at == 0 || index > uint32(i) {
		index, at = 0, n.at+1
	}
	if uint32(i)-index >= indexFrom {
		index, at = uint32(i), n.elements()[i]
	}
	for ; index < uint32(i); index++ {
		at = n.doc.nodes[at].next
	}
	n.bits = uint64(index)<<32 | uint64(at)
	return n.doc.nodes[at].Value()
}

// elements are the places of a list's elements.
func (n *Node) elements() []uint32 {
	if places := n.doc.places[n.at]; places != nil {
		return places
	}
	places := make([]uint32, 0, n.size)
	for at := n.at + 1; at < n.next; at = n.doc.nodes[at].next {
		places = append(places, at)
	}
	if n.doc.places == nil {
		n.doc.places = map[uint32][]uint32{}
	}
	n.doc.places[n.at] = places
	return places
}
