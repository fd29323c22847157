package accesskey

import (
	"strings"

	"github.com/tidegate/tidegate/eval"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
)

// Right is what a caller may hear of an environment's flags; nil: everything. It is immutable.
type Right struct {
	// client: only flags that are marked for clients, and of them no rules.
	client bool
	// prefixes, if there are some, are what the keys of flags begin with.
	prefixes []string
	follow   *Denial // nil: it may follow
}

// rightOf is what a key may hear.
func rightOf(g *grant) *Right {
	r := &Right{
		client: RoleOf(g.key) == accessv1.Role_ROLE_SDK_CLIENT, prefixes: g.key.GetFlagPrefixes(), follow: g.denies(Follow),
	}
	if !r.client && len(r.prefixes) == 0 {
		return nil
	}
	return r
}

// Follows says why the caller may not have the flags themselves, with their rules; nil: it may.
func (r *Right) Follows() error {
	if r == nil || r.follow == nil {
		return nil
	}
	return r.follow.Status()
}

// Sees tells whether a flag is there for the caller; a flag that is nil is not.
func (r *Right) Sees(f *eval.Flag) bool {
	switch {
	case f == nil:
		return false
	case r == nil:
		return true
	case r.client && !f.ClientVisible():
		return false
	case len(r.prefixes) == 0:
		return true
	}
	for _, p := range r.prefixes {
		if strings.HasPrefix(f.Key(), p) {
			return true
		}
	}
	return false
}

// Shown is what the caller is told of the result for a key.
func (r *Right) Shown(key string, result eval.Result) eval.Result {
	switch {
	case r == nil:
		return result
	case !r.Sees(result.Flag):
		return eval.NotFound(key)
	case r.client:
		return result.WithoutRules()
	}
	return result
}

// Fingerprint differs where rights do.
func (r *Right) Fingerprint() string {
	switch {
	case r == nil:
		return ""
	case r.client:
		return "client " + strings.Join(r.prefixes, " ")
	}
	return "server " + strings.Join(r.prefixes, " ")
}
