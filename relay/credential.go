package relay

import (
	"context"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// credential is what a call presents, and who that is in the environment that it asks for. One
// of a stream is used for all its requests: whoever is found is found once.
type credential struct {
	values  []string
	env     *environment // where visitor was found
	visitor *accesskey.Visitor
	// admitted, if not nil, is called when the visitor was let into an environment.
	admitted func(*environment, *accesskey.Visitor)
}

func credentialOf(ctx context.Context) credential {
	return credential{values: metadata.ValueFromIncomingContext(ctx, accesskey.Header)}
}

// right is what the caller may hear of an environment's state.
func (c *credential) right(e *environment, s *snapshot.Snapshot, now time.Time) (*accesskey.Right, error) {
	if e.gate == nil {
		return nil, nil
	}
	if c.env == e {
		r, _, err := c.visitor.Right(s, now)
		return r, err
	}
	v, err := e.gate.Visitor(c.values)
	if err != nil {
		return nil, err
	}
	c.env, c.visitor = e, v
	r, _, err := v.Right(s, now)
	if err == nil && v != nil && c.admitted != nil {
		c.admitted(e, v)
	}
	return r, err
}

// pass is the right of a call that lasts: it is looked at with each state, and when it expires.
type pass struct {
	visitor *accesskey.Visitor
	right   *accesskey.Right
	until   time.Time
	// expired gets a value when the right is to be looked at again; nil: with the next state.
	expired <-chan time.Time
}

// pass finds who asks for an environment. It is to be checked before anything is told.
func (e *environment) pass(values []string) (*pass, error) {
	v, err := e.gate.Visitor(values)
	if err != nil {
		return nil, err
	}
	return &pass{visitor: v}, nil
}

func (e *environment) passOf(ctx context.Context) (*pass, error) {
	return e.pass(metadata.ValueFromIncomingContext(ctx, accesskey.Header))
}

// check looks whether there still is a right to the state; nil: there is none, and nothing of it
// to be told.
func (p *pass) check(s *snapshot.Snapshot) error {
	if s == nil {
		return nil
	}
	now := time.Now()
	right, until, err := p.visitor.Right(s, now)
	if err != nil {
		return err
	}
	p.right = right
	if !until.Equal(p.until) {
		p.until, p.expired = until, nil
		if !until.IsZero() {
			p.expired = time.After(until.Sub(now))
		}
	}
	return nil
}

// untilLost waits until there is no longer a right, and returns why, or until ctx ends.
func (p *pass) untilLost(ctx context.Context, e *environment) error {
	shown, changes := e.replica.Subscribe()
	for {
		if err := p.check(shown); err != nil {
			return err
		}
		select {
		case <-changes.Changed():
			var err error
			if _, _, shown, err = collect(ctx, changes); err != nil {
				return err
			}
		case <-p.expired:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follows is check for who wants the flags themselves.
func (p *pass) follows(s *snapshot.Snapshot) error {
	if err := p.check(s); err != nil {
		return err
	}
	return p.right.Follows()
}
