package clientsdk

import (
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
)

// Reason is OpenFeature's reason for an answer.
type Reason = eval.Reason

// The reasons that a client gives.
const (
	// ReasonStatic: the flag has neither rules nor prerequisites.
	ReasonStatic = eval.ReasonStatic
	// ReasonDefault: no rule matched, or a prerequisite was not met.
	ReasonDefault = eval.ReasonDefault
	// ReasonTargetingMatch: the rule named in Rule matched.
	ReasonTargetingMatch = eval.ReasonTargetingMatch
	// ReasonSplit: a weighted split chose.
	ReasonSplit = eval.ReasonSplit
	// ReasonDisabled: the flag is switched off.
	ReasonDisabled = eval.ReasonDisabled
	// ReasonStale: the answer may be outdated: its snapshot was not confirmed for longer
	// than WithStaleAfter allows. Takes the place of the reasons above.
	ReasonStale = eval.ReasonStale
	// ReasonError: the default was served; ErrorCode says why.
	ReasonError = eval.ReasonError
)

// ErrorCode is OpenFeature's error code.
type ErrorCode = eval.ErrorCode

// The error codes that a client gives.
const (
	ErrorFlagNotFound        = eval.FlagNotFound
	ErrorParse               = eval.ParseError
	ErrorTypeMismatch        = eval.TypeMismatch
	ErrorTargetingKeyMissing = eval.TargetingKeyMissing
	ErrorInvalidContext      = eval.InvalidContext
	ErrorProviderNotReady    = eval.ProviderNotReady
	ErrorGeneral             = eval.General
)

// Details is an answer and how it came about.
type Details[T any] struct {
	// Value to use: the flag's, or the default.
	Value T
	Resolution
}

// Resolution tells how an answer came about.
type Resolution struct {
	FlagKey string
	// Variant that was served; empty: the default.
	Variant string
	Reason  Reason
	// Rule is the id of the rule that decided; empty if none did.
	Rule string
	// UnmetPrerequisite is the key of the prerequisite that was not met, so that the off
	// variant was served.
	UnmetPrerequisite string
	// FlagRevision at which the flag was last written.
	FlagRevision int64
	// EnvironmentRevision of the snapshot that answered.
	EnvironmentRevision int64
	// Age tells how long ago that snapshot was last confirmed to be current.
	Age time.Duration
	// ErrorCode is empty unless Reason is ERROR.
	ErrorCode ErrorCode
	// ErrorMessage says what was wrong and what would be right.
	ErrorMessage string

	metadata *structpb.Struct
}

// FlagMetadata returns the flag's metadata (strings, float64 and booleans), as a copy;
// nil if it has none.
func (r Resolution) FlagMetadata() map[string]any {
	if len(r.metadata.GetFields()) == 0 {
		return nil
	}
	return r.metadata.AsMap()
}

// Err returns an [*EvaluationError] if the default was served because of an error,
// else nil. A disabled flag is no error.
func (r Resolution) Err() error {
	if r.ErrorCode == "" {
		return nil
	}
	return &EvaluationError{FlagKey: r.FlagKey, Code: r.ErrorCode, Message: r.ErrorMessage}
}

// EvaluationError says why a default was served.
type EvaluationError struct {
	FlagKey string
	Code    ErrorCode
	Message string
}

func (e *EvaluationError) Error() string {
	return "flag " + e.FlagKey + ": " + string(e.Code) + ": " + e.Message
}

// failed is the resolution of a flag that could not be answered.
func failed(key string, code ErrorCode, message string) Resolution {
	return Resolution{FlagKey: key, Reason: ReasonError, ErrorCode: code, ErrorMessage: message}
}
