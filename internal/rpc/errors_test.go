package rpc

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
)

// However much is wrong, the error fits in the trailers that any client takes.
func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	for _, problem := range []string{"no", strings.Repeat("é", 40), strings.Repeat("x", 10<<10)} {
		var fields eval.Errors
		for range 5000 {
			fields = append(fields, eval.FieldError{Field: "flags[a].rules[0].id", Problem: problem})
		}
		st := status.Convert(Status(codes.InvalidArgument, fields.Error(), BadRequest(fields)))
		if size := proto.Size(st.Proto()); size > 5<<10 || size < 2<<10 {
			t.Errorf("%.10s: %d bytes", problem, size)
		}
		violations := BadRequest(fields).GetFieldViolations()
		if last := violations[len(violations)-1].GetDescription(); !strings.HasPrefix(last, "and ") || len(violations) < 3 {
			t.Errorf("%.10s: %d violations, the last says %q", problem, len(violations), last)
		}
	}
	few := BadRequest(eval.Errors{{Field: "a", Problem: "b"}, {Field: "c", Problem: "d"}})
	if len(few.GetFieldViolations()) != 2 || few.GetFieldViolations()[1].GetDescription() != "d" {
		t.Errorf("got %v", few)
	}
}
