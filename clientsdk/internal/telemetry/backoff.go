package telemetry

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bounds of what is waited between two attempts.
const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 10 * time.Second
)

// backoff grows from failure to failure.
type backoff struct{ limit time.Duration }

// next returns how long to wait after a failure: a random time between half of the limit and
// the limit, so that those who lost the same relay do not come back all at once. A relay that
// answers, and will not take anything before somebody changes something, is spared at once.
func (b *backoff) next(err error) time.Duration {
	b.limit = min(max(2*b.limit, backoffMin), backoffMax)
	switch status.Code(err) {
	case codes.Unimplemented, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated:
		b.limit = backoffMax
	}
	return b.limit/2 + rand.N(b.limit/2) //nolint:gosec // spreads load, keeps no secret
}

func (b *backoff) reset() { b.limit = 0 }
