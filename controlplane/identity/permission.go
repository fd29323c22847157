// Package identity knows who may call the control services, and what each may do.
package identity

import (
	"slices"
	"strings"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
)

// Permission is a kind of thing to do.
type Permission uint8

// In the order of what they could do harm to.
const (
	// Read what there is.
	Read Permission = iota + 1
	// Write flags, segments and rollouts, where nothing is protected.
	Write
	// Operate what is protected.
	Operate
	// Administer who may do what, and the store.
	Administer
)

func (p Permission) String() string {
	return [...]string{"nothing", "read", "write", "operate", "administer"}[p]
}

// of tells what a role permits.
func (p Permission) of(r accessv1.Role) bool {
	switch r {
	case accessv1.Role_ROLE_VIEWER:
		return p <= Read
	case accessv1.Role_ROLE_EDITOR:
		return p <= Write
	case accessv1.Role_ROLE_OPERATOR:
		return p <= Operate
	case accessv1.Role_ROLE_ADMINISTRATOR:
		return p <= Administer
	}
	return false
}

// Role is the least role that has a permission.
func (p Permission) Role() accessv1.Role {
	return accessv1.Role_ROLE_VIEWER + accessv1.Role(p) - accessv1.Role(Read)
}

// In is what it takes in an environment that is protected, or is not.
func (p Permission) In(protected bool) Permission {
	if p == Write && protected {
		return Operate
	}
	return p
}

// Scope is where something is to be done.
type Scope struct {
	// Environment; Everywhere: in all of them; Anywhere: in one at least.
	Environment string
	// Key of the flag, segment or rollout, or with Prefix what their keys begin with; empty: all
	// of the environment's.
	Key    string
	Prefix bool
	// AnyKey: of some keys at least. Whoever asks looks at each of them.
	AnyKey bool
}

// What stands in a Scope in the place of an environment. None can have such a name.
const (
	Everywhere = ""
	Anywhere   = "*"
)

func (s Scope) String() string {
	where := "in environment " + s.Environment
	switch s.Environment {
	case Everywhere:
		where = "in all environments"
	case Anywhere:
		where = "in any environment"
	}
	switch {
	case s.AnyKey:
		return "any key " + where
	case s.Key == "":
		return where
	case s.Prefix:
		return "keys that begin with " + s.Key + " " + where
	}
	return s.Key + " " + where
}

// Allows tells whether an identity may do something there. Whether it is disabled or has
// expired is not looked at.
func Allows(i *accessv1.Identity, p Permission, s Scope) bool {
	return slices.ContainsFunc(i.GetGrants(), func(g *accessv1.Grant) bool {
		return p.of(g.GetRole()) && coversEnvironment(g, s.Environment) && coversKey(g, s)
	})
}

func coversEnvironment(g *accessv1.Grant, environment string) bool {
	switch {
	case len(g.GetEnvironments()) == 0 || environment == Anywhere:
		return true
	case environment == Everywhere:
		return false
	}
	return slices.Contains(g.GetEnvironments(), environment)
}

func coversKey(g *accessv1.Grant, s Scope) bool {
	if len(g.GetKeyPrefixes()) == 0 || s.Environment == Anywhere || s.AnyKey {
		return true
	}
	return s.Key != "" && slices.ContainsFunc(g.GetKeyPrefixes(), func(prefix string) bool { return strings.HasPrefix(s.Key, prefix) })
}
