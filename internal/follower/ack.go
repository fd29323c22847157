package follower

import (
	"slices"
	"strings"

	"github.com/tidegate/tidegate/eval"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	// maxRejections is how many items one Ack names.
	maxRejections = 256
	// maxReason bounds what it says of each, in bytes.
	maxReason = 512
)

// acks makes the Acks of one stream, which tell the rejections when they change. It holds
// what the last Ack of each environment named; usually nothing.
type acks map[string][]rejected

// rejected is a version of an item that cannot be used.
type rejected struct {
	snapshot.ID
	modRevision int64
}

// of makes the Ack of a state, which is to be sent next.
func (a acks) of(s *snapshot.Snapshot) *syncv1.Ack {
	ack := &syncv1.Ack{Environment: s.Environment(), Cursor: s.Cursor().Proto()}
	rejections := s.Rejections()
	rejections = rejections[:min(len(rejections), maxRejections)]
	told, before := a[s.Environment()]
	now := make([]rejected, len(rejections))
	for i, r := range rejections {
		now[i] = rejected{r.Item.ID(), r.Item.ModRevision}
	}
	if before && slices.Equal(told, now) {
		ack.RejectionsUnchanged = len(now) > 0
		return ack
	}
	a[s.Environment()] = now
	for _, r := range rejections {
		ack.Rejections = append(ack.Rejections, &syncv1.Rejection{
			Kind: r.Item.Kind, Key: r.Item.Key, ModRevision: r.Item.ModRevision,
			ErrorCode: string(eval.ParseError), Message: reasonOf(r),
		})
	}
	return ack
}

func reasonOf(r snapshot.Rejection) string {
	reason := strings.ToValidUTF8(r.Err.Error(), "\uFFFD")
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	return reason
}
