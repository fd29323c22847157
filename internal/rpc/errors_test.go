package rpc

import (
	"errors"
	"fmt"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
)

// What a validator returns becomes INVALID_ARGUMENT, with the fields where it names them.
func TestInvalid(t *testing.T) {
	t.Parallel()
	fields := eval.Errors{{Field: "flag_key", Problem: "required"}, {Field: "max_age", Problem: "negative"}}
	detail := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "flag_key", Description: "required"}, {Field: "max_age", Description: "negative"},
	}}
	for _, c := range []struct {
		err     error
		code    codes.Code
		message string
		details []proto.Message
	}{
		{fields, codes.InvalidArgument, fields.Error(), []proto.Message{detail}},
		{fmt.Errorf("request 7: %w", fields), codes.InvalidArgument, fields.Error(), []proto.Message{detail}},
		{errors.New("no"), codes.InvalidArgument, "no", nil},
		{status.Error(codes.OutOfRange, "too far"), codes.OutOfRange, "too far", nil},
		{nil, codes.OK, "", nil},
	} {
		st := status.Convert(invalid(c.err))
		if st.Code() != c.code || st.Message() != c.message || len(st.Details()) != len(c.details) {
			t.Errorf("%v: got %v %v, want %v %q", c.err, st, st.Details(), c.code, c.message)
			continue
		}
		for i, d := range st.Details() {
			if !proto.Equal(d.(proto.Message), c.details[i]) {
				t.Errorf("%v: detail %v, want %v", c.err, d, c.details[i])
			}
		}
	}
}
