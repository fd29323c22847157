package relay

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidegate/tidegate/eval"
	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// flagdServiceV1 implements flagd.evaluation.v1.
type flagdServiceV1 struct {
	flagdv1.UnimplementedServiceServer
	evaluation *evaluationService
}

// resolve answers one flag. Fields without presence cannot say that the caller's default
// stands: unless the flag is disabled, that is NOT_FOUND.
func (s *flagdServiceV1) resolve(ctx context.Context, key string, subject *structpb.Struct, t flagv1.ValueType) (resolution, error) {
	r, err := s.evaluation.resolve(ctx, key, subject, t)
	return r, r.known(err)
}

// ResolveBoolean implements the service.
func (s *flagdServiceV1) ResolveBoolean(ctx context.Context, q *flagdv1.ResolveBooleanRequest) (*flagdv1.ResolveBooleanResponse, error) {
	r, err := s.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_BOOLEAN)
	if err != nil {
		return nil, err
	}
	return &flagdv1.ResolveBooleanResponse{Value: r.value().Bool, Reason: string(r.reason), Variant: r.name(), Metadata: r.metadata}, nil
}

// ResolveString implements the service.
func (s *flagdServiceV1) ResolveString(ctx context.Context, q *flagdv1.ResolveStringRequest) (*flagdv1.ResolveStringResponse, error) {
	r, err := s.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_STRING)
	if err != nil {
		return nil, err
	}
	return &flagdv1.ResolveStringResponse{Value: r.value().String, Reason: string(r.reason), Variant: r.name(), Metadata: r.metadata}, nil
}

// ResolveFloat implements the service.
func (s *flagdServiceV1) ResolveFloat(ctx context.Context, q *flagdv1.ResolveFloatRequest) (*flagdv1.ResolveFloatResponse, error) {
	r, err := s.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_DOUBLE)
	if err != nil {
		return nil, err
	}
	return &flagdv1.ResolveFloatResponse{Value: double(r.value()), Reason: string(r.reason), Variant: r.name(), Metadata: r.metadata}, nil
}

// ResolveInt implements the service.
func (s *flagdServiceV1) ResolveInt(ctx context.Context, q *flagdv1.ResolveIntRequest) (*flagdv1.ResolveIntResponse, error) {
	r, err := s.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_INTEGER)
	if err != nil {
		return nil, err
	}
	return &flagdv1.ResolveIntResponse{Value: integer(r.value()), Reason: string(r.reason), Variant: r.name(), Metadata: r.metadata}, nil
}

// ResolveObject implements the service.
func (s *flagdServiceV1) ResolveObject(ctx context.Context, q *flagdv1.ResolveObjectRequest) (*flagdv1.ResolveObjectResponse, error) {
	r, err := s.resolve(ctx, q.GetFlagKey(), q.GetContext(), flagv1.ValueType_VALUE_TYPE_OBJECT)
	if err != nil {
		return nil, err
	}
	return &flagdv1.ResolveObjectResponse{Value: r.value().Proto, Reason: string(r.reason), Variant: r.name(), Metadata: r.metadata}, nil
}

// ResolveAll implements the service.
func (s *flagdServiceV1) ResolveAll(ctx context.Context, q *flagdv1.ResolveAllRequest) (*flagdv1.ResolveAllResponse, error) {
	env, err := s.evaluation.called(ctx, "")
	if err != nil {
		return nil, err
	}
	snap, err := env.snapshot()
	if err != nil {
		return nil, err
	}
	who := credentialOf(ctx)
	right, err := who.right(env, snap, time.Now())
	if err != nil {
		return nil, err
	}
	subject := s.evaluation.flagdContext(q.GetContext())
	flags := snap.Eval().Flags()
	all := make(map[string]*flagdv1.AnyFlag, len(flags))
	var counted reasonTally
	sampled := env.sampledAll(snap, right, "", &subject)
	for i, f := range flags {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !right.Sees(f) {
			continue
		}
		r := right.Shown(f.Key(), snap.Eval().EvaluateFlag(f, &subject))
		counted.add(string(r.Reason))
		sampled.Saw(r.Flag, &subject)
		if r.Reason == eval.ReasonError {
			continue
		}
		resolved := env.resolution(r)
		if resolved.known(nil) == nil {
			env.counted(&r, &subject)
			all[f.Key()] = anyFlag(&resolved)
		}
	}
	sampled.Noted()
	env.answers.addAll(&counted)
	return &flagdv1.ResolveAllResponse{Flags: all, Metadata: env.metadata}, nil
}

// anyFlag makes the form that an answer has beside others. A disabled flag that serves
// nothing has no value.
func anyFlag(r *resolution) *flagdv1.AnyFlag {
	f := &flagdv1.AnyFlag{Reason: string(r.reason), Variant: r.name(), Metadata: r.metadata}
	switch v := r.value(); v.Type {
	case flagv1.ValueType_VALUE_TYPE_BOOLEAN:
		f.Value = &flagdv1.AnyFlag_BoolValue{BoolValue: v.Bool}
	case flagv1.ValueType_VALUE_TYPE_STRING:
		f.Value = &flagdv1.AnyFlag_StringValue{StringValue: v.String}
	case flagv1.ValueType_VALUE_TYPE_INTEGER, flagv1.ValueType_VALUE_TYPE_DOUBLE:
		f.Value = &flagdv1.AnyFlag_DoubleValue{DoubleValue: double(v)}
	case flagv1.ValueType_VALUE_TYPE_OBJECT:
		f.Value = &flagdv1.AnyFlag_ObjectValue{ObjectValue: v.Proto}
	}
	return f
}

// EventStream implements the service.
func (s *flagdServiceV1) EventStream(_ *flagdv1.EventStreamRequest, stream grpc.ServerStreamingServer[flagdv1.EventStreamResponse]) error {
	return s.evaluation.flagdEvents(stream.Context(), func(e flagdEvent) error {
		return stream.Send(&flagdv1.EventStreamResponse{Type: e.kind, Data: e.data})
	})
}
