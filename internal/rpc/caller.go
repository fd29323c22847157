package rpc

import (
	"context"
	"crypto/x509"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
)

// ActorKey is the metadata key (over HTTP: the header) by which callers say who they are.
const ActorKey = "tidegate-actor"

// maxActor bounds a claimed name, in bytes: it goes into every audit entry.
const maxActor = 128

// Caller is who calls: the identity that Options.Authorize found, where there is that, else
// what the call's metadata claims ('tidegate-actor'); and the call's peer.
type Caller struct{ Actor, Peer string }

// Call is what is to be authorized.
type Call struct {
	// Method is the full one, '/package.Service/Method'.
	Method string
	// Request is the message of a unary call, the first one of a stream.
	Request proto.Message
	Stream  bool
}

type nameKey struct{}

// nameable is a context of a call in which whoever authorizes it can say who calls.
func (s *Server) nameable(ctx context.Context) context.Context {
	if s.options.Authorize == nil {
		return ctx
	}
	return context.WithValue(ctx, nameKey{}, new(atomic.Pointer[string]))
}

// Identify says who makes the call of a context, for its log and for CallerFrom: what it claims
// no longer counts.
func Identify(ctx context.Context, actor string) {
	if name, ok := ctx.Value(nameKey{}).(*atomic.Pointer[string]); ok {
		name.Store(&actor)
	}
}

func (s *Server) authorize(ctx context.Context, c Call, request any) (context.Context, error) {
	if s.options.Authorize == nil {
		return ctx, nil
	}
	c.Request, _ = request.(proto.Message)
	return s.options.Authorize(ctx, c)
}

// CertificateFrom is the certificate that a call's peer presented, and that an authority of ours
// signed; nil: none.
func CertificateFrom(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

// CallerFrom reads the caller from a call's context. Without an identity and a claim the
// actor is "anonymous".
func CallerFrom(ctx context.Context) Caller {
	c := Caller{Actor: "anonymous"}
	if name, ok := ctx.Value(nameKey{}).(*atomic.Pointer[string]); ok && name.Load() != nil {
		c.Actor = *name.Load()
	} else if v := metadata.ValueFromIncomingContext(ctx, ActorKey); len(v) > 0 && v[0] != "" {
		c.Actor = strings.ToValidUTF8(v[0][:min(len(v[0]), maxActor)], "?")
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		c.Peer = p.Addr.String()
	}
	return c
}
