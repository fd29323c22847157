package controlplane

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// GetFlag returns a flag as the store has it now.
func (a *Authority) GetFlag(ctx context.Context, r *controlv1.GetFlagRequest) (*controlv1.GetFlagResponse, error) {
	v, err := a.get(ctx, flagKind, r.GetEnvironment(), r.GetFlagKey())
	if err != nil {
		return nil, err
	}
	return &controlv1.GetFlagResponse{Flag: flagVersion(v)}, nil
}

// ListFlags lists the flags of an environment, by key.
func (a *Authority) ListFlags(ctx context.Context, r *controlv1.ListFlagsRequest) (*controlv1.ListFlagsResponse, error) {
	p, err := a.list(ctx, flagKind, r)
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ListFlagsResponse{NextPageToken: p.next, Revision: p.revision}
	for _, v := range p.versions {
		resp.Flags = append(resp.Flags, flagVersion(v))
	}
	return resp, nil
}

// ListFlagHistory lists a flag's audit entries, newest first.
func (a *Authority) ListFlagHistory(ctx context.Context, r *controlv1.ListFlagHistoryRequest) (*controlv1.ListFlagHistoryResponse, error) {
	entries, next, err := a.history(ctx, flagKind, r.GetFlagKey(), r)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListFlagHistoryResponse{Entries: entries, NextPageToken: next}, nil
}

// CreateFlag makes a flag.
func (a *Authority) CreateFlag(ctx context.Context, c Caller, r *controlv1.CreateFlagRequest) (*controlv1.CreateFlagResponse, error) {
	result, err := a.define(ctx, c, r, flagKind, r.GetFlag(), nil)
	if err != nil {
		return nil, err
	}
	return &controlv1.CreateFlagResponse{Flag: flagVersion(result.version), Entry: result.entry}, nil
}

// UpdateFlag replaces a flag.
func (a *Authority) UpdateFlag(ctx context.Context, c Caller, r *controlv1.UpdateFlagRequest) (*controlv1.UpdateFlagResponse, error) {
	result, err := a.define(ctx, c, r, flagKind, r.GetFlag(), &r.BaseRevision)
	if err != nil {
		return nil, err
	}
	return &controlv1.UpdateFlagResponse{Flag: flagVersion(result.version), Entry: result.entry}, nil
}

// DeleteFlag deletes a flag that no other needs and, unless it is forced, nobody evaluates.
func (a *Authority) DeleteFlag(ctx context.Context, c Caller, r *controlv1.DeleteFlagRequest) (*controlv1.DeleteFlagResponse, error) {
	var unless func() error
	if !r.GetForce() {
		unless = func() error { return a.checkUnused(ctx, r.GetEnvironment(), r.GetFlagKey(), "flag_key") }
	}
	result, err := a.remove(ctx, c, r, flagKind, r.GetFlagKey(), r.GetBaseRevision(), unless)
	if err != nil {
		return nil, err
	}
	return &controlv1.DeleteFlagResponse{Entry: result.entry}, nil
}

// SetEnabled turns a flag on or off. It compiles nothing and waits for nothing but the
// store: whatever else is wrong with a flag, it can be turned off.
func (a *Authority) SetEnabled(ctx context.Context, c Caller, r *controlv1.SetEnabledRequest) (*controlv1.SetEnabledResponse, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	check.key("flag_key", r.GetFlagKey())
	if r.BaseRevision != nil {
		check.base(r.GetBaseRevision())
	}
	check.write(r)
	if err := check.err(); err != nil {
		return nil, err
	}
	verb := controlv1.Action_ACTION_DISABLED
	if r.GetEnabled() {
		verb = controlv1.Action_ACTION_ENABLED
	}
	target := resource{environment: r.GetEnvironment(), kind: flagKind, key: r.GetFlagKey()}
	result, err := a.writeOne(ctx, c, r, &change{
		resource: target, field: "flag", base: r.BaseRevision, present: true, verb: verb, unchecked: true,
		content: func(current, _ version) (proto.Message, error) {
			return withEnabled(target, current.message, r.GetEnabled())
		},
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.SetEnabledResponse{Flag: flagVersion(result.version), Entry: result.entry}, nil
}

func withEnabled(r resource, m proto.Message, enabled bool) (proto.Message, error) {
	flag, ok := m.(*flagv1.Flag)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, r)
	}
	flag = proto.CloneOf(flag)
	flag.Enabled = enabled
	return flag, nil
}

// PromoteFlag copies a flag to another environment.
func (a *Authority) PromoteFlag(ctx context.Context, c Caller, r *controlv1.PromoteFlagRequest) (*controlv1.PromoteFlagResponse, error) {
	if err := checkPromote(r); err != nil {
		return nil, err
	}
	if err := a.checkEnvironment(ctx, r.GetFromEnvironment()); err != nil {
		return nil, err
	}
	from := resource{environment: r.GetFromEnvironment(), kind: flagKind, key: r.GetFlagKey()}
	promotion := &change{
		resource: resource{environment: r.GetToEnvironment(), kind: flagKind, key: r.GetFlagKey()},
		field:    "flag", base: &r.BaseRevision, from: &from, fromBase: r.GetFromRevision(),
		verb:    controlv1.Action_ACTION_PROMOTED,
		content: promotedContent(from, r.GetIncludeEnabled()),
	}
	if r.GetValidateOnly() {
		promotion.base = nil
	}
	w, err := a.write(ctx, &plan{
		request: r, caller: c, environment: r.GetToEnvironment(),
		changes: []*change{promotion}, validateOnly: r.GetValidateOnly(), promotedFrom: r.GetFromEnvironment(),
	})
	if err != nil {
		return nil, err
	}
	result := w.results[0]
	resp := &controlv1.PromoteFlagResponse{
		Flag: flagVersion(result.version), Changes: result.changes, FromRevision: result.source, Entry: result.entry,
	}
	if r.GetValidateOnly() && result.differs {
		resp.Drift, err = a.driftNow(ctx, promotion.resource, from.environment, r.GetIncludeEnabled())
	}
	return resp, err
}

func checkPromote(r *controlv1.PromoteFlagRequest) error {
	var check checker
	check.key("flag_key", r.GetFlagKey())
	check.environment("from_environment", r.GetFromEnvironment())
	check.environment("to_environment", r.GetToEnvironment())
	if r.GetFromEnvironment() == r.GetToEnvironment() && r.GetToEnvironment() != "" {
		check.add("to_environment", "must be another environment than from_environment")
	}
	check.revision("base_revision", r.GetBaseRevision())
	check.revision("from_revision", r.GetFromRevision())
	if !r.GetValidateOnly() {
		check.write(r)
	}
	return check.err()
}

// RestoreFlag writes an earlier version of a flag again.
func (a *Authority) RestoreFlag(ctx context.Context, c Caller, r *controlv1.RestoreFlagRequest) (*controlv1.RestoreFlagResponse, error) {
	result, err := a.restore(ctx, c, r, flagKind, r.GetFlagKey())
	if err != nil {
		return nil, err
	}
	return &controlv1.RestoreFlagResponse{Flag: flagVersion(result.version), Entry: result.entry}, nil
}

func flagVersion(v version) *controlv1.FlagVersion {
	flag, _ := v.message.(*flagv1.Flag)
	return &controlv1.FlagVersion{Flag: flag, Revision: v.revision}
}
