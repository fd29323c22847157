package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// GetChangeRequest returns a change request, and how it stands now, as far as the reader may know it.
func (s *ChangeRequests) GetChangeRequest(ctx context.Context, r *controlv1.GetChangeRequestRequest, reader Reader) (*controlv1.GetChangeRequestResponse, error) {
	check := checkNumber(r.GetEnvironment(), r.GetNumber())
	if err := check.err(); err != nil {
		return nil, err
	}
	held, err := s.read(ctx, r.GetEnvironment(), r.GetNumber())
	if err != nil {
		return nil, err
	}
	resp := &controlv1.GetChangeRequestResponse{ChangeRequest: held.ChangeRequest, Revision: held.revision}
	settings, err := s.settings(ctx, r.GetEnvironment())
	if err != nil {
		return nil, err
	}
	resp.ApprovalsRequired = settings.GetApproval().GetApprovals()
	if resp.Results, err = s.results(ctx, held.ChangeRequest); err != nil {
		return nil, err
	}
	if held.GetState() != controlv1.ChangeRequest_STATE_OPEN {
		return resp, nil
	}
	if resp.Conflicts, err = s.conflicts(ctx, held.ChangeRequest, reader); err != nil {
		return nil, err
	}
	if len(resp.GetConflicts()) == 0 {
		resp.Obstacle = s.obstacle(ctx, held, reader)
	}
	return resp, s.judge(ctx, held.ChangeRequest, settings.GetProtected(), resp)
}

// judge says of one that is open what does not count of it now, and what to look at.
func (s *ChangeRequests) judge(ctx context.Context, held *controlv1.ChangeRequest, protected bool, resp *controlv1.GetChangeRequestResponse) error {
	if s.o.Identified {
		standing, err := s.authority.readStanding(ctx, held, s.authority.now())
		if err != nil {
			return err
		}
		resp.UncountedApprovals = standing.uncounted(held, protected, nil)
		if lapsed := standing.refusal(held.GetProposer(), held, protected); lapsed != "" {
			resp.Cautions = append(resp.Cautions, fmt.Sprintf("%s, who proposed it, %s: the schedule does not apply it, and whoever does in their place is a person who has not approved it",
				held.GetProposer().GetName(), lapsed))
		}
	}
	epoch, err := s.authority.readEpoch(ctx)
	if err != nil {
		return err
	}
	if why := outlived(held, epoch); why != "" {
		resp.Cautions = append(resp.Cautions, why)
	}
	return nil
}

// obstacle says why a change request could not be applied now, if it had its approvals. Why names
// what is in the way, as a refusal does: that is for who could be refused, or may read all there is.
func (s *ChangeRequests) obstacle(ctx context.Context, held heldRequest, reader Reader) string {
	p, err := s.planOf(ctx, Caller{}, &controlv1.ApplyChangeRequestRequest{Environment: held.GetEnvironment(), Number: held.GetNumber()}, held)
	if err == nil {
		p.validateOnly = true
		_, err = s.authority.write(ctx, p)
	}
	switch {
	case err == nil:
		return ""
	case !reader.Sees("") && !reader.writesAll(keysOf(held.ChangeRequest)):
		return "it does not fit with what is there now; who may write what it names is told why"
	}
	return inWords(err)
}

// inWords is why a change request is refused, for people who know which one.
func inWords(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "not possible: "), "number: ")
}

// results are what a change request changes in what was there when it was proposed.
func (s *ChangeRequests) results(ctx context.Context, r *controlv1.ChangeRequest) ([]*controlv1.ApplyResult, error) {
	if p := r.GetRollout(); p != nil {
		return s.rolloutResults(ctx, r, p)
	}
	bases := basesOf(r)
	results := make([]*controlv1.ApplyResult, 0, len(bases))
	for _, b := range bases {
		result := &controlv1.ApplyResult{Kind: b.kind.control, Key: b.key, Revision: b.base, Action: controlv1.Action_ACTION_UPDATED}
		var before proto.Message
		if b.base == 0 {
			result.Action = controlv1.Action_ACTION_CREATED
		} else {
			var err error
			if before, err = s.authority.versionAt(ctx, b.resource, b.base); err != nil {
				return nil, err
			}
		}
		if b.desired == nil {
			result.Action = controlv1.Action_ACTION_DELETED
		}
		result.Changes = fieldChanges(pinned(before), pinned(b.desired))
		results = append(results, result)
	}
	return results, nil
}

// rolloutResults are the rollout and what it changes in the flag, while that can be told.
func (s *ChangeRequests) rolloutResults(ctx context.Context, r *controlv1.ChangeRequest, p *controlv1.ProposedRollout) ([]*controlv1.ApplyResult, error) {
	made := &controlv1.ApplyResult{
		Kind: controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT, Key: r.GetRolloutKey(), Action: controlv1.Action_ACTION_STARTED,
		Changes: fieldChanges(nil, p.GetRollout()),
	}
	changes, err := s.starting(ctx, heldRequest{ChangeRequest: r}, p)
	switch {
	case errors.Is(err, ErrUnavailable):
		return nil, err
	case err != nil || r.GetState() != controlv1.ChangeRequest_STATE_OPEN:
		return []*controlv1.ApplyResult{made}, nil //nolint:nilerr // GetChangeRequest says what is in the way
	}
	before, err := s.authority.versionAt(ctx, changes[1].resource, p.GetFlagRevision())
	if err != nil {
		return nil, err
	}
	after, err := changes[1].content(version{}, version{})
	if err != nil {
		return nil, err
	}
	return []*controlv1.ApplyResult{made, {
		Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: changes[1].key, Revision: p.GetFlagRevision(),
		Action: controlv1.Action_ACTION_UPDATED, Changes: fieldChanges(pinned(before), pinned(after)),
	}}, nil
}

// conflicts are with what somebody has changed since, as a reader may know them.
func (s *ChangeRequests) conflicts(ctx context.Context, r *controlv1.ChangeRequest, reader Reader) ([]*controlv1.Conflict, error) {
	bases := basesOf(r)
	ranges := make([]store.Range, 0, len(bases))
	for _, b := range bases {
		ranges = append(ranges, store.Key(b.stateKey()))
	}
	results, _, err := s.authority.store.Read(ctx, ranges...)
	if err != nil {
		return nil, unavailable(err)
	}
	var conflicts []*controlv1.Conflict
	for i, b := range bases {
		current := b.kind.version(results[i])
		if current.revision == b.base || b.desired != nil && current.message != nil && proto.Equal(pinned(b.desired), pinned(current.message)) {
			continue
		}
		var conflict *ConflictError
		if err := s.authority.conflict(ctx, b.resource, b.base); !errors.As(err, &conflict) {
			return nil, err
		}
		conflicts = append(conflicts, reader.conflict(conflict).Conflict)
	}
	return conflicts, nil
}

// based is a resource that a change request would change, the revision that it replaces, and
// what shall be; nil: it shall not be, or what it shall be depends on it.
type based struct {
	resource
	base    int64
	desired proto.Message
}

func basesOf(r *controlv1.ChangeRequest) []based {
	var all []based
	add := func(k *kind, key string, base int64, desired proto.Message) {
		all = append(all, based{resource{environment: r.GetEnvironment(), kind: k, key: key}, base, desired})
	}
	for _, w := range r.GetWrites().GetSegments() {
		add(segmentKind, w.GetSegment().GetKey(), w.GetBaseRevision(), w.GetSegment())
	}
	for _, w := range r.GetWrites().GetFlags() {
		add(flagKind, w.GetFlag().GetKey(), w.GetBaseRevision(), w.GetFlag())
	}
	for _, d := range r.GetWrites().GetDeletes() {
		if d.GetSegmentKey() != "" {
			add(segmentKind, d.GetSegmentKey(), d.GetBaseRevision(), nil)
		} else {
			add(flagKind, d.GetFlagKey(), d.GetBaseRevision(), nil)
		}
	}
	if p := r.GetRollout(); p != nil {
		add(flagKind, p.GetRollout().GetFlagKey(), p.GetFlagRevision(), nil)
	}
	return all
}

// approvalsRequired is what an environment asks for now.
func (s *ChangeRequests) approvalsRequired(ctx context.Context, environment string) (int32, error) {
	settings, err := s.settings(ctx, environment)
	return settings.GetApproval().GetApprovals(), err
}

// settings are those of an environment now.
func (s *ChangeRequests) settings(ctx context.Context, environment string) (*controlv1.EnvironmentSettings, error) {
	results, _, err := s.authority.store.Read(ctx, store.Key(environmentKey(environment)))
	if err != nil {
		return nil, unavailable(err)
	}
	v := environmentKind.version(results[0])
	settings, ok := v.message.(*controlv1.EnvironmentSettings)
	if !ok && v.revision != 0 {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, settingsOf(environment))
	}
	return settings, nil
}

// ListChangeRequests lists those of an environment, newest first.
func (s *ChangeRequests) ListChangeRequests(ctx context.Context, r *controlv1.ListChangeRequestsRequest) (*controlv1.ListChangeRequestsResponse, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	if !keyPrefixPattern.MatchString(r.GetKeyPrefix()) {
		check.add("key_prefix", "must be the beginning of a key, which %s; got %q", keyRule, truncate(r.GetKeyPrefix(), maxEcho))
	}
	if _, known := controlv1.ChangeRequest_State_name[int32(r.GetState())]; !known {
		check.add("state", "%d is not a state that this server knows", r.GetState())
	}
	if err := check.err(); err != nil {
		return nil, err
	}
	of := changesRoot + r.GetEnvironment() + "/"
	p, err := pageRange(of, r.GetPageSize(), r.GetPageToken(), maxListPage, defaultListPage)
	if err != nil {
		return nil, err
	}
	if err := s.authority.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	resp := &controlv1.ListChangeRequestsResponse{}
	if resp.ApprovalsRequired, err = s.approvalsRequired(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	size := p.size
	for {
		kvs, revision, more, err := s.authority.readPage(ctx, p)
		if err != nil {
			return nil, err
		}
		resp.Revision = revision
		for i, kv := range kvs {
			held, ok := changeRequestKind.version(store.Result{KVs: []store.KV{kv}}).message.(*controlv1.ChangeRequest)
			if !ok {
				s.authority.logger.Error().Str("key", kv.Key).Int64("revision", kv.ModRevision).Msg("a stored value cannot be decoded; left out of a list")
				continue
			}
			if listedHere(r, held) {
				resp.ChangeRequests = append(resp.ChangeRequests, held)
			}
			if len(resp.GetChangeRequests()) == size {
				kvs, more = kvs[:i+1], more || i+1 < len(kvs)
				break
			}
		}
		if len(resp.GetChangeRequests()) == size || !more {
			resp.NextPageToken, err = nextToken(of, kvs, more, revision)
			return resp, err
		}
		p.revision, p.keys.Key = revision, kvs[len(kvs)-1].Key+"\x00"
	}
}

func listedHere(r *controlv1.ListChangeRequestsRequest, held *controlv1.ChangeRequest) bool {
	if r.GetState() != controlv1.ChangeRequest_STATE_UNSPECIFIED && held.GetState() != r.GetState() {
		return false
	}
	for _, key := range keysOf(held) {
		if !strings.HasPrefix(key, r.GetKeyPrefix()) {
			return false
		}
	}
	return true
}

// keysOf is what a change request names.
func keysOf(r *controlv1.ChangeRequest) []string {
	keys := append(append([]string{}, r.GetSegmentKeys()...), r.GetFlagKeys()...)
	if r.GetRolloutKey() != "" {
		keys = append(keys, r.GetRolloutKey())
	}
	return keys
}

// ChangeRequestKeys are the keys of the flags, segments and rollouts that a change request names,
// which never change; none: there is no such change request.
func (a *Authority) ChangeRequestKeys(ctx context.Context, environment string, number int64) ([]string, error) {
	if number <= 0 || !environmentPattern.MatchString(environment) {
		return nil, nil
	}
	results, _, err := a.store.Read(ctx, store.Key(changeRequest(environment, number).stateKey()))
	if err != nil {
		return nil, unavailable(err)
	}
	held, _ := changeRequestKind.version(results[0]).message.(*controlv1.ChangeRequest)
	return keysOf(held), nil
}

// ListChangeRequestHistory lists the audit entries of a change request, newest first.
func (s *ChangeRequests) ListChangeRequestHistory(ctx context.Context, r *controlv1.ListChangeRequestHistoryRequest) (*controlv1.ListChangeRequestHistoryResponse, error) {
	check := checkNumber(r.GetEnvironment(), r.GetNumber())
	if err := check.err(); err != nil {
		return nil, err
	}
	entries, next, err := s.authority.history(ctx, changeRequestKind, changeRequest(r.GetEnvironment(), r.GetNumber()).key, r)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListChangeRequestHistoryResponse{Entries: entries, NextPageToken: next}, nil
}
