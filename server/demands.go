package server

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/identity"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// What a request demands follows from what it names. One that names no environment demands
// all of them, one that names no key all keys: what is left out is never a way in.

func needs(p identity.Permission, environment string) rule {
	return rule{demands: func(proto.Message) []demand { return []demand{{p, identity.Scope{Environment: environment}}} }}
}

func demanding(p identity.Permission, of func(proto.Message) identity.Scope) rule {
	return rule{demands: func(m proto.Message) []demand { return []demand{{p, of(m)}} }}
}

func reads(of func(proto.Message) identity.Scope) rule  { return demanding(identity.Read, of) }
func writes(of func(proto.Message) identity.Scope) rule { return demanding(identity.Write, of) }
func operates(of func(proto.Message) identity.Scope) rule {
	return demanding(identity.Operate, of)
}

func administers(of func(proto.Message) identity.Scope) rule {
	return demanding(identity.Administer, of)
}

// serversToo is a rule of what the other servers of the cluster ask.
func serversToo(r rule) rule {
	r.servers = true
	return r
}

func ofEnvironment(m proto.Message) identity.Scope {
	if r, ok := m.(interface{ GetEnvironment() string }); ok {
		return identity.Scope{Environment: r.GetEnvironment()}
	}
	return identity.Scope{Environment: identity.Everywhere}
}

// keyed is a scope of one key of the request's environment.
func keyed(m proto.Message, key string) identity.Scope {
	s := ofEnvironment(m)
	s.Key = key
	return s
}

func ofList(m proto.Message) identity.Scope {
	s := ofEnvironment(m)
	if r, ok := m.(interface{ GetKeyPrefix() string }); ok {
		s.Key, s.Prefix = r.GetKeyPrefix(), true
	}
	return s
}

func ofFlagKey(m proto.Message) identity.Scope {
	if r, ok := m.(interface{ GetFlagKey() string }); ok {
		return keyed(m, r.GetFlagKey())
	}
	return ofEnvironment(m)
}

func ofSegmentKey(m proto.Message) identity.Scope {
	if r, ok := m.(interface{ GetSegmentKey() string }); ok {
		return keyed(m, r.GetSegmentKey())
	}
	return ofEnvironment(m)
}

func ofFlag(m proto.Message) identity.Scope {
	if r, ok := m.(interface{ GetFlag() *flagv1.Flag }); ok {
		return keyed(m, r.GetFlag().GetKey())
	}
	return ofEnvironment(m)
}

func ofSegment(m proto.Message) identity.Scope {
	if r, ok := m.(interface{ GetSegment() *flagv1.Segment }); ok {
		return keyed(m, r.GetSegment().GetKey())
	}
	return ofEnvironment(m)
}

// promotedFlag is read in one environment and written in another.
func promotedFlag(m proto.Message) []demand {
	r, _ := m.(*controlv1.PromoteFlagRequest)
	return []demand{
		{identity.Read, identity.Scope{Environment: r.GetFromEnvironment(), Key: r.GetFlagKey()}},
		{identity.Write, identity.Scope{Environment: r.GetToEnvironment(), Key: r.GetFlagKey()}},
	}
}

// compared is read in each environment.
func compared(m proto.Message) []demand {
	r, _ := m.(*controlv1.CompareEnvironmentsRequest)
	s := identity.Scope{Key: r.GetKey()}
	if s.Key == "" {
		s.Key, s.Prefix = r.GetKeyPrefix(), true
	}
	if len(r.GetEnvironments()) == 0 {
		return []demand{{identity.Read, s}}
	}
	all := make([]demand, 0, len(r.GetEnvironments()))
	for _, name := range r.GetEnvironments() {
		s.Environment = name
		all = append(all, demand{identity.Read, s})
	}
	return all
}

// promotedEnvironment is each key, or what keys begin with, read in one environment and written in
// another; with what they need, all of both.
func promotedEnvironment(m proto.Message) []demand {
	r, _ := m.(*controlv1.PromoteEnvironmentRequest)
	scopes := make([]identity.Scope, 0, max(len(r.GetKeys()), 1))
	switch {
	case r.GetIncludeNeeded():
		scopes = append(scopes, identity.Scope{})
	case len(r.GetKeys()) == 0:
		scopes = append(scopes, identity.Scope{Key: r.GetKeyPrefix(), Prefix: true})
	default:
		for _, key := range r.GetKeys() {
			scopes = append(scopes, identity.Scope{Key: key})
		}
	}
	all := make([]demand, 0, 2*len(scopes))
	for _, s := range scopes {
		s.Environment = r.GetFromEnvironment()
		all = append(all, demand{identity.Read, s})
		s.Environment = r.GetToEnvironment()
		all = append(all, demand{identity.Write, s})
	}
	return all
}

// writer is a request to write flags and segments.
type writer interface {
	proto.Message
	GetFlags() []*controlv1.FlagWrite
	GetSegments() []*controlv1.SegmentWrite
	GetDeletes() []*controlv1.ResourceDelete
}

// applied is each flag and segment of the request.
func applied(m proto.Message) []demand {
	r, ok := m.(writer)
	if !ok {
		return []demand{{identity.Write, ofEnvironment(m)}}
	}
	all := make([]demand, 0, len(r.GetFlags())+len(r.GetSegments())+len(r.GetDeletes()))
	for _, f := range r.GetFlags() {
		all = append(all, demand{identity.Write, keyed(m, f.GetFlag().GetKey())})
	}
	for _, s := range r.GetSegments() {
		all = append(all, demand{identity.Write, keyed(m, s.GetSegment().GetKey())})
	}
	for _, d := range r.GetDeletes() {
		all = append(all, demand{identity.Write, keyed(m, d.GetKey())})
	}
	if len(all) == 0 {
		all = append(all, demand{identity.Write, ofEnvironment(m)})
	}
	return all
}

// proposed is each flag and segment of the request, or the rollout and its flag.
func proposed(m proto.Message) []demand {
	if r, ok := m.(*controlv1.ProposeChangeRequestRequest); ok && r.GetRollout() != nil {
		all := startedRollout(m)
		if len(r.GetFlags())+len(r.GetSegments())+len(r.GetDeletes()) > 0 {
			all = append(all, applied(m)...)
		}
		return all
	}
	return applied(m)
}

// ofExplained is the flag, as it is or as it would be.
func ofExplained(m proto.Message) identity.Scope {
	r, _ := m.(*controlv1.ExplainEvaluationRequest)
	if r.GetFlag() != nil {
		return keyed(m, r.GetFlag().GetKey())
	}
	return keyed(m, r.GetFlagKey())
}

// watched is some of an environment, which is looked at key by key; relays have none, and all of
// the environment.
func watched(m proto.Message) []demand {
	r, _ := m.(*controlv1.WatchRequest)
	some := ofEnvironment(m)
	some.AnyKey = true
	all := []demand{{identity.Read, some}}
	if slices.Contains(r.GetParts(), controlv1.Part_PART_RELAYS) {
		all = append(all, demand{identity.Read, ofEnvironment(m)})
	}
	return all
}

// startedRollout is of a rollout, and of the flag that it moves.
func startedRollout(m proto.Message) []demand {
	r, ok := m.(interface{ GetRollout() *rolloutv1.Rollout })
	if !ok {
		return []demand{{identity.Write, ofEnvironment(m)}}
	}
	return []demand{
		{identity.Write, keyed(m, r.GetRollout().GetKey())},
		{identity.Write, keyed(m, r.GetRollout().GetFlagKey())},
	}
}

// createdKey opens environments.
func createdKey(m proto.Message) []demand { return ofEnvironments(identity.Administer, m) }

// frozenEnvironments are frozen, or thawed.
func frozenEnvironments(m proto.Message) []demand { return ofEnvironments(identity.Operate, m) }

// ofEnvironments is each environment of the request.
func ofEnvironments(p identity.Permission, m proto.Message) []demand {
	r, ok := m.(interface{ GetEnvironments() []string })
	if !ok || len(r.GetEnvironments()) == 0 {
		return []demand{{p, identity.Scope{Environment: identity.Everywhere}}}
	}
	all := make([]demand, 0, len(r.GetEnvironments()))
	for _, name := range r.GetEnvironments() {
		all = append(all, demand{p, identity.Scope{Environment: name}})
	}
	return all
}
