package server

import (
	channelzv1 "google.golang.org/grpc/channelz/grpc_channelz_v1"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/identity"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
)

// demand is one thing that whoever calls must be allowed.
type demand struct {
	identity.Permission
	identity.Scope
}

// rule says who may call a method.
type rule struct {
	// public: anybody. byKey: who presents a key of the environment, at which the service
	// looks itself, as it changes while a call lasts.
	public, byKey bool
	// servers: the other servers of the cluster, too.
	servers bool
	// perKey: what is told is looked at key by key, by what whoever calls was granted when they
	// did; a stream ends when that changes.
	perKey bool
	// demands of a request; nil: whoever is somebody may call.
	demands func(proto.Message) []demand
	// requested is what it takes of all that the change request names which a request names; 0:
	// the request is of none.
	requested identity.Permission
	// rollout is what it takes of the rollout that a request names, and of its flag; nil: the
	// request is of none.
	rollout *rolloutRule
}

// permissions is the one table of who may call what. A method that is not in it cannot be
// called; a test has it complete.
var permissions = map[string]rule{
	controlv1.FlagService_ListFlags_FullMethodName:         reads(ofList),
	controlv1.FlagService_GetFlag_FullMethodName:           reads(ofFlagKey),
	controlv1.FlagService_CreateFlag_FullMethodName:        writes(ofFlag),
	controlv1.FlagService_UpdateFlag_FullMethodName:        writes(ofFlag),
	controlv1.FlagService_DeleteFlag_FullMethodName:        writes(ofFlagKey),
	controlv1.FlagService_SetEnabled_FullMethodName:        writes(ofFlagKey),
	controlv1.FlagService_PromoteFlag_FullMethodName:       {demands: promotedFlag},
	controlv1.FlagService_ListFlagHistory_FullMethodName:   reads(ofFlagKey),
	controlv1.FlagService_RestoreFlag_FullMethodName:       writes(ofFlagKey),
	controlv1.FlagService_Apply_FullMethodName:             {demands: applied},
	controlv1.FlagService_ListStaleFlags_FullMethodName:    reads(ofList),
	controlv1.FlagService_ExplainEvaluation_FullMethodName: reads(ofExplained),
	controlv1.FlagService_PreviewChange_FullMethodName:     {demands: applied},

	controlv1.SegmentService_ListSegments_FullMethodName:       reads(ofList),
	controlv1.SegmentService_GetSegment_FullMethodName:         reads(ofSegmentKey),
	controlv1.SegmentService_CreateSegment_FullMethodName:      writes(ofSegment),
	controlv1.SegmentService_UpdateSegment_FullMethodName:      writes(ofSegment),
	controlv1.SegmentService_DeleteSegment_FullMethodName:      writes(ofSegmentKey),
	controlv1.SegmentService_ListSegmentHistory_FullMethodName: reads(ofSegmentKey),
	controlv1.SegmentService_RestoreSegment_FullMethodName:     writes(ofSegmentKey),

	controlv1.RolloutService_StartRollout_FullMethodName:       {demands: startedRollout},
	controlv1.RolloutService_GetRollout_FullMethodName:         serversToo(readsRollout),
	controlv1.RolloutService_ListRollouts_FullMethodName:       reads(ofList),
	controlv1.RolloutService_WatchRollout_FullMethodName:       readsRollout,
	controlv1.RolloutService_GetRolloutSeries_FullMethodName:   serversToo(readsRollout),
	controlv1.RolloutService_PauseRollout_FullMethodName:       stopsRollout,
	controlv1.RolloutService_ResumeRollout_FullMethodName:      widensRollout,
	controlv1.RolloutService_PromoteRollout_FullMethodName:     widensRollout,
	controlv1.RolloutService_AbortRollout_FullMethodName:       stopsRollout,
	controlv1.RolloutService_DeleteRollout_FullMethodName:      widensRollout,
	controlv1.RolloutService_ListRolloutHistory_FullMethodName: readsRollout,
	controlv1.RolloutService_ListDecisions_FullMethodName:      readsRollout,
	controlv1.RolloutService_GetDecision_FullMethodName:        readsRollout,

	controlv1.EnvironmentService_ListEnvironments_FullMethodName:       needs(identity.Read, identity.Anywhere),
	controlv1.EnvironmentService_GetEnvironment_FullMethodName:         reads(ofEnvironment),
	controlv1.EnvironmentService_UpdateEnvironment_FullMethodName:      administers(ofEnvironment),
	controlv1.EnvironmentService_ListEnvironmentHistory_FullMethodName: reads(ofEnvironment),
	controlv1.EnvironmentService_RestoreEnvironment_FullMethodName:     operates(ofEnvironment),
	controlv1.EnvironmentService_CreateEnvironment_FullMethodName:      needs(identity.Administer, identity.Everywhere),
	controlv1.EnvironmentService_CompareEnvironments_FullMethodName:    {demands: compared},
	controlv1.EnvironmentService_PromoteEnvironment_FullMethodName:     {demands: promotedEnvironment},

	controlv1.FreezeService_Freeze_FullMethodName:    {demands: frozenEnvironments},
	controlv1.FreezeService_Lift_FullMethodName:      {demands: frozenEnvironments},
	controlv1.FreezeService_GetFreeze_FullMethodName: needs(identity.Read, identity.Anywhere),

	controlv1.ChangeRequestService_ProposeChangeRequest_FullMethodName:     {demands: proposed},
	controlv1.ChangeRequestService_GetChangeRequest_FullMethodName:         {requested: identity.Read},
	controlv1.ChangeRequestService_ListChangeRequests_FullMethodName:       reads(ofList),
	controlv1.ChangeRequestService_ApproveChangeRequest_FullMethodName:     {requested: identity.Write},
	controlv1.ChangeRequestService_RejectChangeRequest_FullMethodName:      {requested: identity.Write},
	controlv1.ChangeRequestService_WithdrawChangeRequest_FullMethodName:    {requested: identity.Write},
	controlv1.ChangeRequestService_ApplyChangeRequest_FullMethodName:       {requested: identity.Write},
	controlv1.ChangeRequestService_ListChangeRequestHistory_FullMethodName: {requested: identity.Read},

	controlv1.AuditService_ListEntries_FullMethodName:  {demands: readTrail},
	controlv1.AuditService_WatchEntries_FullMethodName: {demands: readTrail, perKey: true},
	controlv1.AuditService_GetTrailHead_FullMethodName: {demands: readTrail},
	controlv1.AuditService_ExportTrail_FullMethodName:  {demands: exportTrail},

	controlv1.WatchService_Watch_FullMethodName: {demands: watched, perKey: true, rollout: readsRollout.rollout},

	controlv1.FleetService_ListRelays_FullMethodName:    reads(ofEnvironment),
	controlv1.FleetService_WatchRelays_FullMethodName:   serversToo(reads(ofEnvironment)),
	controlv1.FleetService_WaitApplied_FullMethodName:   reads(ofEnvironment),
	controlv1.FleetService_ForgetRelay_FullMethodName:   needs(identity.Operate, identity.Everywhere),
	controlv1.FleetService_PreviewRelays_FullMethodName: serversToo(needs(identity.Administer, identity.Everywhere)),

	controlv1.KeyService_ListKeys_FullMethodName:       administers(ofEnvironment),
	controlv1.KeyService_GetKey_FullMethodName:         needs(identity.Administer, identity.Everywhere),
	controlv1.KeyService_CreateKey_FullMethodName:      {demands: createdKey},
	controlv1.KeyService_UpdateKey_FullMethodName:      needs(identity.Administer, identity.Everywhere),
	controlv1.KeyService_RotateKey_FullMethodName:      needs(identity.Administer, identity.Everywhere),
	controlv1.KeyService_RevokeKey_FullMethodName:      needs(identity.Administer, identity.Everywhere),
	controlv1.KeyService_ListKeyHistory_FullMethodName: administers(ofEnvironment),

	controlv1.IdentityService_WhoAmI_FullMethodName:              {},
	controlv1.IdentityService_SetPassword_FullMethodName:         {}, // which looks whose it is
	controlv1.IdentityService_ListIdentities_FullMethodName:      needs(identity.Administer, identity.Everywhere),
	controlv1.IdentityService_GetIdentity_FullMethodName:         needs(identity.Administer, identity.Everywhere),
	controlv1.IdentityService_CreateIdentity_FullMethodName:      needs(identity.Administer, identity.Everywhere),
	controlv1.IdentityService_UpdateIdentity_FullMethodName:      needs(identity.Administer, identity.Everywhere),
	controlv1.IdentityService_DeleteIdentity_FullMethodName:      needs(identity.Administer, identity.Everywhere),
	controlv1.IdentityService_RotateSecret_FullMethodName:        needs(identity.Administer, identity.Everywhere),
	controlv1.IdentityService_ListIdentityHistory_FullMethodName: needs(identity.Administer, identity.Everywhere),

	controlv1.SessionService_ListLoginMethods_FullMethodName: {public: true},
	controlv1.SessionService_Login_FullMethodName:            {public: true},
	controlv1.SessionService_RedeemCode_FullMethodName:       {public: true},
	controlv1.SessionService_Logout_FullMethodName:           {},
	controlv1.SessionService_LogoutEverywhere_FullMethodName: {}, // which looks whose they are
	controlv1.SessionService_ListSessions_FullMethodName:     {}, // as well

	controlv1.NotificationService_ListNotificationTargets_FullMethodName: needs(identity.Read, identity.Anywhere),
	controlv1.NotificationService_ListNotifications_FullMethodName:       serversToo(needs(identity.Read, identity.Everywhere)),
	controlv1.NotificationService_GetNotification_FullMethodName:         serversToo(needs(identity.Read, identity.Everywhere)),
	controlv1.NotificationService_RedeliverNotification_FullMethodName:   needs(identity.Operate, identity.Everywhere),
	controlv1.NotificationService_DiscardNotification_FullMethodName:     needs(identity.Operate, identity.Everywhere),
	controlv1.NotificationService_TestNotificationTarget_FullMethodName:  needs(identity.Operate, identity.Everywhere),

	controlv1.EpochService_GetEpoch_FullMethodName:   needs(identity.Read, identity.Anywhere),
	controlv1.EpochService_BeginEpoch_FullMethodName: needs(identity.Administer, identity.Everywhere),

	controlv1.BackupService_StreamBackup_FullMethodName: needs(identity.Administer, identity.Everywhere),

	syncv1.SyncService_Stream_FullMethodName:         {byKey: true},
	telemetryv1.CollectorService_Push_FullMethodName: {byKey: true},

	healthv1.Health_Check_FullMethodName:                                   {public: true},
	healthv1.Health_List_FullMethodName:                                    {public: true},
	healthv1.Health_Watch_FullMethodName:                                   {public: true},
	reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName:      {public: true},
	reflectionv1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: {public: true},
	channelzv1.Channelz_GetTopChannels_FullMethodName:                      needs(identity.Administer, identity.Everywhere),
	channelzv1.Channelz_GetServers_FullMethodName:                          needs(identity.Administer, identity.Everywhere),
	channelzv1.Channelz_GetServer_FullMethodName:                           needs(identity.Administer, identity.Everywhere),
	channelzv1.Channelz_GetServerSockets_FullMethodName:                    needs(identity.Administer, identity.Everywhere),
	channelzv1.Channelz_GetChannel_FullMethodName:                          needs(identity.Administer, identity.Everywhere),
	channelzv1.Channelz_GetSubchannel_FullMethodName:                       needs(identity.Administer, identity.Everywhere),
	channelzv1.Channelz_GetSocket_FullMethodName:                           needs(identity.Administer, identity.Everywhere),
}
