package follower

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
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
	// errStale: the upstream lives, but what it has is old.
	errStale = errors.New("upstream is stale")
	// errAsk: it is time to ask again for what was refused.
	errAsk = errors.New("asking again for what was refused")
	// errKey: there is another key to present than the one that the stream was opened with.
	errKey = errors.New("another key is configured")
	// errDead: the upstream has been silent for too long.
	errDead = errors.New("upstream is silent")
	// errEnded: the upstream ended the stream without a word.
	errEnded = errors.New("upstream ended the stream")
	// errProtocol: the upstream does not keep to the protocol.
	errProtocol = errors.New("protocol violation")
)

// goodbyeError is the upstream's Goodbye.
type goodbyeError struct {
	message *syncv1.Goodbye
	// others: of what the stream was about, some was refused, and some was not.
	others bool
}

func (e *goodbyeError) Error() string {
	return fmt.Sprintf("upstream said goodbye: %s: %s", e.message.GetCode(), e.message.GetMessage())
}

// loopBackoff is how long an upstream is left alone that follows this process: it is
// mended by people, or by what has moved when the relays in the loop come back.
const loopBackoff = 10 * time.Second

// requestedBackoff is how long the upstream is to be left alone.
func requestedBackoff(err error) time.Duration {
	if errors.Is(err, errLoop) {
		return loopBackoff
	}
	var g *goodbyeError
	if !errors.As(err, &g) {
		return 0
	}
	return g.message.GetBackoff().AsDuration()
}

// atOnce tells whether the same upstream is to be asked again without a wait: the stream
// did not fail, but has to be about something else.
func atOnce(err error) bool {
	var g *goodbyeError
	return errors.Is(err, errAsk) || errors.Is(err, errKey) || errors.As(err, &g) && g.others
}

// sameAgain tells whether the upstream that failed is the one to ask again first.
func sameAgain(err error) bool { return errors.Is(err, errDiffers) }

// losses are what people were told of since the upstreams were followed last, to tell it once.
type losses map[loss]struct{}

type loss struct{ upstream, reason string }

// news tells whether people have to be told why an upstream is not followed: of the first failure
// after a success, and of each new reason; not of further attempts, of an upstream that was lost and
// cannot be reached, nor of an end that this side wanted.
func (l losses) news(upstream string, err error, followed bool) bool {
	if atOnce(err) {
		return false
	}
	if followed {
		clear(l)
	}
	why := loss{upstream, reason(err)}
	_, known := l[why]
	l[why] = struct{}{}
	away := why.reason == codes.Unavailable.String() && len(l) > 1
	return followed || !known && !away
}

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
	case errors.Is(err, errStale):
		return "stale"
	case errors.Is(err, errAsk):
		return "ask"
	case errors.Is(err, errKey):
		return "key"
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
