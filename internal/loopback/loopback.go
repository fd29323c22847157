// Package loopback finds addresses for processes that tests start, and start again.
package loopback

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Addrs returns n addresses of one host on which nothing listens. Where the system has
// more than one loopback address, the host is one that nobody else uses: so no port of it
// is given to another connection between two lives of a process. Elsewhere they were free
// a moment ago.
func Addrs(n int) ([]string, error) {
	addrs, err := listen(randomHost(), n)
	if err != nil {
		addrs, err = listen("127.0.0.1", n)
	}
	return addrs, err
}

// randomHost is one of 16 million, less those that people use.
func randomHost() string {
	return fmt.Sprintf("127.%d.%d.%d", 1+rand.N(254), rand.N(256), 1+rand.N(254)) //nolint:gosec // guards nothing
}

func listen(host string, n int) ([]string, error) {
	addrs := make([]string, 0, n)
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0")) //nolint:noctx // returns at once
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
