package relay

import (
	"context"
	"time"

	channelzv1 "google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	flagdv1 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v1"
	flagdv2 "github.com/tidegate/tidegate/gen/go/flagd/evaluation/v2"
	flagdsyncv1 "github.com/tidegate/tidegate/gen/go/flagd/sync/v1"
	evaluationv1 "github.com/tidegate/tidegate/gen/go/tidegate/evaluation/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/rpc"
)

// permission says who may call a method, or ask for a route.
type permission uint8

const (
	// nobody may, which is what goes for whatever the tables do not have.
	nobody permission = iota
	// anybody may, also who presents nothing.
	anybody
	// evaluates: whose key opens the environment that the request names. What it is told is
	// what its key's role and prefixes see.
	evaluates
	// follows: whose key also opens the rules: of a relay or an SDK in a service.
	follows
	// relays: whose key is a relay's.
	relays
	// inspects: whose key follows any environment.
	inspects
)

// permissions is the one table of who may call what over gRPC, and over HTTP with JSON. A method
// that is not in it cannot be called; a test has it complete. Where keys decide, and the request
// or the time says which, the services look themselves; the tests call each of them as each role.
var permissions = map[string]permission{
	evaluationv1.EvaluationService_Evaluate_FullMethodName:       evaluates,
	evaluationv1.EvaluationService_EvaluateAll_FullMethodName:    evaluates,
	evaluationv1.EvaluationService_EvaluateStream_FullMethodName: evaluates,
	evaluationv1.EvaluationService_Watch_FullMethodName:          evaluates,

	flagdv1.Service_ResolveAll_FullMethodName:     evaluates,
	flagdv1.Service_ResolveBoolean_FullMethodName: evaluates,
	flagdv1.Service_ResolveString_FullMethodName:  evaluates,
	flagdv1.Service_ResolveFloat_FullMethodName:   evaluates,
	flagdv1.Service_ResolveInt_FullMethodName:     evaluates,
	flagdv1.Service_ResolveObject_FullMethodName:  evaluates,
	flagdv1.Service_EventStream_FullMethodName:    evaluates,
	flagdv2.Service_ResolveBoolean_FullMethodName: evaluates,
	flagdv2.Service_ResolveString_FullMethodName:  evaluates,
	flagdv2.Service_ResolveFloat_FullMethodName:   evaluates,
	flagdv2.Service_ResolveInt_FullMethodName:     evaluates,
	flagdv2.Service_ResolveObject_FullMethodName:  evaluates,
	flagdv2.Service_EventStream_FullMethodName:    evaluates,

	flagdsyncv1.FlagSyncService_SyncFlags_FullMethodName:     follows,
	flagdsyncv1.FlagSyncService_FetchAllFlags_FullMethodName: follows,
	flagdsyncv1.FlagSyncService_GetMetadata_FullMethodName:   follows,
	syncv1.SyncService_Stream_FullMethodName:                 follows,

	telemetryv1.TelemetryService_Track_FullMethodName:                 evaluates,
	telemetryv1.TelemetryService_Report_FullMethodName:                follows,
	telemetryv1.CollectorService_Push_FullMethodName:                  relays,
	"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": evaluates,

	healthv1.Health_Check_FullMethodName:                                   anybody,
	healthv1.Health_List_FullMethodName:                                    anybody,
	healthv1.Health_Watch_FullMethodName:                                   anybody,
	reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName:      anybody,
	reflectionv1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: anybody,
	channelzv1.Channelz_GetTopChannels_FullMethodName:                      inspects,
	channelzv1.Channelz_GetServers_FullMethodName:                          inspects,
	channelzv1.Channelz_GetServer_FullMethodName:                           inspects,
	channelzv1.Channelz_GetServerSockets_FullMethodName:                    inspects,
	channelzv1.Channelz_GetChannel_FullMethodName:                          inspects,
	channelzv1.Channelz_GetSubchannel_FullMethodName:                       inspects,
	channelzv1.Channelz_GetSocket_FullMethodName:                           inspects,
}

// authorize is [rpc.Options.Authorize]. What is called directly goes without.
func (s *evaluationService) authorize(ctx context.Context, call rpc.Call) (context.Context, error) {
	switch permissions[call.Method] {
	case nobody:
		return ctx, status.Errorf(codes.PermissionDenied, "%s is not for anybody: it has no permission", call.Method)
	case inspects:
		return ctx, s.followsAny(ctx)
	}
	return ctx, nil
}

// followsAny says why who calls may follow no environment; nil: they may one. Where no keys are
// required, nor is one here.
func (s *evaluationService) followsAny(ctx context.Context) error {
	key, err := accesskey.FromContext(ctx, s.requireKeys)
	if key == nil {
		return err
	}
	denied := status.Error(codes.PermissionDenied, "there is no state here yet to look the key up in")
	for _, e := range s.environments {
		snap := e.replica.Snapshot()
		if snap == nil {
			continue
		}
		d := key.Opens(snap, time.Now(), accesskey.Follow)
		if d == nil {
			return nil
		}
		denied = d.Status()
	}
	return denied
}
