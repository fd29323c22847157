package server

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tidegate/tidegate/controlplane/leader"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// forwardedKey is metadata of calls that another server of the cluster passes on.
const forwardedKey = "tidegate-forwarded-by"

// forwarded tells whether another server passed a call on: it is not passed on again.
func forwarded(ctx context.Context) bool {
	return len(metadata.ValueFromIncomingContext(ctx, forwardedKey)) > 0
}

// serverKey is metadata by which a server of the cluster says which it is, to another one.
const serverKey = "tidegate-server"

// asServer is a context of calls to other servers of the cluster.
func (s *Server) asServer(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, serverKey, s.options.InstanceID, accesskey.Header, "Bearer "+s.peerSecret)
}

// leaderCalls are calls to the leader, of what nobody else knows.
type leaderCalls struct {
	elector    *leader.Elector
	instanceID string
	peers      *connections
	// asServer makes a context one of calls to other servers.
	asServer func(context.Context) context.Context
}

// askLeader has another server that leads answer a question, within a short time. False: there
// is none to ask.
func askLeader[T any](ctx context.Context, l leaderCalls, question func(context.Context, grpc.ClientConnInterface) (T, error)) (answer T, asked bool, err error) {
	who, _, ok := l.elector.Leader()
	if !ok || who.Address == "" || who.InstanceID == l.instanceID || forwarded(ctx) {
		return answer, false, nil
	}
	conn, release, err := l.peers.acquire(who.Address)
	if err != nil {
		return answer, true, fmt.Errorf("the leader, %s at %s: %w", who.InstanceID, who.Address, err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(l.asServer(ctx), forwardedKey, l.instanceID), countTimeout)
	defer cancel()
	if answer, err = question(ctx, conn); err != nil {
		return answer, true, fmt.Errorf("the leader, %s at %s: %w", who.InstanceID, who.Address, err)
	}
	return answer, true, nil
}
