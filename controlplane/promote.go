package controlplane

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// maxPromoted is how many keys a request can name.
const maxPromoted = 1000

// PromoteEnvironment makes flags and segments of an environment what they are in another one. What
// it writes is the difference to what there is; so one that was interrupted goes on when it is
// asked for again.
func (a *Authority) PromoteEnvironment(ctx context.Context, c Caller, r *controlv1.PromoteEnvironmentRequest) (*controlv1.PromoteEnvironmentResponse, error) {
	if err := checkPromoteEnvironment(r); err != nil {
		return nil, err
	}
	for _, name := range []string{r.GetFromEnvironment(), r.GetToEnvironment()} {
		if err := a.checkEnvironment(ctx, name); err != nil {
			return nil, err
		}
	}
	if r.GetRequestId() == "" {
		r = proto.CloneOf(r)
		r.RequestId = uuid.NewString()
	}
	if !r.GetValidateOnly() {
		counts, revision, err := a.recordedCounts(ctx, r.GetToEnvironment(), r)
		if err != nil {
			return nil, err
		}
		if counts != nil {
			return counts.promoted(revision), nil
		}
	}
	p, err := a.planPromotion(ctx, c, r)
	if err != nil {
		return nil, err
	}
	if r.GetValidateOnly() {
		return p.preview(), nil
	}
	if len(p.drifts) > 0 && !r.GetOverwriteDrift() {
		return nil, p.lost(r.GetFromEnvironment(), r.GetToEnvironment())
	}
	revision, repeated, err := a.writeChunks(ctx, p.chunks, func() *plan {
		return &plan{
			request: r, caller: c, environment: r.GetToEnvironment(), counts: p.counts, promotedFrom: r.GetFromEnvironment(),
		}
	})
	if err != nil {
		return nil, err
	}
	if repeated { // the same request, at the same time
		counts, revision, err := a.recordedCounts(ctx, r.GetToEnvironment(), r)
		if err != nil {
			return nil, err
		}
		return counts.promoted(revision), nil
	}
	return p.counts.promoted(revision), nil
}

func checkPromoteEnvironment(r *controlv1.PromoteEnvironmentRequest) error {
	var check checker
	check.environment("from_environment", r.GetFromEnvironment())
	check.environment("to_environment", r.GetToEnvironment())
	if r.GetFromEnvironment() == r.GetToEnvironment() && r.GetToEnvironment() != "" {
		check.add("to_environment", "must be another environment than from_environment")
	}
	check.prefix("key_prefix", r.GetKeyPrefix())
	if n := len(r.GetKeys()); n > maxPromoted {
		check.add("keys", "there are %d; at most %d are allowed", n, maxPromoted)
	} else {
		for i, key := range r.GetKeys() {
			check.key(fmt.Sprintf("keys[%d]", i), key)
		}
	}
	if r.GetKeyPrefix() != "" && len(r.GetKeys()) > 0 {
		check.add("keys", "are given, and so is key_prefix: give one of them")
	}
	check.revision("base_revision", r.GetBaseRevision())
	if !r.GetValidateOnly() {
		check.write(r)
	}
	return check.err()
}

// prefix checks what keys begin with; it may be empty.
func (c *checker) prefix(field, prefix string) {
	if !keyPrefixPattern.MatchString(prefix) {
		c.add(field, "must be the beginning of a key, which %s; got %q", keyRule, truncate(prefix, maxEcho))
	}
}

// promoted is the answer to a request that was carried out.
func (c *restoredCounts) promoted(revision int64) *controlv1.PromoteEnvironmentResponse {
	return &controlv1.PromoteEnvironmentResponse{
		CurrentRevision: c.Base, Revision: revision, Transactions: c.Transactions,
		Created: c.Created, Updated: c.Updated, Deleted: c.Deleted,
	}
}

// preview is the answer to a request that only asks.
func (p *promotion) preview() *controlv1.PromoteEnvironmentResponse {
	resp := p.counts.promoted(0)
	resp.Results, resp.Drifts = shownChanges(p.chunks), p.drifts
	return resp
}

// lost says what would be overwritten.
func (p *promotion) lost(from, to string) error {
	all := make([]string, 0, len(p.drifts))
	for _, d := range p.drifts {
		all = append(all, kindOfControl(d.GetKind()).name+" "+d.GetKey())
	}
	return precluded("overwrite_drift", fmt.Sprintf(
		"%s changed in %q by itself since it came from %q, and that would be lost: see it with validate_only, and overwrite it by setting overwrite_drift, or change it in %q first",
		quoteList(all), to, from, from))
}
