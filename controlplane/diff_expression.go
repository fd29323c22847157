package controlplane

import (
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// maxDescent is how deep into an expression differences are looked for, so that paths
// stay readable; what is deeper differs as a whole.
const maxDescent = 32

func isExpression(fd protoreflect.FieldDescriptor) bool {
	return fd.Name() == "expression" && fd.Message() != nil && fd.Message().FullName() == "google.protobuf.Value"
}

// expression compares two expressions by the smallest parts that differ: the path leads
// through operators and operands, as in 'rules[staff].expression.in[1]'. Where the
// operators, or how many operands there are, differ, that part differs as a whole.
func (d *differ) expression(path string, before, after *structpb.Value, depth int) {
	if proto.Equal(before, after) {
		return
	}
	if b, a := before.GetStructValue().GetFields(), after.GetStructValue().GetFields(); depth > 0 && sameNames(b, a) {
		for _, name := range slices.Sorted(maps.Keys(b)) {
			d.expression(path+"."+name, b[name], a[name], depth-1)
		}
		return
	}
	if b, a := before.GetListValue().GetValues(), after.GetListValue().GetValues(); depth > 0 && len(b) > 0 && len(b) == len(a) {
		for i := range b {
			d.expression(path+"["+strconv.Itoa(i)+"]", b[i], a[i], depth-1)
		}
		return
	}
	d.add(path, messageJSON(before.ProtoReflect()), messageJSON(after.ProtoReflect()))
}

// sameNames tells whether two objects have the same members, and any.
func sameNames(a, b map[string]*structpb.Value) bool {
	if len(a) == 0 || len(a) != len(b) {
		return false
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			return false
		}
	}
	return true
}

func valueOf(v protoreflect.Value) *structpb.Value {
	value, _ := v.Message().Interface().(*structpb.Value)
	return value
}
