package relay

import (
	"context"

	"google.golang.org/grpc"

	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// flagdServiceV2 implements flagd.evaluation.v2, in which an answer without a value says
// that the caller's default stands.
type flagdServiceV2 struct {
	flagdv2.UnimplementedServiceServer
	evaluation *evaluationService
}

// ResolveBoolean implements the service.
func (s *flagdServiceV2) ResolveBoolean(ctx context.Context, q *flagdv2.ResolveBooleanRequest) (*flagdv2.ResolveBooleanResponse, error) {
	r, err := s.evaluation.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_BOOLEAN)
	if err != nil {
		return nil, err
	}
	a := &flagdv2.ResolveBooleanResponse{Reason: string(r.reason), Metadata: r.metadata}
	if v := r.variant; v != nil {
		a.Value, a.Variant = &v.Value.Bool, &v.Name
	}
	return a, nil
}

// ResolveString implements the service.
func (s *flagdServiceV2) ResolveString(ctx context.Context, q *flagdv2.ResolveStringRequest) (*flagdv2.ResolveStringResponse, error) {
	r, err := s.evaluation.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_STRING)
	if err != nil {
		return nil, err
	}
	a := &flagdv2.ResolveStringResponse{Reason: string(r.reason), Metadata: r.metadata}
	if v := r.variant; v != nil {
		a.Value, a.Variant = &v.Value.String, &v.Name
	}
	return a, nil
}

// ResolveFloat implements the service.
func (s *flagdServiceV2) ResolveFloat(ctx context.Context, q *flagdv2.ResolveFloatRequest) (*flagdv2.ResolveFloatResponse, error) {
	r, err := s.evaluation.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_DOUBLE)
	if err != nil {
		return nil, err
	}
	a := &flagdv2.ResolveFloatResponse{Reason: string(r.reason), Metadata: r.metadata}
	if v := r.variant; v != nil {
		a.Value, a.Variant = new(double(v.Value)), &v.Name
	}
	return a, nil
}

// ResolveInt implements the service.
func (s *flagdServiceV2) ResolveInt(ctx context.Context, q *flagdv2.ResolveIntRequest) (*flagdv2.ResolveIntResponse, error) {
	r, err := s.evaluation.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_INTEGER)
	if err != nil {
		return nil, err
	}
	a := &flagdv2.ResolveIntResponse{Reason: string(r.reason), Metadata: r.metadata}
	if v := r.variant; v != nil {
		a.Value, a.Variant = new(integer(v.Value)), &v.Name
	}
	return a, nil
}

// ResolveObject implements the service.
func (s *flagdServiceV2) ResolveObject(ctx context.Context, q *flagdv2.ResolveObjectRequest) (*flagdv2.ResolveObjectResponse, error) {
	r, err := s.evaluation.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_OBJECT)
	if err != nil {
		return nil, err
	}
	a := &flagdv2.ResolveObjectResponse{Reason: string(r.reason), Metadata: r.metadata}
	if v := r.variant; v != nil {
		a.Value, a.Variant = v.Value.Proto, &v.Name
	}
	return a, nil
}

// EventStream implements the service.
func (s *flagdServiceV2) EventStream(_ *flagdv2.EventStreamRequest, stream grpc.ServerStreamingServer[flagdv2.EventStreamResponse]) error {
	return s.evaluation.flagdEvents(stream.Context(), func(e flagdEvent) error {
		return stream.Send(&flagdv2.EventStreamResponse{Type: e.kind, Data: e.data})
	})
}
