package controlplane

import (
	"context"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

const (
	maxDecisionPage, defaultDecisionPage = 1000, 100
	// maxDecision is the greatest number that keys have room for.
	maxDecision = math.MaxInt64 - 1
)

func decodeDecision(kv store.KV) (*rolloutv1.Decision, error) {
	d := new(rolloutv1.Decision)
	if err := proto.Unmarshal(kv.Value, d); err != nil {
		return nil, fmt.Errorf("%w: decision %s: %w", ErrCorrupt, kv.Key, err)
	}
	d.Revision = kv.ModRevision
	return d, nil
}

// ListDecisions lists the decisions about a rollout, newest first.
func (s *Rollouts) ListDecisions(ctx context.Context, r *controlv1.ListDecisionsRequest) (*controlv1.ListDecisionsResponse, error) {
	target, err := s.decided(ctx, r.GetEnvironment(), r.GetKey())
	if err != nil {
		return nil, err
	}
	of := decisionPrefix(target.environment, target.key)
	p, err := pageRange(of, r.GetPageSize(), r.GetPageToken(), maxDecisionPage, defaultDecisionPage)
	if err != nil {
		return nil, err
	}
	kvs, _, more, err := s.authority.readPage(ctx, p)
	if err != nil {
		return nil, err
	}
	resp := &controlv1.ListDecisionsResponse{}
	for _, kv := range kvs {
		d, err := decodeDecision(kv)
		if err != nil {
			return nil, err
		}
		d.Inputs, d.Assessment = nil, nil
		resp.Decisions = append(resp.Decisions, d)
	}
	resp.NextPageToken, err = nextToken(of, kvs, more, 0)
	return resp, err
}

// GetDecision returns one decision with all that it was made from.
func (s *Rollouts) GetDecision(ctx context.Context, r *controlv1.GetDecisionRequest) (*controlv1.GetDecisionResponse, error) {
	if r.GetNumber() == 0 || r.GetNumber() > maxDecision {
		return nil, invalid("number", fmt.Sprintf("must be the number of a decision, 1 for the first; got %d", r.GetNumber()))
	}
	target, err := s.decided(ctx, r.GetEnvironment(), r.GetKey())
	if err != nil {
		return nil, err
	}
	results, _, err := s.authority.store.Read(ctx, store.Key(decisionKey(target.environment, target.key, r.GetNumber())))
	if err != nil {
		return nil, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return nil, &NotFoundError{What: fmt.Sprintf("decision %d of %s", r.GetNumber(), target)}
	}
	d, err := decodeDecision(results[0].KVs[0])
	if err != nil {
		return nil, err
	}
	return &controlv1.GetDecisionResponse{Decision: d}, nil
}

// decided is a rollout that there is, or was.
func (s *Rollouts) decided(ctx context.Context, environment, key string) (resource, error) {
	r := resource{environment: environment, kind: rolloutKind, key: key}
	var check checker
	check.environment("environment", environment)
	check.key("key", key)
	if err := check.err(); err != nil {
		return r, err
	}
	newest, err := s.authority.newestSequence(ctx, r)
	switch {
	case err != nil:
		return r, err
	case newest != 0:
		return r, nil
	}
	if err := s.authority.checkEnvironment(ctx, environment); err != nil {
		return r, err
	}
	return r, &NotFoundError{What: r.String()}
}
