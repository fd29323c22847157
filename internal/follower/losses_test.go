package follower

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// TestNews: a loss is told once, and once more for each new reason: who is lost as its server
// restarts, and refused from then on, is to say so.
func TestNews(t *testing.T) {
	away := status.Error(codes.Unavailable, "connection refused")
	denied := status.Error(codes.PermissionDenied, "the key is not here")
	draining := &goodbyeError{message: &syncv1.Goodbye{Code: syncv1.Goodbye_CODE_DRAINING}}
	told := make(losses)
	for i, step := range []struct {
		upstream string
		err      error
		followed bool
		want     bool
	}{
		{"a", away, false, true}, // from the start
		{"a", away, false, false},
		{"b", away, false, false},
		{"a", errAsk, true, false},
		{"a", draining, true, true},
		{"a", away, false, false},
		{"a", denied, false, true},
		{"a", denied, false, false},
		{"a", away, false, false},
		{"a", denied, false, false},
		{"b", denied, false, true},
		{"b", errDead, false, true},
		{"b", errDead, false, false},
		{"a", errEnded, true, true},
		{"a", errEnded, true, true},
		{"a", denied, false, true},
	} {
		if got := told.news(step.upstream, step.err, step.followed); got != step.want {
			t.Errorf("step %d, %v: %t", i, step.err, got)
		}
	}
}
