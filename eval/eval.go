// Package eval is the pure evaluation engine: flags and segments are compiled once,
// when they arrive, and evaluated without I/O, clock, lock, log or allocation.
//
// An [Environment] is an immutable set of compiled flags and segments; a change makes
// a new one that shares what did not change. It may be used by any number of
// goroutines.
package eval

import (
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// Compile validates a flag by itself and brings it into executable form. The error, if
// any, is an [Errors] that names every wrong field. What concerns other flags and
// segments is checked by [Environment.Check].
//
// revision is the revision at which the flag was written; it is returned with results.
func Compile(f *flagv1.Flag, revision int64) (*Flag, error) { panic("stub") }

// CompileSegment is Compile for a segment.
func CompileSegment(s *flagv1.Segment, revision int64) (*Segment, error) { panic("stub") }

// Flag is a compiled flag.
type Flag struct{ definition *flagv1.Flag }

func (f *Flag) Key() string                  { panic("stub") }
func (f *Flag) Revision() int64              { panic("stub") }
func (f *Flag) Type() flagv1.ValueType       { panic("stub") }
func (f *Flag) Definition() *flagv1.Flag     { panic("stub") } // shared: must not be modified
func (f *Flag) Variant(name string) *Variant { panic("stub") }

// Segment is a compiled segment.
type Segment struct{}

func (s *Segment) Key() string { panic("stub") }

// Variant is a named value of a compiled flag.
type Variant struct {
	Name string
	// Value is shared and must not be modified.
	Value VariantValue
}

// VariantValue is a typed value; only the field of its type is set.
type VariantValue struct {
	Type   flagv1.ValueType
	Bool   bool
	Int    int64
	Double float64
	String string
	Object map[string]any // what structpb.Struct.AsMap returns
	// Proto is the value as *structpb.Struct for objects.
}

// Environment is an immutable set of compiled flags and segments. The nil Environment
// is empty and usable.
type Environment struct{}

// Changes turns one Environment into the next.
type Changes struct {
	Flags           []*Flag
	DeletedFlags    []string
	Segments        []*Segment
	DeletedSegments []string
}

// With returns the environment after the changes, in time proportional to the changes
// (and at most a small fraction of the whole).
func (e *Environment) With(c Changes) *Environment { panic("stub") }

// Flag returns the flag, or nil.
func (e *Environment) Flag(key string) *Flag { panic("stub") }

// Segment returns the segment, or nil.
func (e *Environment) Segment(key string) *Segment { panic("stub") }

// Flags returns all flags in the order of their keys. The slice is computed once and
// shared: it must not be modified.
func (e *Environment) Flags() []*Flag { panic("stub") }

// FlagCount and SegmentCount tell the sizes.
func (e *Environment) FlagCount() int    { panic("stub") }
func (e *Environment) SegmentCount() int { panic("stub") }

// Check reports references that do not hold: prerequisites on unknown flags or
// variants, cycles (named in full: a -> b -> a), and unknown segments. It looks at the
// given flags, and at those that refer to them or to the given segments (existing or
// just deleted); no keys at all: at everything. The error, if any, is an [Errors]
// whose fields begin with the flag's key: 'flags[KEY].prerequisites[0].flag_key'.
func (e *Environment) Check(flagKeys, segmentKeys []string) error { panic("stub") }

// Dependants returns the keys of the flags that have the flag as a prerequisite, or
// (segment) that refer to the segment, in order.
func (e *Environment) Dependants(flagKey string) []string           { panic("stub") }
func (e *Environment) SegmentDependants(segmentKey string) []string { panic("stub") }

// Evaluate answers one flag for one context. It never panics and never fails: errors
// are part of the result.
func (e *Environment) Evaluate(key string, ctx *Context) Result { panic("stub") }

// EvaluateFlag is Evaluate for a flag in hand, of this environment.
func (e *Environment) EvaluateFlag(f *Flag, ctx *Context) Result { panic("stub") }

// Context is what is known of the subject: OpenFeature's evaluation context.
type Context struct {
	TargetingKey string
	Attributes   Attributes // nil: none
}

// Attributes looks up an attribute by its name. Absent: the zero Value.
type Attributes interface {
	Attribute(name string) Value
}

// Map makes attributes of plain Go values: strings, booleans, all integer and float
// types, time.Time, []any, []string, map[string]any; anything else reads as absent.
// StructAttributes (see context.go) does the same for *structpb.Struct. Neither
// allocates when put into a Context.
type Map map[string]any

// Value is an attribute's value.
type Value struct{}

// Reason is OpenFeature's reason for an answer.
type Reason string

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
	Rule    string // id of the rule that decided, if one did
	// ErrorCode is empty unless Reason is ReasonError.
	ErrorCode ErrorCode
}

// ErrorMessage says what was wrong and what would be right; empty without error. It is
// built on demand: it allocates.
func (r Result) ErrorMessage() string { panic("stub") }

// As returns the result for a caller that can use values of type t only: itself, the
// same with the number converted (INTEGER to DOUBLE and back where no digit is lost),
// or the error TYPE_MISMATCH. VALUE_TYPE_UNSPECIFIED accepts any.
func (r Result) As(t flagv1.ValueType) Result { panic("stub") }

// FieldError is one thing wrong with a definition.
type FieldError struct {
	// Field is the path, such as 'rules[2].clauses[0].values[1]' (indices from 0, names
	// as in the proto).
	Field string
	// Problem says what is wrong and what would be right.
	Problem string
}

// Errors is a non-empty list of field errors.
type Errors []FieldError

func (e Errors) Error() string { panic("stub") }
