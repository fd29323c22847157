package clientsdk

import (
	"context"
	"errors"
	"fmt"
)

// ErrClosed is what WaitReady returns once the client is closed.
var ErrClosed = errors.New("clientsdk: the client is closed")

// given stands a context in for the one that a careless caller left out: an answer is
// better than a panic.
func given(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

// waitReady waits for ready; closed and ready count before the end of ctx.
func waitReady(ctx context.Context, c Client, ready, closed <-chan struct{}, addresses []string) error {
	ctx = given(ctx)
	select {
	case <-ready:
	case <-closed:
	case <-ctx.Done():
	}
	switch {
	case isClosed(closed):
		return ErrClosed
	case isClosed(ready):
		return nil
	}
	s := c.Status()
	reason := "no connection yet"
	switch {
	case s.Err != nil:
		reason = s.Err.Error()
	case s.Connected:
		reason = "connected, the flags are on their way"
	}
	return fmt.Errorf("clientsdk: no flags of environment %q from %v: %s: %w", s.Environment, addresses, reason, ctx.Err())
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
