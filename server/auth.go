package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// authPages are how browsers log in and out: what SessionService does, with the token in a
// cookie.
type authPages struct {
	logins  *logins
	methods *controlv1.ListLoginMethodsResponse
	openID  openIDPages
	// timeout bounds a login, the reading of its request included.
	timeout time.Duration
}

const (
	maxLoginBody = 8 << 10
	authTimeout  = 10 * time.Second
)

// page is a page of logging in or out, which has little time.
func (p authPages) page(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A writer that cannot set a deadline is one of a test.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(p.timeout))
		ctx, cancel := context.WithTimeout(r.Context(), p.timeout)
		defer cancel()
		w.Header().Set("Cache-Control", "no-store")
		if err := serve(w, r.WithContext(ctx)); err != nil {
			p.refuse(w, err)
		}
	})
}

// loginMethods is the body of /auth/methods.
type loginMethods struct {
	Password bool `json:"password"`
	// OpenID is where a browser goes to log in through the provider; empty: there is none.
	OpenID string `json:"openid,omitempty"`
	Issuer string `json:"issuer,omitempty"`
	Open   bool   `json:"open"`
}

func (p authPages) serveMethods(w http.ResponseWriter, _ *http.Request) error {
	m := loginMethods{Password: p.methods.GetPassword(), Issuer: p.methods.GetOpenidIssuer(), Open: p.methods.GetOpen()}
	if m.Issuer != "" {
		m.OpenID = openIDLogin
	}
	return writeJSON(w, http.StatusOK, m)
}

// loggedIn is the body of an answer to /auth/login.
type loggedIn struct {
	Name      string    `json:"name"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (p authPages) serveLogin(w http.ResponseWriter, r *http.Request) error {
	var body struct{ Name, Password string }
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	token, began, err := p.logins.password(r.Context(), body.Name, body.Password, originOfRequest(r))
	if err != nil {
		return err
	}
	who, _ := p.logins.directory.Get(began.GetIdentityId())
	setSession(w, token, began)
	return writeJSON(w, http.StatusOK, loggedIn{who.GetName(), began.GetExpiresAt().AsTime()})
}

func originOfRequest(r *http.Request) origin { return origin{r.UserAgent(), hostOf(r.RemoteAddr)} }

// serveLogout ends the session of the cookie, and has the browser forget it, whatever it is.
func (p authPages) serveLogout(w http.ResponseWriter, r *http.Request) error {
	if token := sessionIn(r); token != "" {
		if !sameOrigin(r) {
			return status.Error(codes.PermissionDenied, "a session's cookie is taken from pages of this server alone")
		}
		hash, err := accesskey.ParseSession(token)
		if err != nil {
			return err
		}
		if err := p.logins.sessions.End(r.Context(), hash); err != nil {
			return storeFailed(err)
		}
	}
	forgetSession(w)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// readJSON reads a small body. That it must say that it is JSON keeps forms of other sites out.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return status.Error(codes.InvalidArgument, "want Content-Type: application/json")
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxLoginBody))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil && decoder.Decode(new(any)) != io.EOF {
		err = errors.New("there is more than one")
	}
	if err != nil { // which quotes field names alone
		return status.Error(codes.InvalidArgument, `want a JSON object of at most 8 KiB, with "name" and "password"`)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, code int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // the caller went away
	return nil
}

// httpCodes are how HTTP tells what a login fails with: the status, and the code's name as the
// services tell it there.
var httpCodes = map[codes.Code]struct {
	status int
	name   string
}{
	codes.InvalidArgument:  {http.StatusBadRequest, "invalid_argument"},
	codes.Unauthenticated:  {http.StatusUnauthorized, "unauthenticated"},
	codes.PermissionDenied: {http.StatusForbidden, "permission_denied"},
	codes.NotFound:         {http.StatusNotFound, "not_found"},

	codes.FailedPrecondition: {http.StatusPreconditionFailed, "failed_precondition"},
	codes.ResourceExhausted:  {http.StatusTooManyRequests, "resource_exhausted"},
	codes.Unavailable:        {http.StatusServiceUnavailable, "unavailable"},
	codes.Internal:           {http.StatusInternalServerError, "internal"},
}

// refuse tells why a request was not done, as the services do over HTTP.
func (p authPages) refuse(w http.ResponseWriter, err error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = status.Error(codes.Unavailable, "no answer in time; try again")
	}
	told, ok := status.FromError(err)
	if _, known := httpCodes[told.Code()]; !ok || !known {
		p.logins.logger.Error().Err(err).Msg("unexpected error of a login")
		told = status.New(codes.Internal, "internal error; the server's log says more")
	}
	code := httpCodes[told.Code()]
	_ = writeJSON(w, code.status, struct { // nothing is left to be told
		Code    string `json:"code"`
		Message string `json:"message"`
	}{code.name, told.Message()})
}
