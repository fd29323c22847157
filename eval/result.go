package eval

import (
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Reason is OpenFeature's reason for an answer.
type Reason string

// The reasons. ReasonStale is never given here: the relay, which knows the age of an
// environment, gives it.
const (
	ReasonStatic         Reason = "STATIC"
	ReasonDefault        Reason = "DEFAULT"
	ReasonTargetingMatch Reason = "TARGETING_MATCH"
	ReasonSplit          Reason = "SPLIT"
	ReasonDisabled       Reason = "DISABLED"
	ReasonStale          Reason = "STALE"
	ReasonError          Reason = "ERROR"
)

// ErrorCode is OpenFeature's error code.
type ErrorCode string

// The error codes. This package gives all but ProviderNotReady, which is for callers.
const (
	FlagNotFound        ErrorCode = "FLAG_NOT_FOUND"
	ParseError          ErrorCode = "PARSE_ERROR"
	TypeMismatch        ErrorCode = "TYPE_MISMATCH"
	TargetingKeyMissing ErrorCode = "TARGETING_KEY_MISSING"
	InvalidContext      ErrorCode = "INVALID_CONTEXT"
	ProviderNotReady    ErrorCode = "PROVIDER_NOT_READY"
	General             ErrorCode = "GENERAL"
)

// Result is an answer.
type Result struct {
	Flag    *Flag    // nil if not found
	Variant *Variant // nil: the caller's default stands
	Reason  Reason
	// Rule is the id of the rule that decided, if one did; also if its split then failed.
	Rule string
	// ErrorCode is empty unless Reason is ReasonError.
	ErrorCode ErrorCode

	// subject is what the reason or the error is about: the key asked for, the attribute
	// that a split lacks, the variant that has another type, the key of the prerequisite
	// that does not hold, why an expression failed, or its result, which names no variant.
	subject string
	wanted  flagv1.ValueType // with TypeMismatch
	// withoutRules: of the flag, only what is served is told.
	withoutRules bool

	// Of the split that assigned the variant; see Assignment.
	hash    uint32
	outcome OutcomeNumber
}

// WithoutRules is the result for a caller who may know what is served, and nothing else of the
// flag's definition: neither rule nor prerequisite, nor metadata, nor what they say in messages.
func (r Result) WithoutRules() Result {
	r.withoutRules, r.Rule = true, ""
	if r.ErrorCode != FlagNotFound && r.ErrorCode != TypeMismatch {
		r.subject = ""
	}
	return r
}

// Metadata returns the flag's metadata, or nil. It is shared and must not be modified.
func (r *Result) Metadata() *structpb.Struct {
	if r.Flag == nil || r.withoutRules {
		return nil
	}
	return r.Flag.metadata
}

// UnmetPrerequisite returns the key of the flag that had to serve another variant for
// the rules to be looked at; empty if no prerequisite decided.
func (r Result) UnmetPrerequisite() string {
	if r.ErrorCode != "" {
		return ""
	}
	return r.subject
}

// ErrorMessage says what was wrong and what would be right; empty without error. It is
// built on demand: it allocates.
func (r Result) ErrorMessage() string {
	key := r.Flag.keyForMessage()
	switch r.ErrorCode {
	case "":
		return ""
	case FlagNotFound:
		return fmt.Sprintf("flag %s does not exist in this environment; check the key and the environment", quote(r.subject))
	case TargetingKeyMissing:
		return fmt.Sprintf("flag %s%s splits by the targeting key, which the context lacks; set a targeting key", key, r.ruleForMessage())
	case InvalidContext:
		if r.withoutRules {
			return fmt.Sprintf("flag %s needs an attribute that the context lacks, or that is of another type", key)
		}
		if reserved(r.subject) {
			return fmt.Sprintf("flag %s%s splits by the attribute %s, which is not known here, or is no whole number", key, r.ruleForMessage(), quote(r.subject))
		}
		return fmt.Sprintf("flag %s%s splits by the attribute %s; the context must have it as a non-empty string or a whole number of at most 2^53-1 in size",
			key, r.ruleForMessage(), quote(r.subject))
	case TypeMismatch:
		return r.mismatchMessage(key)
	case ParseError:
		if r.subject == "" {
			return fmt.Sprintf("flag %s cannot be used as it is defined", key)
		}
		return fmt.Sprintf("flag %s%s: its expression failed for this context: %s", key, r.ruleForMessage(), r.subject)
	case General:
		if r.Rule != "" {
			return r.noVariantMessage(key)
		}
	case ProviderNotReady:
		return "there is no environment to evaluate in yet; wait until it is ready"
	}
	return fmt.Sprintf("flag %s could not be evaluated", key)
}

func (r Result) noVariantMessage(key string) string {
	is := "is no text, number or boolean that names"
	if r.subject != "" {
		is = fmt.Sprintf("is %s, which is not the name of", quote(r.subject))
	}
	return fmt.Sprintf("flag %s%s: the result of its expression %s a variant; it has %s", key, r.ruleForMessage(), is, listOf(r.Flag.variantNames()))
}

func (f *Flag) keyForMessage() string {
	if f == nil {
		return ""
	}
	return quote(f.Key())
}

func (r Result) ruleForMessage() string {
	if r.Rule == "" {
		return ""
	}
	return " (rule " + quote(r.Rule) + ")"
}

func (r Result) mismatchMessage(key string) string {
	is, wanted := typeName(r.Flag.Type()), typeName(r.wanted)
	switch {
	case !knownType(r.wanted):
		return fmt.Sprintf("flag %s is of type %s; %s is not a type", key, is, wanted)
	case r.subject != "":
		return fmt.Sprintf("flag %s serves the variant %s, which has no exact value of type %s; ask for %s", key, quote(r.subject), wanted, is)
	}
	return fmt.Sprintf("flag %s is of type %s, not %s; ask for %s", key, is, wanted, is)
}

// As returns the result for a caller that can use values of type t only: itself, the
// same with the number converted (INTEGER to DOUBLE and back where no digit is lost),
// or the error TYPE_MISMATCH. VALUE_TYPE_UNSPECIFIED accepts any. The type counts even
// where no value is served.
func (r Result) As(t flagv1.ValueType) Result {
	if t == flagv1.ValueType_VALUE_TYPE_UNSPECIFIED || r.Flag == nil || r.ErrorCode != "" {
		return r
	}
	is := r.Flag.Type()
	if r.Variant != nil {
		is = r.Variant.Value.Type
	}
	if is == t {
		return r
	}
	mismatch := Result{Flag: r.Flag, Reason: ReasonError, ErrorCode: TypeMismatch, wanted: t}
	if !numeric(t) || !numeric(is) {
		return mismatch
	}
	if r.Variant == nil {
		return r
	}
	if r.Variant.converted == nil {
		mismatch.subject = r.Variant.Name
		return mismatch
	}
	r.Variant = r.Variant.converted
	return r
}

func numeric(t flagv1.ValueType) bool {
	return t == flagv1.ValueType_VALUE_TYPE_INTEGER || t == flagv1.ValueType_VALUE_TYPE_DOUBLE
}
