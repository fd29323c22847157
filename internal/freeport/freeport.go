// Package freeport finds loopback addresses for the processes of tests, which are started,
// killed and started again at the same place.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// The ports that are given out lie below those that systems take for connections that go
// out: one of these could otherwise have the port of a process that is just not running.
const (
	first = 10_000
	span  = 20_000
)

// next is counted up, from a place of each test process's own, so that no port is given
// out twice, and two processes seldom look at the same.
var next atomic.Uint32

func init() { next.Store(rand.Uint32N(span)) } //nolint:gosec // no secret

// Addrs returns n addresses of 127.0.0.1 at which nobody listens, none of which is returned
// again.
func Addrs(n int) ([]string, error) {
	addrs := make([]string, 0, n)
	for range span {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%span)
		l, err := net.Listen("tcp", addr) //nolint:noctx // returns at once
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	return nil, errors.New("freeport: no port is free")
}
