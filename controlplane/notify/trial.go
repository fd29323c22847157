package notify

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNoTarget says that no target of this name is configured on this server.
var ErrNoTarget = errors.New("notify: no target of this name is configured on this server")

// Answer is what came of a test.
type Answer struct {
	// ID of the message.
	ID string
	// Taken: the target said so.
	Taken bool
	// Text is what it said, or why there was no answer.
	Text string
	// Elapsed until then.
	Elapsed time.Duration
}

// Test sends a message to a target by which people see that it is reached: once, now, from this
// server, whether it leads or not. Nothing of it is kept. The error is an ErrNoTarget, or that of
// ctx.
func (n *Notifier) Test(ctx context.Context, target, actor string) (Answer, error) {
	sender := n.senders[target]
	if sender == nil {
		return Answer{}, fmt.Errorf("%w: %q", ErrNoTarget, target)
	}
	began := time.Now()
	e := Event{
		Kind: Test, Time: began, Actor: actor,
		Headline: "This is a test. What happens to rollouts is told here.",
	}.bounded()
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	text, err := sender.Send(attempt, e)
	if ctx.Err() != nil {
		return Answer{}, ctx.Err()
	}
	if err != nil {
		text = failureOf(err).Reason
	}
	return Answer{ID: e.ID, Taken: err == nil, Text: text, Elapsed: time.Since(began)}, nil
}

// Targets are those that this server is configured with.
func (n *Notifier) Targets() []Target { return n.o.Targets }
