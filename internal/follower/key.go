package follower

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// keyInterval is how often the configured key is looked at.
const keyInterval = time.Second

// credential is the key that is presented to upstreams: a stream is bound to the one that
// it was opened with, and what is said of it says nothing of the next.
type credential struct {
	read func() (string, error) // nil: there is none

	mu        sync.Mutex
	presented string
	// changed signals that another key than the one presented is configured.
	changed chan struct{}
}

func newCredential(read func() (string, error)) *credential {
	return &credential{read: read, changed: make(chan struct{}, 1)}
}

// present adds the key to what a stream is opened with; fresh: it is another one than
// before. Without TLS, whoever sees the traffic can read it.
func (c *credential) present(ctx context.Context) (_ context.Context, fresh bool, err error) {
	if c.read == nil {
		return ctx, false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	secret, err := c.read()
	if err != nil {
		return ctx, false, status.Error(codes.Unauthenticated, err.Error())
	}
	fresh, c.presented = secret != c.presented, secret
	select {
	case <-c.changed:
	default:
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret), fresh, nil
}

// superseded tells whether another key is configured by now. While none can be read, the
// one that was presented stands.
func (c *credential) superseded() bool {
	if c.read == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	secret, err := c.read()
	return err == nil && c.presented != "" && secret != c.presented
}

// watch looks at the key until ctx ends.
func (c *credential) watch(ctx context.Context) {
	if c.read == nil {
		return
	}
	ticker := time.NewTicker(keyInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !c.superseded() {
			continue
		}
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
}
