package server

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// knownFields refuses requests to the control services that hold what this server does
// not know: a newer caller's 'validate_only' must not become a write. Followers are not
// held to it: they may be newer than their server.
func knownFields(m proto.Message) eval.Errors {
	r := m.ProtoReflect()
	if r.Descriptor().ParentFile().Package() != controlv1.File_tidegate_control_v1_flag_service_proto.Package() {
		return nil
	}
	return unknownFields(nil, r, "")
}

// unknownFields adds the paths of the messages that hold unknown fields.
func unknownFields(found eval.Errors, m protoreflect.Message, path string) eval.Errors {
	if len(m.GetUnknown()) > 0 {
		field := path
		if field == "" {
			field = string(m.Descriptor().Name())
		}
		found = append(found, eval.FieldError{
			Field: field, Problem: "has fields that this server does not know: upgrade the server, or leave them out",
		})
	}
	fields := m.Descriptor().Fields() // in order: what is reported is the same each time
	for i := range fields.Len() {
		fd := fields.Get(i)
		if !m.Has(fd) {
			continue
		}
		v, at := m.Get(fd), string(fd.Name())
		if path != "" {
			at = path + "." + at
		}
		switch {
		case fd.Message() == nil || fd.Message().ParentFile().Package() == "google.protobuf":
		case fd.IsList():
			for j := range v.List().Len() {
				found = unknownFields(found, v.List().Get(j).Message(), fmt.Sprintf("%s[%d]", at, j))
			}
		default:
			found = unknownFields(found, v.Message(), at)
		}
	}
	return found
}
