package server

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/session"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
)

// errLogin is all that is told of why somebody may not log in: whoever guesses names must not
// learn which there are.
var errLogin = status.Error(codes.Unauthenticated, identity.ErrPassword.Error())

// maxPassword is more than any password's length in bytes.
const maxPassword = 2 << 10

// logins begins sessions of people who prove who they are.
type logins struct {
	directory *identity.Directory
	sessions  *session.Sessions
	attempts  *attempts
	logger    zerolog.Logger
}

// origin is where a login comes from.
type origin struct{ userAgent, peer string }

// password begins a session of whoever knows a name's password. The same work is done for every
// name. A name that is nobody's is not logged: it may be a password in the wrong place.
func (l *logins) password(ctx context.Context, name, password string, from origin) (token string, began *accessv1.Session, err error) {
	if name == "" || password == "" || len(password) > maxPassword {
		return "", nil, status.Error(codes.InvalidArgument, "name and password are required")
	}
	name = strings.ToLower(strings.TrimSpace(name))
	if err := l.attempts.take(name, from.peer); err != nil {
		return "", nil, err
	}
	who, unusable := l.directory.ByName(name)
	hash := ""
	if unusable == nil && who.GetKind() == accessv1.IdentityKind_IDENTITY_KIND_PERSON {
		hash = who.GetPasswordHash()
	}
	err = identity.CheckPassword(ctx, hash, password)
	switch {
	case errors.Is(err, identity.ErrPassword):
		l.logger.Info().Str("name", who.GetName()).AnErr("identity", unusable).Str("peer", from.peer).Msg("login refused")
		return "", nil, errLogin
	case err != nil:
		return "", nil, err
	}
	return l.begin(ctx, session.Login{Who: who, Proof: session.ByPassword, UserAgent: from.userAgent, Peer: from.peer})
}

func (l *logins) begin(ctx context.Context, login session.Login) (token string, began *accessv1.Session, err error) {
	token, began, err = l.sessions.Begin(ctx, login)
	if err != nil {
		return "", nil, storeFailed(err)
	}
	l.logger.Info().Str("name", login.Who.GetName()).Str("by", login.Proof).Str("session", began.GetId()).Str("peer", login.Peer).Msg("login")
	return token, began, nil
}

// storeFailed is what becomes of a call for which the store did not do something.
func storeFailed(err error) error {
	return status.Error(codes.Unavailable, err.Error())
}

// hostOf is an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
