// Package dial says how our clients connect: operator commands, relays and SDKs alike.
package dial

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

const (
	keepaliveTime   = 20 * time.Second
	keepaliveAnswer = 5 * time.Second
	backoffMin      = 500 * time.Millisecond
	backoffMax      = 30 * time.Second
	connectTimeout  = 5 * time.Second
)

// Options of every connection: a dead peer is noticed within 25 s even between calls,
// and attempts are spread from 0.5 to 30 s. How to secure the connection is up to the
// caller.
func Options() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepaliveTime, Timeout: keepaliveAnswer, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: backoffMin, Multiplier: 2, Jitter: 0.5, MaxDelay: backoffMax},
			MinConnectTimeout: connectTimeout,
		}),
	}
}
