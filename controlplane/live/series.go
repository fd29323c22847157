package live

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// series is that of the rollout that a stream shows.
type series struct {
	request *controlv1.GetRolloutSeriesRequest // nil: none is shown
	fresh   []*controlv1.SeriesPoint           // not sent yet
	looked  time.Time
	over    bool // and all of it was sent
}

// load reads what there is; it fails where there is no such rollout.
func (s *series) load(ctx context.Context, o *Options, r *controlv1.WatchRequest) error {
	s.request = &controlv1.GetRolloutSeriesRequest{Environment: r.GetEnvironment(), Key: r.GetRolloutKey()}
	return s.look(ctx, o)
}

// look reads what came since.
func (s *series) look(ctx context.Context, o *Options) error {
	s.looked = time.Now()
	got, err := o.Series(ctx, s.request)
	if err != nil {
		return err
	}
	s.fresh = got.GetPoints()
	if n := len(s.fresh); n > 0 {
		s.request.After = timestamppb.New(s.fresh[n-1].GetTime().AsTime())
	}
	return nil
}

// follow adds the points that are not sent yet, and looks for more, as often as there may be any.
// Once the rollout is over, it looks once more.
func (s *series) follow(ctx context.Context, of *stream, b *batch) error {
	if s.request == nil {
		return nil
	}
	item, there := of.sent.Item(syncv1.Kind_KIND_ROLLOUT, s.request.GetKey())
	if there && !s.over && time.Since(s.looked) >= of.o.LookEvery {
		r, err := item.Rollout()
		s.over = err == nil && !rollout.Active(r) && time.Since(r.GetStatus().GetEndedAt().AsTime()) > 2*of.o.LookEvery
		if err := s.look(ctx, of.o); err != nil && !errors.Is(err, controlplane.ErrUnavailable) {
			return gone(err)
		}
	}
	for _, p := range s.fresh {
		b.point(p)
	}
	s.fresh = nil
	return nil
}

// gone is nil where a rollout was deleted while it was shown: the stream tells that.
func gone(err error) error {
	var missing *controlplane.NotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	return err
}
