package uplink

import (
	"errors"

	"google.golang.org/grpc/status"
)

// ErrRefused is wrapped by errors of [Options.Authorize] that concern one batch only: it is
// refused in the answer, and lost.
var ErrRefused = errors.New("telemetry refused")

var (
	// errSilent: the upstream has not acknowledged anything for too long.
	errSilent = errors.New("upstream does not acknowledge what it was sent")
	// errProtocol: the upstream does not keep to the protocol.
	errProtocol = errors.New("protocol violation")
	// errMoved: another upstream is followed by now.
	errMoved = errors.New("another upstream is followed")
	// errKey: there is another key to present than the one that the stream was opened with.
	errKey = errors.New("another key is configured")
	// errEnded: the upstream ended the stream without a word.
	errEnded = errors.New("upstream ended the stream")
	// errParted: everything is acknowledged, and the process ends.
	errParted = errors.New("the process ends")
)

// atOnce tells whether there is to be a new stream without a wait: this one did not fail.
func atOnce(err error) bool { return errors.Is(err, errMoved) || errors.Is(err, errKey) }

// reason is a metric's label.
func reason(err error) string {
	for _, known := range []struct {
		err  error
		name string
	}{
		{errSilent, "silent"}, {errProtocol, "protocol"}, {errMoved, "moved"}, {errKey, "key"}, {errEnded, "ended"},
	} {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	return status.Code(err).String()
}
