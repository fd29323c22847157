package follower

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

var (
	// errDiffers: this environment's state is not what the upstream takes it for, or what
	// came makes no sense; it is asked for anew, from nothing.
	errDiffers = errors.New("state differs from the upstream's")
	// errBehind: the upstream's state is older than the one that is shown.
	errBehind = errors.New("upstream is behind")
	// errLoop: the upstream follows this process.
	errLoop = errors.New("upstream is this process, or follows it")
	// errDead: the upstream has been silent for too long.
	errDead = errors.New("upstream is silent")
	// errEnded: the upstream ended the stream without a word.
	errEnded = errors.New("upstream ended the stream")
	// errProtocol: the upstream does not keep to the protocol.
	errProtocol = errors.New("protocol violation")
)

// goodbyeError is the upstream's Goodbye.
type goodbyeError struct{ message *syncv1.Goodbye }

func (e *goodbyeError) Error() string {
	return fmt.Sprintf("upstream said goodbye: %s: %s", e.message.GetCode(), e.message.GetMessage())
}

// requestedBackoff is how long the upstream asked to be left alone.
func requestedBackoff(err error) time.Duration {
	var g *goodbyeError
	if !errors.As(err, &g) {
		return 0
	}
	return g.message.GetBackoff().AsDuration()
}

// sameAgain tells whether the upstream that failed is the one to ask again first.
func sameAgain(err error) bool { return errors.Is(err, errDiffers) }

// reason is a metric's label.
func reason(err error) string {
	var g *goodbyeError
	switch {
	case errors.As(err, &g):
		return "goodbye_" + g.message.GetCode().String()
	case errors.Is(err, snapshot.ErrDigest):
		return "digest"
	case errors.Is(err, errDiffers):
		return "differs"
	case errors.Is(err, errBehind):
		return "behind"
	case errors.Is(err, errLoop):
		return "loop"
	case errors.Is(err, errDead):
		return "dead"
	case errors.Is(err, errEnded):
		return "ended"
	case errors.Is(err, errProtocol):
		return "protocol"
	default:
		return status.Code(err).String()
	}
}
