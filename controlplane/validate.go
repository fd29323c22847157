package controlplane

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

const (
	maxReason = 1000 // characters
	maxEcho   = 200  // bytes of a name that is wrong, in the error

	environmentRule = "must be 1 to 63 characters: lower-case letters, digits and '-', starting with a letter"
	keyRule         = "must be 1 to 128 characters: letters, digits, '.', '_' and '-', starting with a letter or a digit"
	requestIDRule   = "must be at most 64 characters: letters, digits and any of '._:@+=~-'"
)

// checker collects what is wrong with a request.
type checker struct{ fields eval.Errors }

func (c *checker) add(field, format string, args ...any) {
	c.fields = append(c.fields, eval.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

func (c *checker) err() error {
	if len(c.fields) == 0 {
		return nil
	}
	return &InvalidError{Fields: c.fields}
}

func (c *checker) environment(field, value string) {
	switch {
	case value == "":
		c.add(field, "is required")
	case !environmentPattern.MatchString(value):
		c.add(field, "%s; got %q", environmentRule, truncate(value, maxEcho))
	}
}

func (c *checker) key(field, value string) {
	switch {
	case value == "":
		c.add(field, "is required")
	case !keyPattern.MatchString(value):
		c.add(field, "%s; got %q", keyRule, truncate(value, maxEcho))
	}
}

// write checks what every write carries.
func (c *checker) write(r writeRequest) {
	reason, requestID := r.GetReason(), r.GetRequestId()
	switch n := utf8.RuneCountInString(reason); {
	case strings.TrimSpace(reason) == "":
		c.add("reason", "is required: say why, for the audit trail")
	case n > maxReason:
		c.add("reason", "must be at most %d characters, not %d", maxReason, n)
	}
	if requestID != "" && !requestIDPattern.MatchString(requestID) {
		c.add("request_id", "%s; got %q", requestIDRule, truncate(requestID, maxEcho))
	}
}

// base checks a base_revision that must name an existing version.
func (c *checker) base(revision int64) {
	if revision <= 0 {
		c.add("base_revision", "must be the revision of the version that the change is based on")
	}
}

// revision checks a revision that may be 0.
func (c *checker) revision(field string, revision int64) {
	if revision < 0 {
		c.add(field, "must not be negative")
	}
}

// definition checks a request's flag or segment by itself. It returns nil if there is
// something wrong.
func (c *checker) definition(field string, d definition) *compiled {
	if !d.ProtoReflect().IsValid() {
		c.add(field, "is required")
		return nil
	}
	known, err := compile(field, d)
	var problems *InvalidError
	switch {
	case errors.As(err, &problems):
		c.fields = append(c.fields, problems.Fields...)
		return nil
	case !keyPattern.MatchString(d.GetKey()):
		c.key(field+".key", d.GetKey())
		return nil
	}
	return &known
}

// compile checks a flag or segment by itself. prefix is its path in the request.
func compile(prefix string, m proto.Message) (compiled, error) {
	var (
		c   compiled
		err error
	)
	switch m := m.(type) {
	case *flagv1.Flag:
		c.flag, err = eval.Compile(bucketing.Pin(m), 0) // as it is stored
	case *flagv1.Segment:
		c.segment, err = eval.CompileSegment(m, 0)
	}
	var problems eval.Errors
	if err != nil && !errors.As(err, &problems) {
		problems = eval.Errors{{Problem: err.Error()}}
	}
	if f, ok := m.(*flagv1.Flag); ok {
		problems = append(problems, checkPurpose(f)...)
	}
	if len(problems) == 0 {
		return c, nil
	}
	fields := make(eval.Errors, 0, len(problems))
	for _, p := range problems {
		fields = append(fields, eval.FieldError{Field: strings.TrimSuffix(prefix+"."+p.Field, "."), Problem: p.Problem})
	}
	return compiled{}, &InvalidError{Fields: fields}
}

// compiled is a flag or a segment that passed compile.
type compiled struct {
	flag    *eval.Flag
	segment *eval.Segment
}

// maxLifetime is the longest that a flag can be expected to be there.
const maxLifetime = 100 * 365 * day

// checkPurpose checks what a flag says of its purpose, which evaluation does not look at.
func checkPurpose(f *flagv1.Flag) eval.Errors {
	var problems eval.Errors
	if _, known := flagv1.FlagKind_name[int32(f.GetKind())]; !known {
		problems = append(problems, eval.FieldError{Field: "kind", Problem: fmt.Sprintf("%d is not a kind of flags that this server knows", f.GetKind())})
	}
	if d := f.GetExpectedLifetime(); d != nil && (!d.IsValid() || d.AsDuration() <= 0 || d.AsDuration() > maxLifetime) {
		problems = append(problems, eval.FieldError{Field: "expected_lifetime", Problem: "must be more than 0, and at most 100 years of 365 days"})
	}
	return problems
}
