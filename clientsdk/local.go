package clientsdk

import (
	"context"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/replica"
	"github.com/tidegate/tidegate/internal/tally"
)

// local is the source of clients that hold the flags themselves.
type local struct {
	replica *replica.Replica
	// view is what is shown of it.
	view *view
	// tally counts who was served what; nil: nobody does.
	tally *tally.Tally
	// age tells how long ago the replica was confirmed.
	age func() time.Duration
	// staleAfter is the age from which answers are STALE; 0: never.
	staleAfter time.Duration
	// region and clock are what rules may read beside the context.
	region string
	clock  func() time.Time
}

// value is the path that takes nanoseconds: no lock, no allocation, and no clock but
// where the flag reads the time.
func (l *local) value(_ context.Context, key string, ec Context, want flagv1.ValueType) *eval.VariantValue {
	s := l.view.snapshot()
	if s == nil {
		return nil
	}
	e := s.Eval()
	f := e.Flag(key)
	if f == nil {
		return nil
	}
	var own eval.Context
	asked := l.context(e, f, ec, &own)
	result := e.EvaluateFlag(f, asked).As(want)
	if l.tally != nil {
		l.tally.Exposed(&result, asked)
	}
	if result.Variant != nil {
		return &result.Variant.Value
	}
	return nil
}

// context returns what the flag is evaluated with: the caller's, which is shared, or own,
// which adds what rules may read beside it.
func (l *local) context(e *eval.Environment, f *eval.Flag, ec Context, own *eval.Context) *eval.Context {
	shared, timed := ec.forEval(), e.ReadsTime(f)
	if l.region == "" && !timed {
		return shared
	}
	*own = *shared
	own.Region = l.region
	if timed {
		own.Now = l.clock().Unix()
	}
	return own
}

func (l *local) explain(_ context.Context, key string, ec Context, want flagv1.ValueType) (*eval.VariantValue, Resolution) {
	s := l.view.snapshot()
	if s == nil {
		return nil, failed(key, ErrorProviderNotReady, l.missing())
	}
	e := s.Eval()
	f := e.Flag(key)
	var own eval.Context
	asked := l.context(e, f, ec, &own)
	result := e.EvaluateFlag(f, asked).As(want)
	if f == nil {
		result = e.Evaluate(key, nil) // says which key
	} else if l.tally != nil {
		l.tally.Exposed(&result, asked)
	}
	r := Resolution{
		FlagKey:             key,
		Reason:              result.Reason,
		Rule:                result.Rule,
		UnmetPrerequisite:   result.UnmetPrerequisite(),
		EnvironmentRevision: s.Cursor().Revision,
		Age:                 l.age(),
		ErrorCode:           result.ErrorCode,
	}
	if result.ErrorCode != "" {
		r.ErrorMessage = result.ErrorMessage()
	} else if l.isStale(r.Age) {
		r.Reason = ReasonStale
	}
	if result.Flag != nil {
		r.FlagRevision = result.Flag.Revision()
		r.metadata = result.Flag.Metadata()
	}
	if result.Variant == nil {
		return nil, r
	}
	r.Variant = result.Variant.Name
	return &result.Variant.Value, r
}

// missing says why there is nothing to evaluate.
func (l *local) missing() string {
	if l.replica.Purged() {
		return fmt.Sprintf("environment %q was revoked: the upstream does not serve it to this client any more", l.replica.Environment())
	}
	return fmt.Sprintf("there is no snapshot of environment %q yet: WaitReady waits for it, Status tells what is in the way", l.replica.Environment())
}

func (l *local) isStale(age time.Duration) bool {
	return l.staleAfter > 0 && age > l.staleAfter
}
