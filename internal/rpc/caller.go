package rpc

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// ActorKey is the metadata key (over HTTP: the header) by which callers say who they are.
const ActorKey = "tidegate-actor"

// maxActor bounds a claimed name, in bytes: it goes into every audit entry.
const maxActor = 128

// Caller is who calls, from the call's metadata ('tidegate-actor', which is a claim, not
// an identity, as long as no keys are configured) and peer.
type Caller struct{ Actor, Peer string }

// CallerFrom reads the caller from a call's context. Without a claim the actor is
// "anonymous".
func CallerFrom(ctx context.Context) Caller {
	c := Caller{Actor: "anonymous"}
	if v := metadata.ValueFromIncomingContext(ctx, ActorKey); len(v) > 0 && v[0] != "" {
		c.Actor = strings.ToValidUTF8(v[0][:min(len(v[0]), maxActor)], "?")
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		c.Peer = p.Addr.String()
	}
	return c
}
