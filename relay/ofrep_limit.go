package relay

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// limitGeneration is for how long an address that does not come back is remembered,
	// at least.
	limitGeneration = time.Minute
	// maxLimited bounds the addresses remembered.
	maxLimited = 1 << 16
)

// addressLimit allows each client address so many requests a second, and as many at once.
// Addresses of IPv6 count by their first 64 bits, which is what one client gets.
type addressLimit struct {
	// every is the time that one request takes of the client's, burst how much of it a
	// client may use ahead.
	every, burst time.Duration

	mu sync.Mutex
	// recent are the addresses of this generation, older those of the one before it, each
	// with the moment up to which its time is used.
	recent, older map[netip.Addr]time.Time
	since         time.Time
}

func newAddressLimit(perSecond int) *addressLimit {
	every := time.Second / time.Duration(perSecond)
	return &addressLimit{every: every, burst: every * time.Duration(perSecond), recent: map[netip.Addr]time.Time{}}
}

// take counts one request, and returns how long to wait before the next one if it was one
// too many, else 0. Callers come in any order of their times: one that was late here
// brings no time back.
func (l *addressLimit) take(remote string, now time.Time) time.Duration {
	client := clientOf(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) > limitGeneration || len(l.recent) >= maxLimited {
		l.recent, l.older, l.since = map[netip.Addr]time.Time{}, l.recent, now
	}
	used, there := l.recent[client]
	if !there {
		used = l.older[client]
	}
	if used.Before(now) {
		used = now
	}
	wait := used.Add(l.every).Sub(now) - l.burst
	if wait <= 0 {
		used = used.Add(l.every)
	}
	l.recent[client] = used
	return max(wait, 0)
}

// clientOf is whom a remote address belongs to; what is no address is one client.
func clientOf(remote string) netip.Addr {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	addr := a.Addr().Unmap().WithZone("")
	if addr.Is6() {
		network, err := addr.Prefix(64)
		if err == nil {
			return network.Addr()
		}
	}
	return addr
}
