package clientsdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/rpc/dial"
)

// WithKey presents a key's secret ('tidegate key create') to relays and servers. A client that
// evaluates in-process needs a key of the role SDK_SERVER; one that asks relays may have
// SDK_CLIENT. Without TLS, whoever sees the traffic sees the secret.
func WithKey(secret string) Option {
	return option(func(c *config) { c.key = secret })
}

// WithKeyFile is WithKey with the secret in a file, which is looked at once a second: so a
// key can be replaced while the process runs.
func WithKeyFile(path string) Option {
	return option(func(c *config) { c.keyFile = path })
}

func (c *config) checkKey() []error {
	var errs []error
	if c.key != "" && c.keyFile != "" {
		errs = append(errs, errors.New("key and key file: want one of the two"))
	}
	if c.key != "" {
		if _, err := accesskey.Parse(c.key); err != nil {
			errs = append(errs, fmt.Errorf("key: %w", err))
		}
	}
	return errs
}

// keyEvery is how often a key file is looked at, at most.
const keyEvery = time.Second

// presenter presents a key with each call of a connection. It implements
// [google.golang.org/grpc/credentials.PerRPCCredentials].
type presenter struct {
	read func() (string, error)
	file bool

	mu   sync.Mutex // held to read
	held atomic.Pointer[presented]
}

// presented is a key as it was read; another one is another pointer.
type presented struct {
	secret string
	header map[string]string
	err    error
	looked atomic.Int64 // when it was last read, as Unix time in ns
}

// newPresenter returns nil where there is no key.
func (c *config) newPresenter() *presenter {
	if c.key == "" && c.keyFile == "" {
		return nil
	}
	return &presenter{read: dial.Key(c.key, c.keyFile), file: c.keyFile != ""}
}

// current is what is presented now; nil: nothing.
func (p *presenter) current() *presented {
	if p == nil {
		return nil
	}
	if h := p.held.Load(); h != nil && (!p.file || time.Since(time.Unix(0, h.looked.Load())) < keyEvery) {
		return h
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.held.Load()
	if h == nil || p.file && time.Since(time.Unix(0, h.looked.Load())) >= keyEvery {
		h = p.look(h)
		p.held.Store(h)
	}
	return h
}

// look reads the key. What cannot be read leaves the one before: a file is being replaced.
func (p *presenter) look(before *presented) *presented {
	secret, err := p.read()
	h := before
	switch {
	case before != nil && before.err == nil && (err != nil || secret == before.secret):
	case err != nil:
		h = &presented{err: status.Error(codes.Unauthenticated, err.Error())}
	default:
		h = &presented{secret: secret, header: map[string]string{accesskey.Header: "Bearer " + secret}}
	}
	h.looked.Store(time.Now().UnixNano())
	return h
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (p *presenter) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	h := p.current()
	return h.header, h.err
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: a relay on the same host
// has none.
func (*presenter) RequireTransportSecurity() bool { return false }

// dialOption has a connection present the key; nil: there is none.
func (p *presenter) dialOption() []grpc.DialOption {
	if p == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithPerRPCCredentials(p)}
}
