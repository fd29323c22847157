package relay

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
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
	limit rate.Limit
	burst int

	mu sync.Mutex
	// recent are the addresses of this generation, older those of the one before it.
	recent, older map[netip.Addr]*rate.Limiter
	since         time.Time
}

func newAddressLimit(perSecond int) *addressLimit {
	return &addressLimit{limit: rate.Limit(perSecond), burst: perSecond, recent: map[netip.Addr]*rate.Limiter{}}
}

// take counts one request, and returns how long to wait before the next one if it was one
// too many, else 0.
func (l *addressLimit) take(remote string, now time.Time) time.Duration {
	reserved := l.limiter(clientOf(remote), now).ReserveN(now, 1)
	wait := reserved.DelayFrom(now)
	if wait > 0 {
		reserved.CancelAt(now)
	}
	return wait
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

func (l *addressLimit) limiter(client netip.Addr, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) > limitGeneration || len(l.recent) >= maxLimited {
		l.recent, l.older, l.since = map[netip.Addr]*rate.Limiter{}, l.recent, now
	}
	limiter := l.recent[client]
	if limiter == nil {
		if limiter = l.older[client]; limiter == nil {
			limiter = rate.NewLimiter(l.limit, l.burst)
		}
		l.recent[client] = limiter
	}
	return limiter
}
