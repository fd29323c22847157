package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/session"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/rpc"
)

type sessionService struct {
	controlv1.UnimplementedSessionServiceServer
	authority  *controlplane.Authority
	logins     *logins
	identities identityService
	// methods are the ways to log in.
	methods *controlv1.ListLoginMethodsResponse
}

func (s sessionService) ListLoginMethods(context.Context, *controlv1.ListLoginMethodsRequest) (*controlv1.ListLoginMethodsResponse, error) {
	return s.methods, nil
}

func (s sessionService) Login(ctx context.Context, r *controlv1.LoginRequest) (*controlv1.LoginResponse, error) {
	token, began, err := s.logins.password(ctx, r.GetName(), r.GetPassword(), originOf(ctx))
	if err != nil {
		return nil, err
	}
	return &controlv1.LoginResponse{Token: token, Session: began}, nil
}

// originOf is where a call comes from.
func originOf(ctx context.Context) origin {
	o := origin{peer: hostOf(rpc.CallerFrom(ctx).Peer)}
	if agent := metadata.ValueFromIncomingContext(ctx, "user-agent"); len(agent) > 0 {
		o.userAgent = agent[0]
	}
	return o
}

func (s sessionService) RedeemCode(ctx context.Context, r *controlv1.RedeemCodeRequest) (*controlv1.RedeemCodeResponse, error) {
	if r.GetCode() == "" || r.GetVerifier() == "" {
		return nil, status.Error(codes.InvalidArgument, "code and verifier are required")
	}
	token, began, err := s.logins.sessions.Redeem(ctx, r.GetCode(), r.GetVerifier())
	switch {
	case errors.Is(err, session.ErrCode):
		return nil, status.Error(codes.Unauthenticated, err.Error())
	case err != nil:
		return nil, storeFailed(err)
	}
	return &controlv1.RedeemCodeResponse{Token: token, Session: began}, nil
}

func (s sessionService) Logout(ctx context.Context, _ *controlv1.LogoutRequest) (*controlv1.LogoutResponse, error) {
	c, _ := callerIn(ctx)
	if c.session == "" {
		return nil, status.Error(codes.FailedPrecondition, "nothing to log out of: what was presented is no session")
	}
	if err := s.logins.sessions.End(ctx, c.session); err != nil {
		return nil, storeFailed(err)
	}
	return &controlv1.LogoutResponse{}, nil
}

// LogoutEverywhere is of whoever calls, or an administrator's of others.
func (s sessionService) LogoutEverywhere(ctx context.Context, r *controlv1.LogoutEverywhereRequest) (*controlv1.LogoutEverywhereResponse, error) {
	id, err := ownOr(ctx, r.GetIdentityId())
	if err != nil {
		return nil, err
	}
	told := &controlv1.LogoutEverywhereRequest{IdentityId: id, Reason: r.GetReason(), RequestId: r.GetRequestId()}
	if told.GetReason() == "" && r.GetIdentityId() == "" {
		told.Reason = "logged out everywhere"
	}
	resp, err := s.authority.LogoutEverywhere(ctx, callerOf(ctx), told)
	s.identities.settle(ctx, id, resp.GetEntry())
	return resp, err
}

func (s sessionService) ListSessions(ctx context.Context, r *controlv1.ListSessionsRequest) (*controlv1.ListSessionsResponse, error) {
	id, err := ownOr(ctx, r.GetIdentityId())
	if err != nil {
		return nil, err
	}
	c, _ := callerIn(ctx)
	resp := &controlv1.ListSessionsResponse{}
	for _, held := range s.logins.sessions.List(id) {
		resp.Sessions = append(resp.Sessions, s.state(held, c))
	}
	return resp, nil
}

func (s sessionService) state(held *accessv1.Session, c caller) *controlv1.SessionState {
	return &controlv1.SessionState{
		Session: held, IdleAt: timestamppb.New(s.logins.sessions.IdleAt(held)),
		Current: c.session != "" && session.ID(c.session) == held.GetId(),
	}
}

// ownOr is the id of a person: whoever calls, unless an administrator names another one.
func ownOr(ctx context.Context, id string) (string, error) {
	c, asked := callerIn(ctx)
	switch {
	case !asked && id == "":
		return "", status.Error(codes.InvalidArgument, "identity_id: is required, as this server asks nobody who they are")
	case id == "":
		return c.GetId(), nil
	case asked && id != c.GetId() && !identity.Allows(c.Identity, identity.Administer, identity.Scope{}):
		return "", status.Errorf(codes.PermissionDenied, "%s may see and end their own sessions, and nobody else's", c.GetName())
	}
	return id, nil
}
