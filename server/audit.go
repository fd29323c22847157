package server

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/controlplane/audit"
	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

type auditService struct {
	controlv1.UnimplementedAuditServiceServer
	trails    *audit.Trails
	authority *controlplane.Authority
	drained   <-chan struct{}
}

// shown is what whoever calls may read of a trail's entries; nil: all that the request is let in for.
func (s auditService) shown(ctx context.Context, environment string) audit.Shown {
	if _, asked := callerIn(ctx); !asked || environment == controlplane.AccessTrail || environment == controlplane.StoreTrail {
		return nil
	}
	reader := readerOf(ctx, environment)
	return func(ctx context.Context, e *controlv1.AuditEntry) (*controlv1.AuditEntry, error) {
		if e.GetKind() == controlv1.ResourceKind_RESOURCE_KIND_KEY {
			return e, nil // which the request has named
		}
		flag, err := s.authority.EntryFlag(ctx, e)
		if err != nil {
			return nil, err
		}
		return reader.Entry(e, flag), nil
	}
}

// makeTrails makes what seals and shows the audit trails.
func (s *Server) makeTrails() (err error) {
	if s.options.AuditLog != "" {
		if s.auditLog, err = audit.NewFile(s.options.AuditLog, s.options.AuditLogBytes); err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
	}
	s.trails, err = audit.New(audit.Options{
		Store: s.store, Head: s.authority.Head, Exists: s.authority.CheckEnvironment, Announce: s.announceSeal,
		Interval: s.options.SealEvery, Logger: s.logger, Registerer: s.options.Registry,
	})
	return err
}

// logAudit writes the audit trails to a file, if there is one.
func (s *Server) logAudit(ctx context.Context) {
	if s.auditLog != nil {
		s.trails.Log(ctx, s.auditLog)
	}
}

// announceSeal has targets told of what was sealed that ask for it.
func (s *Server) announceSeal(seal *controlv1.Seal, hash []byte) []store.Op {
	parts := slices.Collect(slices.Chunk(seal.GetEntries(), notify.MaxAudited))
	ops := make([]store.Op, 0, len(parts))
	for i, part := range parts {
		e := notify.Event{
			Kind: notify.Audited, Time: seal.GetTime().AsTime(), Environment: seal.GetEnvironment(),
			Audit: &notify.Audit{
				Seal: seal.GetNumber(), Hash: hex.EncodeToString(hash), Through: seal.GetThroughRevision(), Part: i + 1, Parts: len(parts),
			},
		}
		for _, line := range part {
			e.Audit.Entries = append(e.Audit.Entries, notify.AuditedEntry{
				Revision: line.GetRevision(), Time: line.GetTime().AsTime(), Key: line.GetKey(), Actor: line.GetActor(),
				Action: strings.ToLower(strings.TrimPrefix(line.GetAction().String(), "ACTION_")), Hash: hex.EncodeToString(line.GetHash()),
			})
		}
		ops = append(ops, s.notifier.Ops(e)...)
	}
	return ops
}

func (s auditService) ListEntries(ctx context.Context, r *controlv1.ListEntriesRequest) (*controlv1.ListEntriesResponse, error) {
	return s.trails.List(ctx, r, s.shown(ctx, r.GetEnvironment()))
}

func (s auditService) WatchEntries(r *controlv1.WatchEntriesRequest, stream grpc.ServerStreamingServer[controlv1.WatchEntriesResponse]) error {
	return untilDrained(stream.Context(), s.drained, func(ctx context.Context) error {
		return s.trails.Watch(ctx, r, s.shown(ctx, r.GetEnvironment()), stream.Send)
	})
}

func (s auditService) ExportTrail(r *controlv1.ExportTrailRequest, stream grpc.ServerStreamingServer[controlv1.ExportTrailResponse]) error {
	return s.trails.Export(stream.Context(), r, stream.Send)
}

func (s auditService) GetTrailHead(ctx context.Context, r *controlv1.GetTrailHeadRequest) (*controlv1.GetTrailHeadResponse, error) {
	return s.trails.Head(ctx, r)
}

// readTrail is what it takes to read of a trail what a request asks for: of identities, and of
// keys, what it takes to see these.
func readTrail(m proto.Message) []demand {
	place := ofEnvironment(m)
	switch place.Environment {
	case controlplane.AccessTrail:
		return []demand{{identity.Administer, identity.Scope{Environment: identity.Everywhere}}}
	case controlplane.StoreTrail:
		return []demand{{identity.Read, identity.Scope{Environment: identity.Anywhere}}}
	}
	r, ok := m.(interface{ GetFilter() *controlv1.EntryFilter })
	if !ok {
		return []demand{{identity.Read, place}}
	}
	for _, k := range r.GetFilter().GetKinds() {
		if k == controlv1.ResourceKind_RESOURCE_KIND_KEY {
			return []demand{{identity.Administer, place}}
		}
	}
	if place.Key = r.GetFilter().GetKey(); place.Key == "" {
		place.Key, place.Prefix = r.GetFilter().GetKeyPrefix(), true
	}
	if namesChangeRequests(r.GetFilter()) || namesSettings(place.Environment, r.GetFilter()) {
		place.Key = "" // which may be of any flag
	}
	return []demand{{identity.Read, place}}
}

// namesChangeRequests tells whether a filter lets change requests through by their number.
func namesChangeRequests(f *controlv1.EntryFilter) bool {
	if len(f.GetKinds()) > 0 && !slices.Contains(f.GetKinds(), controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST) {
		return false
	}
	number := f.GetKey() + f.GetKeyPrefix()
	return number != "" && strings.Trim(number, "0123456789") == ""
}

// namesSettings tells whether a filter lets the environment's settings through by its name.
func namesSettings(environment string, f *controlv1.EntryFilter) bool {
	if len(f.GetKinds()) > 0 && !slices.Contains(f.GetKinds(), controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT) {
		return false
	}
	if f.GetKey() != "" {
		return f.GetKey() == environment
	}
	return f.GetKeyPrefix() != "" && strings.HasPrefix(environment, f.GetKeyPrefix())
}

// exportTrail is what it takes to have all of a trail, keys with it.
func exportTrail(m proto.Message) []demand {
	place := ofEnvironment(m)
	if place.Environment == controlplane.AccessTrail || place.Environment == controlplane.StoreTrail {
		place.Environment = identity.Everywhere
	}
	return []demand{{identity.Administer, place}}
}
