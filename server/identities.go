package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/lastuse"
	"github.com/tidegate/tidegate/controlplane/session"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// firstAdministrator is the identity that a store without any gets.
const firstAdministrator = "administrator"

// openDirectory reads the identities, and makes the first one.
func (s *Server) openDirectory(ctx context.Context) (err error) {
	if s.directory, err = identity.Open(ctx, identity.Options{Store: s.store, Logger: s.logger}); err != nil {
		return fmt.Errorf("load the identities: %w", err)
	}
	s.sessions, err = session.Open(ctx, session.Options{
		Store: s.store, Directory: s.directory, Idle: s.options.SessionIdle, Last: s.options.SessionLast, Logger: s.logger,
	})
	if err != nil {
		return fmt.Errorf("load the sessions: %w", err)
	}
	switch {
	case s.options.ResetAdministrator:
		s.firstSecret, err = s.resetAdministrator(ctx)
	case !s.options.Open && s.directory.Empty():
		s.firstSecret, err = s.makeAdministrator(ctx, "the first start")
		var exists *controlplane.ExistsError
		if errors.As(err, &exists) {
			err = nil // another server was first
		}
	}
	if err != nil {
		return err
	}
	return s.directory.Load(ctx) // with who was made: whoever has the secret may use it at once
}

// FirstSecret is the secret of the administrator that Open made or reset; empty: none. It is
// nowhere else.
func (s *Server) FirstSecret() string { return s.firstSecret }

// itself is who makes what a server makes by itself.
func (s *Server) itself() controlplane.Caller {
	return controlplane.Caller{Actor: "server " + s.options.InstanceID}
}

func (s *Server) makeAdministrator(ctx context.Context, reason string) (secret string, err error) {
	made, err := s.authority.CreateIdentity(ctx, s.itself(), &controlv1.CreateIdentityRequest{Reason: reason, Identity: &accessv1.Identity{
		Kind: accessv1.IdentityKind_IDENTITY_KIND_SERVICE, Name: firstAdministrator,
		Grants: []*accessv1.Grant{{Role: accessv1.Role_ROLE_ADMINISTRATOR}},
	}})
	return made.GetSecret(), err
}

func (s *Server) resetAdministrator(ctx context.Context) (secret string, err error) {
	const reason = "reset by who started the server"
	held, err := s.authority.GetIdentity(ctx, &controlv1.GetIdentityRequest{Identity: firstAdministrator})
	var missing *controlplane.NotFoundError
	if errors.As(err, &missing) {
		return s.makeAdministrator(ctx, reason)
	}
	if err != nil {
		return "", err
	}
	next := held.GetIdentity().GetIdentity()
	next.Disabled, next.ExpiresAt, next.Grants = false, nil, []*accessv1.Grant{{Role: accessv1.Role_ROLE_ADMINISTRATOR}}
	updated, err := s.authority.UpdateIdentity(ctx, s.itself(), &controlv1.UpdateIdentityRequest{
		Identity: next, BaseRevision: held.GetIdentity().GetRevision(), Reason: reason,
	})
	if err != nil {
		return "", err
	}
	rotated, err := s.authority.RotateSecret(ctx, s.itself(), &controlv1.RotateSecretRequest{
		Id: next.GetId(), BaseRevision: updated.GetIdentity().GetRevision(), Overlap: durationpb.New(0), Reason: reason,
	})
	return rotated.GetSecret(), err
}

type identityService struct {
	controlv1.UnimplementedIdentityServiceServer
	authority *controlplane.Authority
	directory *identity.Directory
	attempts  *attempts
	uses      *lastuse.Recorder
}

// noticed is for how long a write waits until this server knows of it by itself.
const noticed = 2 * time.Second

// settle has what was written hold here before it is answered, where that does not take long:
// who made an identity can use it at once, and who is cut off is.
func (s identityService) settle(ctx context.Context, id string, entry *controlv1.AuditEntry) {
	if entry == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noticed)
	defer cancel()
	s.directory.Await(ctx, id, entry.GetRevision(), entry.GetAction() == controlv1.Action_ACTION_DELETED)
}

func (s identityService) WhoAmI(ctx context.Context, _ *controlv1.WhoAmIRequest) (*controlv1.WhoAmIResponse, error) {
	c, asked := callerIn(ctx)
	if !asked {
		return &controlv1.WhoAmIResponse{}, nil
	}
	held, err := s.authority.GetIdentity(ctx, &controlv1.GetIdentityRequest{Identity: c.GetId()})
	if err != nil {
		return nil, err
	}
	return &controlv1.WhoAmIResponse{Identity: held.GetIdentity(), Proof: string(c.proof)}, nil
}

func (s identityService) ListIdentities(ctx context.Context, r *controlv1.ListIdentitiesRequest) (*controlv1.ListIdentitiesResponse, error) {
	resp, err := s.authority.ListIdentities(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp, tellUses(ctx, s.uses, resp.GetIdentities(), identityUsed)
}

func (s identityService) GetIdentity(ctx context.Context, r *controlv1.GetIdentityRequest) (*controlv1.GetIdentityResponse, error) {
	resp, err := s.authority.GetIdentity(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp, tellUses(ctx, s.uses, []*controlv1.IdentityVersion{resp.GetIdentity()}, identityUsed)
}

func (s identityService) CreateIdentity(ctx context.Context, r *controlv1.CreateIdentityRequest) (*controlv1.CreateIdentityResponse, error) {
	resp, err := s.authority.CreateIdentity(ctx, callerOf(ctx), r)
	s.settle(ctx, resp.GetIdentity().GetIdentity().GetId(), resp.GetEntry())
	return resp, err
}

func (s identityService) UpdateIdentity(ctx context.Context, r *controlv1.UpdateIdentityRequest) (*controlv1.UpdateIdentityResponse, error) {
	resp, err := s.authority.UpdateIdentity(ctx, callerOf(ctx), r)
	s.settle(ctx, r.GetIdentity().GetId(), resp.GetEntry())
	return resp, err
}

func (s identityService) DeleteIdentity(ctx context.Context, r *controlv1.DeleteIdentityRequest) (*controlv1.DeleteIdentityResponse, error) {
	resp, err := s.authority.DeleteIdentity(ctx, callerOf(ctx), r)
	s.settle(ctx, r.GetId(), resp.GetEntry())
	return resp, err
}

func (s identityService) RotateSecret(ctx context.Context, r *controlv1.RotateSecretRequest) (*controlv1.RotateSecretResponse, error) {
	resp, err := s.authority.RotateSecret(ctx, callerOf(ctx), r)
	s.settle(ctx, r.GetId(), resp.GetEntry())
	return resp, err
}

// SetPassword is everybody's own, and an administrator's of others.
func (s identityService) SetPassword(ctx context.Context, r *controlv1.SetPasswordRequest) (*controlv1.SetPasswordResponse, error) {
	if c, asked := callerIn(ctx); asked && !identity.Allows(c.Identity, identity.Administer, identity.Scope{}) {
		switch {
		case c.GetId() != r.GetId():
			return nil, status.Errorf(codes.PermissionDenied, "%s may set their own password, of identity %s, and nobody else's", c.GetName(), c.GetId())
		case r.GetOldPassword() == "":
			return nil, status.Error(codes.InvalidArgument, "old_password: is required of who is no administrator")
		}
		if err := s.attempts.take(c.GetName(), originOf(ctx).peer); err != nil {
			return nil, err // else a session that was stolen could try passwords
		}
	}
	resp, err := s.authority.SetPassword(ctx, callerOf(ctx), r)
	s.settle(ctx, r.GetId(), resp.GetEntry())
	return resp, err
}

func (s identityService) ListIdentityHistory(ctx context.Context, r *controlv1.ListIdentityHistoryRequest) (*controlv1.ListIdentityHistoryResponse, error) {
	return s.authority.ListIdentityHistory(ctx, r)
}
