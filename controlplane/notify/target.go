package notify

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MaxTargets that there may be.
const MaxTargets = 32

var targetPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Target is who is told.
type Target struct {
	// Name is unique; rollouts name it.
	Name string
	// Transport and Host are for people: by which means it is told, and where, without what is
	// secret of that.
	Transport, Host string
	// Environments that it is told of; none: all.
	Environments []string
	// Kinds of events that it is told; none: DefaultKinds.
	Kinds  []Kind
	Sender Sender
}

// Sender takes events to one target.
type Sender interface {
	// Send sends an event once, and blocks until it was taken (nil) or not, or ctx has ended.
	// The error is a *Failure where more is known than that it failed. The answer is what the
	// target said when it took the event. Both are shown to people, and the error is logged:
	// there must be no secret in them.
	Send(ctx context.Context, e Event) (answer string, err error)
}

// Failure is why a target did not take an event.
type Failure struct {
	// Reason for people.
	Reason string
	// Permanent: it will not take this event, however often it is tried.
	Permanent bool
	// Down: it takes no event at the moment, so that others need not be tried.
	Down bool
	// RetryAfter is how long it asked not to be bothered; 0: it did not.
	RetryAfter time.Duration
}

func (f *Failure) Error() string { return f.Reason }

// Check reports what is wrong with a target.
func (t *Target) Check() error {
	switch {
	case !targetPattern.MatchString(t.Name):
		return fmt.Errorf("notify: target %q: a name has 1 to 63 letters, digits, dots, hyphens and underscores, and begins with a letter or digit", t.Name)
	case t.Sender == nil:
		return fmt.Errorf("notify: target %q has no sender", t.Name)
	}
	for _, k := range t.Kinds {
		if !k.known() {
			return fmt.Errorf("notify: target %q: unknown kind of event %q: expected one of %s", t.Name, k, kindNames())
		}
	}
	return nil
}

// Told are the kinds of events that the target is told.
func (t *Target) Told() []Kind {
	if len(t.Kinds) == 0 {
		return DefaultKinds()
	}
	return t.Kinds
}

func (t *Target) wants(e *Event) bool {
	return slices.Contains(t.Told(), e.Kind) &&
		(len(t.Environments) == 0 || slices.ContainsFunc(t.Environments, e.concerns)) &&
		(len(e.Notify) == 0 || slices.Contains(e.Notify, t.Name))
}

// concerns tells whether the event is of an environment.
func (e *Event) concerns(environment string) bool {
	if e.Kind == Frozen || e.Kind == Lifted {
		return len(e.Environments) == 0 || slices.Contains(e.Environments, environment)
	}
	return e.Environment == environment
}

func kindNames() string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// failureOf is what a sender's error says.
func failureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Reason: err.Error()}
}

// nobody is the sender of a target that is not configured on the server that leads. What is
// for it waits: servers get a new configuration one after the other.
type nobody struct{}

func (nobody) Send(context.Context, Event) (string, error) {
	return "", &Failure{Reason: "no target of this name is configured on the server that leads", Down: true}
}
