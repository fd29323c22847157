package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/fleet"
	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/lastuse"
	"github.com/tidegate/tidegate/controlplane/session"
	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/mirror"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/rpc"
)

// guard decides who may call the control services, by the table of permissions.
type guard struct {
	directory *identity.Directory
	sessions  *session.Sessions
	fleet     *fleet.Fleet
	// settings are those of the environments.
	settings *mirror.Mirror[*controlv1.EnvironmentSettings]
	// authority knows what change requests name.
	authority *controlplane.Authority
	// uses is told who calls.
	uses *lastuse.Recorder
}

// proof is how a caller's identity was found.
type proof string

const (
	bySecret      proof = "secret"
	bySession     proof = "session"
	byCertificate proof = "certificate"
)

// caller is who calls, as found.
type caller struct {
	identity.Known
	proof proof
	// session is the hash of the session's token, if it is proven by one.
	session string
	// allows tells whether they are granted what is demanded, as they were found.
	allows func(demand) bool
	// again looks whether the proof still holds.
	again func() (identity.Known, error)
}

type callerKey struct{}

// callerIn is who makes the call of a context; ok is false where nobody is asked.
func callerIn(ctx context.Context) (c caller, ok bool) {
	c, ok = ctx.Value(callerKey{}).(caller)
	return c, ok
}

// authorize is rpc.Options.Authorize.
func (g *guard) authorize(ctx context.Context, call rpc.Call) (context.Context, error) {
	rule, there := permissions[call.Method]
	switch {
	case !there:
		return ctx, status.Errorf(codes.PermissionDenied, "%s is not for anybody: it has no permission", call.Method)
	case rule.public || rule.byKey:
		return ctx, nil
	}
	c, server, err := g.find(ctx, rule)
	switch {
	case err != nil:
		return ctx, err
	case server != "":
		rpc.Identify(ctx, "server "+server)
		return ctx, nil
	}
	rpc.Identify(ctx, c.GetName())
	g.uses.Note(c.GetId())
	if err := g.permit(ctx, c.Identity, rule, call); err != nil {
		return ctx, err
	}
	if call.Stream {
		ctx = g.whilePermitted(ctx, c, rule, call)
	}
	c.allows = func(d demand) bool { return g.allows(c.Identity, d) }
	return context.WithValue(ctx, callerKey{}, c), nil
}

// find tells who calls, by what the call presents; or which server of the cluster does, where
// the rule lets those.
func (g *guard) find(ctx context.Context, r rule) (c caller, server string, err error) {
	secret, presented, err := accesskey.Bearer(ctx)
	switch {
	case err != nil:
		return c, "", err
	case !presented:
		c, err = g.byCertificate(rpc.CertificateFrom(ctx))
		return c, "", err
	case accesskey.IsSession(secret):
		c, err = g.bySession(ctx, secret)
		return c, "", err
	}
	p, err := accesskey.Parse(secret)
	if err != nil {
		return c, "", unauthenticated(err)
	}
	if id := metadata.ValueFromIncomingContext(ctx, serverKey); r.servers && len(id) == 1 && g.fleet.IsServer(id[0], p.Matches) {
		return c, id[0], nil
	}
	c, err = proven(bySecret, func() (identity.Known, error) { return g.directory.BySecret(p) })
	return c, "", err
}

// proven is whoever a proof that can be looked at again is of.
func proven(by proof, again func() (identity.Known, error)) (caller, error) {
	known, err := again()
	if err != nil {
		return caller{}, unauthenticated(err)
	}
	return caller{Known: known, proof: by, again: again}, nil
}

// byCertificate finds who calls by what their certificate names them.
func (g *guard) byCertificate(certificate *x509.Certificate) (caller, error) {
	if certificate == nil {
		return caller{}, status.Error(codes.Unauthenticated,
			"say who you are: present a secret as 'authorization: Bearer SECRET' (tidegate login, --key-file, $TIDEGATE_KEY_FILE; 'tidegate identity create' makes one)")
	}
	names := slices.Clone(certificate.DNSNames)
	for _, u := range certificate.URIs {
		names = append(names, u.String())
	}
	return proven(byCertificate, func() (identity.Known, error) {
		if time.Now().After(certificate.NotAfter) { // a connection outlives it
			return identity.Known{}, fmt.Errorf("the certificate has %w at %s", identity.ErrExpired, certificate.NotAfter.Format(time.RFC3339))
		}
		return g.directory.ByCertificate(names)
	})
}

func (g *guard) bySession(ctx context.Context, token string) (caller, error) {
	hash, err := accesskey.ParseSession(token)
	if err != nil {
		return caller{}, unauthenticated(err)
	}
	known, err := g.sessions.Find(ctx, hash)
	switch {
	case errors.Is(err, store.ErrUnavailable):
		return caller{}, storeFailed(err)
	case err != nil:
		return caller{}, unauthenticated(err)
	}
	return caller{
		Known: known, proof: bySession, session: hash,
		again: func() (identity.Known, error) { return g.sessions.Current(hash) },
	}, nil
}

func unauthenticated(err error) error {
	return status.Errorf(codes.Unauthenticated, "authorization: %v", err)
}

// permit says why an identity may not make a call; nil: it may.
func (g *guard) permit(ctx context.Context, i *accessv1.Identity, r rule, call rpc.Call) error {
	demands, err := g.demands(ctx, r, call.Request)
	if err != nil {
		return err
	}
	for _, d := range demands {
		if err := g.grants(i, d); err != nil {
			return err
		}
	}
	if r.rollout != nil {
		return g.permitRollout(ctx, i, r.rollout, call.Request)
	}
	return nil
}

// grants says why an identity is not granted what is demanded; nil: it is.
func (g *guard) grants(i *accessv1.Identity, d demand) error {
	if g.allows(i, d) {
		return nil
	}
	where, asked := d.Scope.String(), d.Permission
	if d.Permission = d.In(g.protected(d.Environment)); d.Permission != asked {
		where += ", which is protected"
	}
	return status.Errorf(codes.PermissionDenied, "%s may not %s %s: that takes the role %s there; it has %s",
		i.GetName(), d.Permission, where, roleWord(d.Role()), grantsText(i))
}

func (g *guard) allows(i *accessv1.Identity, d demand) bool {
	d.Permission = d.In(g.protected(d.Environment))
	return identity.Allows(i, d.Permission, d.Scope)
}

// demands are those of a request.
func (g *guard) demands(ctx context.Context, r rule, request proto.Message) ([]demand, error) {
	switch {
	case r.requested != 0:
		return g.ofChangeRequest(ctx, r.requested, request)
	case r.demands != nil:
		return r.demands(request), nil
	}
	return nil, nil
}

// ofChangeRequest is each flag, segment and rollout that the change request names which a
// request names; all keys, if there is none.
func (g *guard) ofChangeRequest(ctx context.Context, p identity.Permission, request proto.Message) ([]demand, error) {
	place := ofEnvironment(request)
	r, ok := request.(interface{ GetNumber() int64 })
	if !ok {
		return []demand{{p, place}}, nil
	}
	keys, err := g.authority.ChangeRequestKeys(ctx, place.Environment, r.GetNumber())
	if err != nil {
		return nil, mapError(err)
	}
	if len(keys) == 0 {
		return []demand{{p, place}}, nil
	}
	all := make([]demand, 0, len(keys))
	for _, key := range keys {
		all = append(all, demand{p, keyed(request, key)})
	}
	return all, nil
}

// protected tells whether it takes an operator to write in an environment; in all of them, if
// it does in one.
func (g *guard) protected(environment string) bool {
	all, _ := g.settings.All()
	if environment != identity.Everywhere {
		return all[environment].Value.GetProtected()
	}
	for _, e := range all {
		if e.Value.GetProtected() {
			return true
		}
	}
	return false
}

// newSettings mirrors the settings of the environments. What cannot be read protects.
func newSettings(s store.Store, logger zerolog.Logger) *mirror.Mirror[*controlv1.EnvironmentSettings] {
	return mirror.New(mirror.Options[*controlv1.EnvironmentSettings]{
		Store: s, Prefix: controlplane.EnvironmentsRoot, Logger: logger,
		Decode: func(kv store.KV) (*controlv1.EnvironmentSettings, error) {
			settings := new(controlv1.EnvironmentSettings)
			if err := proto.Unmarshal(kv.Value, settings); err != nil {
				return &controlv1.EnvironmentSettings{Protected: true}, err
			}
			return settings, nil
		},
	})
}

// expiryEvery is how often it is looked whether who has a stream open has expired.
const expiryEvery = 5 * time.Second

// whilePermitted is a context that ends when the caller may no longer make the call.
func (g *guard) whilePermitted(ctx context.Context, c caller, r rule, call rpc.Call) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		expiry := time.NewTicker(expiryEvery)
		defer expiry.Stop()
		for {
			_, changed := g.directory.All()
			sessionsChanged := g.sessions.Changed()
			switch err := g.stillPermitted(ctx, c, r, call); {
			case status.Code(err) == codes.Unavailable: // it is not known
				cancel(err)
				return
			case errors.Is(err, errGrantsChanged):
				cancel(status.Error(codes.Unavailable, err.Error()))
				return
			case err != nil:
				cancel(status.Errorf(codes.PermissionDenied, "who opened this stream may no longer: %s", status.Convert(err).Message()))
				return
			}
			select {
			case <-changed:
			case <-sessionsChanged:
			case <-expiry.C:
			case <-ctx.Done():
				cancel(nil)
				return
			}
		}
	}()
	return ctx
}

var errGrantsChanged = errors.New("what you were granted has changed: call again")

// stillPermitted says why whoever opened a stream may no longer have it.
func (g *guard) stillPermitted(ctx context.Context, c caller, r rule, call rpc.Call) error {
	now, err := c.again()
	switch {
	case err != nil:
		return err
	case now.GetId() != c.GetId():
		return errors.New("what they presented is somebody else's now")
	case now.Revision == c.Revision:
		return nil
	}
	if err := g.permit(ctx, now.Identity, r, call); err != nil || !r.perKey {
		return err
	}
	return errGrantsChanged
}

func roleWord(r accessv1.Role) string { return strings.TrimPrefix(r.String(), "ROLE_") }

// grantsText is what an identity has, in words.
func grantsText(i *accessv1.Identity) string {
	all := make([]string, 0, len(i.GetGrants()))
	for _, g := range i.GetGrants() {
		text := roleWord(g.GetRole()) + " in "
		if names := g.GetEnvironments(); len(names) > 0 {
			text += strings.Join(names, ", ")
		} else {
			text += "all environments"
		}
		if prefixes := g.GetKeyPrefixes(); len(prefixes) > 0 {
			text += " for keys that begin with " + strings.Join(prefixes, ", ")
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
