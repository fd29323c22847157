package server

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/internal/rpc"
)

// How many attempts to log in there may be at once, and how often one more: at one name, by
// whomever, and from one address, at whatever names. A name that is nobody's has the same, so
// that being refused tells nothing. Each server counts for itself: a count in the store would be a
// write for whoever reaches the login, from as many addresses as they have.
const (
	nameBurst    = 10
	nameEvery    = 30 * time.Second
	addressBurst = 30
	addressEvery = 5 * time.Second
	// maxCounted bounds the memory that attempts take. Beyond it, those who are not known yet
	// have to wait until others have not tried for some time.
	maxCounted = 20000
)

// attempts bounds how fast passwords can be tried.
type attempts struct {
	now func() time.Time

	mu        sync.Mutex
	names     map[string]*rate.Limiter
	addresses map[string]*rate.Limiter
}

func newAttempts(now func() time.Time) *attempts {
	return &attempts{now: now, names: make(map[string]*rate.Limiter), addresses: make(map[string]*rate.Limiter)}
}

// take counts an attempt at a name from an address, or says that it is one too many.
func (a *attempts) take(name, address string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if !takeOf(a.addresses, network(address), addressBurst, addressEvery, now) {
		return tooMany("from this address", addressEvery)
	}
	if !takeOf(a.names, name, nameBurst, nameEvery, now) {
		return tooMany("at this name", nameEvery)
	}
	return nil
}

func tooMany(where string, wait time.Duration) error {
	return rpc.Status(codes.ResourceExhausted, "too many attempts to log in "+where+": wait "+wait.String()+", and try again",
		&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
}

func takeOf(all map[string]*rate.Limiter, of string, burst int, every time.Duration, now time.Time) bool {
	l := all[of]
	if l == nil {
		if len(all) >= maxCounted {
			forgetRested(all, burst, now)
		}
		if len(all) >= maxCounted {
			return false
		}
		l = rate.NewLimiter(rate.Every(every), burst)
		all[of] = l
	}
	return l.AllowN(now, 1)
}

// forgetRested drops those who are as if they had never tried.
func forgetRested(all map[string]*rate.Limiter, burst int, now time.Time) {
	for of, l := range all {
		if l.TokensAt(now) >= float64(burst) {
			delete(all, of)
		}
	}
}

// network is what one caller has of addresses: of IPv6, a /64.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
