package relay

import (
	"context"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/rpc"
)

// This file holds what the versions of flagd's evaluation protocol have in common: the
// meaning of an answer, in flagd's terms.

// targetingKeyAttribute is where flagd's contexts, and OFREP's, hold the targeting key.
const targetingKeyAttribute = "targetingKey"

// The statuses of flagd, with its texts.
var (
	errFlagNotFound = rpc.Answer(codes.NotFound, "Flag not found")
	errTypeMismatch = rpc.Answer(codes.InvalidArgument, "Type mismatch error")
	errParse        = rpc.Answer(codes.DataLoss, "Error parsing input or configuration")
	errGeneral      = rpc.Answer(codes.Unknown, "General error")
)

// resolution is flagd's answer for one flag. Without a variant the caller's default
// stands.
type resolution struct {
	variant *eval.Variant
	reason  eval.Reason
	// metadata is shared and must not be modified.
	metadata *structpb.Struct
}

// resolve answers one flag for a caller that can use values of type t only. All numbers
// are one type, as in JSON.
func (s *evaluationService) resolve(ctx context.Context, key string, subject *structpb.Struct, t flagv1.ValueType) (resolution, error) {
	env, err := s.called(ctx, "")
	if err != nil {
		return resolution{}, err
	}
	snap, err := env.snapshot()
	if err != nil {
		return resolution{}, err
	}
	who := credentialOf(ctx)
	right, err := who.right(env, snap, time.Now())
	if err != nil {
		return resolution{}, err
	}
	c := s.flagdContext(subject)
	r := right.Shown(key, snap.Eval().Evaluate(key, &c))
	if err := failureOf(r); err != nil {
		env.answers.add(string(eval.ReasonError))
		return resolution{}, err
	}
	if r.Variant != nil && !usableAs(r.Variant.Value.Type, t) {
		env.answers.add(string(eval.ReasonError))
		return resolution{}, errTypeMismatch
	}
	env.answers.add(string(r.Reason))
	env.exposed(&r, &c)
	return env.resolution(r), nil
}

// flagdContext makes the engine's context of flagd's. A targeting key that is no string
// is none.
func (s *evaluationService) flagdContext(subject *structpb.Struct) eval.Context {
	c := eval.Context{
		TargetingKey: subject.GetFields()[targetingKeyAttribute].GetStringValue(),
		Attributes:   eval.StructAttributes(subject),
	}
	s.here(&c, time.Now())
	return c
}

// failureOf is the status of an evaluation that failed. Two errors that flagd does not
// have are not UNKNOWN, as its providers would try those again until their deadlines.
func failureOf(r eval.Result) error {
	switch r.ErrorCode {
	case "":
		return nil
	case eval.FlagNotFound:
		return errFlagNotFound
	case eval.TypeMismatch:
		return errTypeMismatch
	case eval.ParseError:
		return errParse
	case eval.TargetingKeyMissing, eval.InvalidContext:
		return rpc.Answer(codes.FailedPrecondition, r.ErrorMessage())
	}
	return errGeneral
}

// resolution puts a result that is no error into flagd's terms.
func (e *environment) resolution(r eval.Result) resolution {
	return resolution{variant: r.Variant, reason: flagdReason(r.Reason), metadata: e.metadataOf(&r)}
}

// flagdReason maps a reason: flagd does not tell a split from any other match.
func flagdReason(r eval.Reason) eval.Reason {
	if r == eval.ReasonSplit {
		return eval.ReasonTargetingMatch
	}
	return r
}

// flagSetID is the member of a flag set's metadata that names it.
const flagSetID = "flagSetId"

// setMetadata is the metadata of an environment as a flag set.
func setMetadata(environment string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{flagSetID: structpb.NewStringValue(environment)}}
}

// metadataOf is the set's metadata, overlaid by what is told of the flag's.
func (e *environment) metadataOf(r *eval.Result) *structpb.Struct {
	own := r.Metadata().GetFields()
	if len(own) == 0 {
		return e.metadata
	}
	if _, there := own[flagSetID]; there {
		return r.Metadata()
	}
	all := make(map[string]*structpb.Value, len(own)+1)
	for k, v := range e.metadata.GetFields() {
		all[k] = v
	}
	for k, v := range own {
		all[k] = v
	}
	return &structpb.Struct{Fields: all}
}

// usableAs tells whether a value of type is serves a caller that asks for want.
func usableAs(is, want flagv1.ValueType) bool { return is == want || isNumber(is) && isNumber(want) }

func isNumber(t flagv1.ValueType) bool {
	return t == flagv1.ValueType_VALUE_TYPE_INTEGER || t == flagv1.ValueType_VALUE_TYPE_DOUBLE
}

// known requires a variant, for protocols that cannot say "use your default" but of a
// disabled flag.
func (r *resolution) known(err error) error {
	if err == nil && r.variant == nil && r.reason != eval.ReasonDisabled {
		return errFlagNotFound
	}
	return err
}

// name is the variant's, or empty.
func (r *resolution) name() string {
	if r.variant == nil {
		return ""
	}
	return r.variant.Name
}

// value returns what the variant holds; the zero value, of no type, without a variant.
func (r *resolution) value() eval.VariantValue {
	if r.variant == nil {
		return eval.VariantValue{}
	}
	return r.variant.Value
}

// double returns a number.
func double(v eval.VariantValue) float64 {
	if v.Type == flagv1.ValueType_VALUE_TYPE_INTEGER {
		return float64(v.Int)
	}
	return v.Double
}

// integer returns a number without its fraction, as flagd does. What no int64 holds is
// the nearest that one does.
func integer(v eval.VariantValue) int64 {
	switch {
	case v.Type == flagv1.ValueType_VALUE_TYPE_INTEGER:
		return v.Int
	case v.Double >= math.MaxInt64:
		return math.MaxInt64
	case v.Double <= math.MinInt64:
		return math.MinInt64
	}
	return int64(v.Double)
}
