package eval

import (
	"fmt"
	"strconv"
)

// Path is a compiled path to an attribute, for who reads contexts beside evaluation.
type Path struct{ attribute *attribute }

// NewPath compiles a path as Clause.attribute has it; '$flagd.flagKey' is the given key.
func NewPath(full, flagKey string) (Path, error) {
	c := &compiler{attributes: map[string]*attribute{}, flagKey: flagKey}
	a := c.attribute(root, full)
	if err := c.err(); err != nil {
		return Path{}, fmt.Errorf("the attribute %w", err)
	}
	return Path{a}, nil
}

// AppendText appends the attribute as text: a string, a whole number in decimal form, 'true'
// or 'false'; as much of it as b has room for. ok is false, and nothing appended, where it is
// absent or something else. It does not allocate.
func (p Path) AppendText(b []byte, ctx *Context) (text []byte, ok bool) {
	var digits [20]byte
	written := digits[:0]
	switch v := p.attribute.value(ctx); v.kind {
	case kindString:
		s := v.text()
		return append(b, s[:min(len(s), cap(b)-len(b))]...), true
	case kindBool:
		written = strconv.AppendBool(written, v.bits != 0)
	case kindNumber:
		n, whole := v.whole()
		if !whole {
			return b, false
		}
		written = strconv.AppendInt(written, n, 10)
	default:
		return b, false
	}
	return append(b, written[:min(len(written), cap(b)-len(b))]...), true
}
