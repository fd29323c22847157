package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/identity"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
)

// A rollout has a key of its own, and what it does it does to its flag. So it takes the right to
// both keys to read it, or to move users by it; and to stop it, which is always safe, the right to
// one of them.

// rolloutRule is what it takes of a rollout and of its flag.
type rolloutRule struct {
	identity.Permission
	// stops: the request moves nobody towards the treatment.
	stops bool
}

var (
	readsRollout  = rule{rollout: &rolloutRule{Permission: identity.Read}}
	widensRollout = rule{rollout: &rolloutRule{Permission: identity.Write}}
	stopsRollout  = rule{rollout: &rolloutRule{Permission: identity.Write, stops: true}}
)

// rolloutNamed is the key of the rollout that a request names; optional: it need not name one.
func rolloutNamed(m proto.Message) (key string, optional bool) {
	switch r := m.(type) {
	case interface{ GetRolloutKey() string }:
		return r.GetRolloutKey(), true
	case interface{ GetKey() string }:
		return r.GetKey(), false
	}
	return "", false
}

// permitRollout says why an identity may not make a call on a rollout; nil: it may, or the request
// names what no rollout can be, of which the service tells more. That there is no such rollout is
// told here, to those who may see the key: one that is started after this look is not acted on by
// whoever has no right to its flag. Of one that was found the flag never changes.
func (g *guard) permitRollout(ctx context.Context, i *accessv1.Identity, r *rolloutRule, request proto.Message) error {
	key, optional := rolloutNamed(request)
	if key == "" && optional {
		return nil
	}
	ofKey := g.grants(i, demand{r.Permission, keyed(request, key)})
	if ofKey != nil && !r.stops {
		return ofKey
	}
	flag, err := g.authority.RolloutFlag(ctx, ofEnvironment(request).Environment, key)
	switch invalid := new(controlplane.InvalidError); {
	case ofKey != nil && err == nil && g.allows(i, demand{r.Permission, keyed(request, flag)}):
		return nil // it stops what moves a flag of theirs
	case ofKey != nil && errors.Is(err, controlplane.ErrUnavailable):
		return mapError(err)
	case ofKey != nil:
		return ofKey
	case errors.As(err, &invalid):
		return nil
	case err != nil:
		return mapError(err)
	case r.stops:
		return nil
	}
	of := demand{r.Permission, keyed(request, flag)}
	if g.allows(i, of) {
		return nil
	}
	of.Permission = of.In(g.protected(of.Environment))
	// It does not name the flag, of which the caller may not know.
	return status.Errorf(codes.PermissionDenied,
		"%s may not %s rollout %q: that takes the role %s for its flag, too, and to pause or abort it for one of the two; it has %s",
		i.GetName(), of.Permission, key, roleWord(of.Role()), grantsText(i))
}
