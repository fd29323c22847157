package clientsdk

import (
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/tidegate/tidegate/internal/rpc/dial"
)

// A remote client cannot answer without its relay, so it comes back sooner than others.
const (
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
)

// maxMessageBytes leaves room for the first answers of a watch on many large flags.
const maxMessageBytes = 64 << 20

// connect makes the connection of a remote client. Several addresses are tried in order,
// the first that answers is used until it fails.
func connect(cfg config, key *presenter) (*grpc.ClientConn, error) {
	target := "dns:///" + cfg.addresses[0]
	options := append(dial.Options(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)), grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: reconnectMin, Multiplier: 2, Jitter: 0.5, MaxDelay: reconnectMax},
		MinConnectTimeout: reconnectMax,
	}))
	if len(cfg.addresses) > 1 {
		r := manual.NewBuilderWithScheme("tidegate")
		r.InitialState(resolver.State{Addresses: resolverAddresses(cfg.addresses)})
		target = r.Scheme() + ":///" + cfg.addresses[0]
		options = append(options, grpc.WithResolvers(r))
	}
	return grpc.NewClient(target, append(append(options, key.dialOption()...), cfg.dial()...)...)
}

func resolverAddresses(addresses []string) []resolver.Address {
	out := make([]resolver.Address, len(addresses))
	for i, a := range addresses {
		host, _, _ := net.SplitHostPort(a) // checked with the options
		out[i] = resolver.Address{Addr: a, ServerName: host}
	}
	return out
}
