package relay

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
)

// flagdSyncService implements flagd.sync.v1: whole definitions, now and on each change.
type flagdSyncService struct {
	flagdsyncv1.UnimplementedFlagSyncServiceServer
	evaluation *evaluationService
}

// SyncFlags implements the service. It begins once there is something to send. A caller
// that reads slowly gets fewer definitions, never an old one.
func (s *flagdSyncService) SyncFlags(q *flagdsyncv1.SyncFlagsRequest, stream grpc.ServerStreamingServer[flagdsyncv1.SyncFlagsResponse]) error {
	ctx := stream.Context()
	env, err := s.evaluation.called(ctx, q.GetSelector()) //nolint:staticcheck // providers still send it
	if err != nil {
		return err
	}
	right, err := env.passOf(ctx)
	if err != nil {
		return err
	}
	closed := env.streams.open(streamSync)
	defer func() {
		if closed() == 0 {
			env.flagd.release()
		}
	}()
	if err := s.evaluation.await(ctx, env); err != nil {
		return err
	}
	_, changes := env.replica.Subscribe()
	place := s.evaluation.syncContext()
	sent := ""
	for {
		if err := right.follows(env.replica.Snapshot()); err != nil {
			return err
		}
		set, ok := env.flagd.definition()
		if !ok {
			return env.missing() // whoever comes again waits for the next one
		}
		if set != sent {
			if err := stream.Send(&flagdsyncv1.SyncFlagsResponse{FlagConfiguration: set, SyncContext: place}); err != nil {
				return err
			}
			sent = set
		}
		select {
		case <-changes.Changed():
		case <-right.expired:
			continue
		case <-ctx.Done():
			return ctx.Err()
		case <-s.evaluation.draining:
			return errDraining
		}
		if _, _, _, err := collect(ctx, changes); err != nil {
			return err
		}
	}
}

// FetchAllFlags implements the service.
func (s *flagdSyncService) FetchAllFlags(ctx context.Context, q *flagdsyncv1.FetchAllFlagsRequest) (*flagdsyncv1.FetchAllFlagsResponse, error) {
	env, err := s.evaluation.called(ctx, q.GetSelector()) //nolint:staticcheck // providers still send it
	if err != nil {
		return nil, err
	}
	right, err := env.passOf(ctx)
	if err == nil {
		err = right.follows(env.replica.Snapshot())
	}
	if err != nil {
		return nil, err
	}
	set, ok := env.flagd.definition()
	if !ok {
		return nil, env.missing()
	}
	return &flagdsyncv1.FetchAllFlagsResponse{FlagConfiguration: set}, nil
}

// GetMetadata implements the service.
func (s *flagdSyncService) GetMetadata(ctx context.Context, _ *flagdsyncv1.GetMetadataRequest) (*flagdsyncv1.GetMetadataResponse, error) { //nolint:staticcheck // providers still call it
	env, err := s.evaluation.called(ctx, "")
	if err != nil {
		return nil, err
	}
	right, err := env.passOf(ctx)
	if err == nil {
		err = right.follows(env.replica.Snapshot())
	}
	if err != nil {
		return nil, err
	}
	place := s.evaluation.syncContext()
	if place == nil {
		place = &structpb.Struct{}
	}
	return &flagdsyncv1.GetMetadataResponse{Metadata: place}, nil //nolint:staticcheck // as above
}

// syncContext is what in-process providers add to every context: the place, which rules
// may use; nil if it is not known. (They know the time themselves.)
func (s *evaluationService) syncContext() *structpb.Struct {
	if s.region == "" {
		return nil
	}
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"$tidegate": object(map[string]*structpb.Value{"region": structpb.NewStringValue(s.region)}),
	}}
}

// await waits until an environment has a snapshot.
func (s *evaluationService) await(ctx context.Context, e *environment) error {
	select {
	case <-e.replica.Ready():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.draining:
		return errDraining
	}
}
