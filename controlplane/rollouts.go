package controlplane

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// Assessor tells how the evidence of rollouts stands: whoever decides does. It is asked for
// rollouts that are not over, and may be asked at any time, from any goroutine.
type Assessor interface {
	// Assess returns how the evidence stands; nil before anything was counted.
	Assess(ctx context.Context, environment, rollout string) (*rolloutv1.Assessment, error)
	// Violated names the guardrails that are violated.
	Violated(ctx context.Context, environment, rollout string) ([]string, error)
	// Success is what the success metric has come to; nil: there is none.
	Success(ctx context.Context, environment, rollout string) (*rolloutv1.SuccessAssessment, error)
}

// RolloutsOptions are what Rollouts are made of.
type RolloutsOptions struct {
	Authority *Authority // required
	// Assessor is asked for the evidence; nil: answers are without.
	Assessor Assessor
	// CountRelays tells how many relays follow an environment; nil: it is not known. It is
	// asked before a person's change of a weight, which an error does not keep from happening.
	CountRelays func(ctx context.Context, environment string) (uint32, error)
	// Announce returns what has people told of a person's change of a rollout, for the
	// transaction that it happens in; nil: nobody is.
	Announce func(RolloutChange) []store.Op
}

// RolloutChange is a person's change of a rollout.
type RolloutChange struct {
	Environment string
	// Before is nil where it started, After where it was deleted.
	Before, After *rolloutv1.Rollout
	Entry         *controlv1.AuditEntry
}

// Rollouts answers the rollout service. Its methods may be called from any goroutine.
type Rollouts struct {
	authority *Authority
	o         RolloutsOptions
}

// NewRollouts makes Rollouts.
func NewRollouts(o RolloutsOptions) (*Rollouts, error) {
	if o.Authority == nil {
		return nil, errors.New("controlplane: RolloutsOptions.Authority is required")
	}
	return &Rollouts{authority: o.Authority, o: o}, nil
}

// at is now, and who follows the environment.
func (s *Rollouts) at(ctx context.Context, environment string) rollout.At {
	at := rollout.At{Time: s.authority.now()}
	if s.o.CountRelays == nil {
		return at
	}
	n, err := s.o.CountRelays(ctx, environment)
	if err != nil {
		s.authority.logger.Warn().Err(err).Str("environment", environment).Msg("it is not known how many relays there are")
		return at
	}
	at.Relays = n
	return at
}

// StartRollout starts a rollout.
func (s *Rollouts) StartRollout(ctx context.Context, c Caller, r *controlv1.StartRolloutRequest) (*controlv1.StartRolloutResponse, error) {
	if err := checkStart(r); err != nil {
		return nil, err
	}
	if err := s.authority.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	at := s.at(ctx, r.GetEnvironment())
	for races := 0; ; races++ {
		w, err := s.start(ctx, c, r, at)
		if conflict := new(ConflictError); errors.As(err, &conflict) && races < maxRaces {
			continue // somebody changed the flag
		}
		if err != nil {
			return nil, err
		}
		resp := &controlv1.StartRolloutResponse{Rollout: rolloutVersion(w.results[0].version), Entry: w.results[0].entry}
		if len(w.results) > 1 {
			resp.FlagChanges = w.results[1].changes
		}
		return resp, nil
	}
}

func checkStart(r *controlv1.StartRolloutRequest) error {
	var check checker
	check.environment("environment", r.GetEnvironment())
	if !r.GetValidateOnly() {
		check.write(r)
	}
	if r.GetRollout() == nil {
		check.add("rollout", "is required")
		return check.err()
	}
	for _, e := range rollout.Check(r.GetRollout()) {
		check.add(fieldBelow("rollout", e.Field), "%s", e.Problem)
	}
	return check.err()
}

// start attempts to start a rollout on the flag as it is now.
func (s *Rollouts) start(ctx context.Context, c Caller, r *controlv1.StartRolloutRequest, at rollout.At) (*written, error) {
	changes, err := s.starting(ctx, r.GetEnvironment(), r.GetRollout(), at)
	if err != nil {
		if w, repeated := s.authority.repeated(ctx, c, r, r.GetEnvironment()); repeated {
			return w, nil
		}
		return nil, err
	}
	return s.authority.write(ctx, &plan{
		request: r, caller: c, environment: r.GetEnvironment(), changes: changes, validateOnly: r.GetValidateOnly(), announce: s.o.Announce,
	})
}

// starting are the changes that start a rollout on the flag as it is now: the rollout, then the
// flag.
func (s *Rollouts) starting(ctx context.Context, environment string, r *rolloutv1.Rollout, at rollout.At) ([]*change, error) {
	made := resource{environment: environment, kind: rolloutKind, key: r.GetKey()}
	flag := resource{environment: environment, kind: flagKind, key: r.GetFlagKey()}
	results, _, err := s.authority.store.Read(ctx, store.Key(flag.stateKey()), made.newestEntry(), store.Key(claimsKey(flag.environment, flag.key)))
	if err != nil {
		return nil, unavailable(err)
	}
	current := flagKind.version(results[0])
	next, err := started(r, flag, current, at)
	if err != nil {
		if len(results[1].KVs) > 0 { // what is wrong with the flag may be what the rollout made of it
			return nil, s.taken(ctx, made)
		}
		// So may it be what another rollout has made of it.
		owned, claimsErr := decodeClaims(results[2])
		if claimsErr != nil {
			return nil, claimsErr
		}
		if owner := checkFree(owned.list, flag.key, r.GetRule()); owner != nil {
			return nil, owner
		}
		return nil, err
	}
	split := flagOfRollout(flag, made.key, current.revision, controlv1.Action_ACTION_STARTED, next.Flag)
	split.unchecked = false // it may be too large with a split
	absent := int64(0)
	claim := &claimsChange{flagKey: flag.key, claim: rollout.ClaimOf(next.Rollout)}
	return []*change{
		{
			resource: made, field: "rollout", base: &absent, absent: true, unused: true, unchecked: true,
			verb: controlv1.Action_ACTION_STARTED, claims: claim, content: fixed(next.Rollout),
		},
		split,
	}, nil
}

// started is the rollout at its first stage.
func started(r *rolloutv1.Rollout, of resource, current version, at rollout.At) (rollout.Next, error) {
	flag, ok := current.message.(*flagv1.Flag)
	switch {
	case current.revision == 0:
		return rollout.Next{}, &NotFoundError{What: of.String()}
	case !ok:
		return rollout.Next{}, fmt.Errorf("%w: %s", ErrCorrupt, of)
	}
	next, err := rollout.Start(r, flag, at)
	return next, unfit("rollout", err)
}

// taken says that there is, or was, a rollout of the key.
func (s *Rollouts) taken(ctx context.Context, r resource) error {
	results, _, err := s.authority.store.Read(ctx, store.Key(r.stateKey()), r.newestEntry())
	if err != nil {
		return unavailable(err)
	}
	d, _, err := newDraft(&change{resource: r, absent: true, unused: true}, results)
	if err != nil {
		return err
	}
	if err := s.authority.checkPresence(ctx, d); err != nil {
		return err
	}
	return &ExistsError{What: r.String()}
}

// repeated returns the first result of a request that came before.
func (a *Authority) repeated(ctx context.Context, c Caller, r writeRequest, environment string) (*written, bool) {
	w, err := a.write(ctx, &plan{request: r, caller: c, environment: environment})
	return w, err == nil && w.repeated && len(w.results) > 0
}

// fixed is content that was decided on beforehand.
func fixed(m proto.Message) func(version, version) (proto.Message, error) {
	return func(version, version) (proto.Message, error) { return m, nil }
}

// flagOfRollout makes next of a flag that must be at the base, even if that changes nothing.
// Whatever else is wrong with the flag, it is not compiled: what shuts must not fail on it.
func flagOfRollout(flag resource, rolloutKey string, base int64, verb controlv1.Action, next *flagv1.Flag) *change {
	return &change{
		resource: flag, field: flagKind.field, base: &base, present: true, rollout: rolloutKey, unchecked: true,
		verb: verb, content: fixed(next),
	}
}

// unfit is an eval.Errors, which says how a rollout does not fit what is there, as an error of
// a request in which the rollout is at the path.
func unfit(path string, err error) error {
	var problems eval.Errors
	if !errors.As(err, &problems) {
		return err
	}
	fields := make(eval.Errors, 0, len(problems))
	for _, p := range problems {
		fields = append(fields, eval.FieldError{Field: fieldBelow(path, p.Field), Problem: p.Problem})
	}
	return &PreconditionError{Fields: fields}
}

func rolloutVersion(v version) *controlv1.RolloutVersion {
	r, _ := v.message.(*rolloutv1.Rollout)
	return &controlv1.RolloutVersion{Rollout: r, Revision: v.revision}
}

// GetRollout returns a rollout as the store has it now, and how its evidence stands.
func (s *Rollouts) GetRollout(ctx context.Context, r *controlv1.GetRolloutRequest) (*controlv1.GetRolloutResponse, error) {
	v, err := s.authority.get(ctx, rolloutKind, r.GetEnvironment(), r.GetKey())
	if err != nil {
		return nil, err
	}
	found := rolloutVersion(v)
	return &controlv1.GetRolloutResponse{Rollout: found, Assessment: s.assess(ctx, r.GetEnvironment(), found.GetRollout())}, nil
}

// assess is how the evidence stands, if anybody can tell: a rollout is shown without it, too.
func (s *Rollouts) assess(ctx context.Context, environment string, r *rolloutv1.Rollout) *rolloutv1.Assessment {
	if s.o.Assessor == nil || !rollout.Active(r) {
		return nil
	}
	assessment, err := s.o.Assessor.Assess(ctx, environment, r.GetKey())
	if err != nil {
		s.authority.logger.Debug().Err(err).Str("environment", environment).Str("rollout", r.GetKey()).Msg("a rollout is shown without its evidence")
		return nil
	}
	return assessment
}

// ListRollouts lists the rollouts of an environment that the reader may read, by key.
func (s *Rollouts) ListRollouts(ctx context.Context, r *controlv1.ListRolloutsRequest, reader Reader) (*controlv1.ListRolloutsResponse, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	if r.GetFlagKey() != "" {
		check.key("flag_key", r.GetFlagKey())
	}
	if !keyPrefixPattern.MatchString(r.GetKeyPrefix()) {
		check.add("key_prefix", "must be the beginning of a key, which %s; got %q", keyRule, truncate(r.GetKeyPrefix(), maxEcho))
	}
	if err := check.err(); err != nil {
		return nil, err
	}
	of := statePrefix(r.GetEnvironment(), rolloutKind) + r.GetKeyPrefix()
	p, err := pageRange(of, r.GetPageSize(), r.GetPageToken(), maxListPage, defaultListPage)
	if err != nil {
		return nil, err
	}
	if err := s.authority.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	resp := &controlv1.ListRolloutsResponse{}
	size := p.size
	for {
		kvs, revision, more, err := s.authority.readPage(ctx, p)
		if err != nil {
			return nil, err
		}
		resp.Revision = revision
		for i, kv := range kvs {
			v := rolloutKind.version(store.Result{KVs: []store.KV{kv}})
			if v.message == nil {
				s.authority.logger.Error().Str("key", kv.Key).Int64("revision", kv.ModRevision).Msg("a stored value cannot be decoded; left out of a list")
				continue
			}
			if found := rolloutVersion(v); wanted(r, found.GetRollout()) && reader.SeesRollout(found.GetRollout().GetKey(), found.GetRollout().GetFlagKey()) {
				resp.Rollouts = append(resp.Rollouts, found)
			}
			if len(resp.GetRollouts()) == size {
				kvs, more = kvs[:i+1], more || i+1 < len(kvs)
				break
			}
		}
		if len(resp.GetRollouts()) == size || !more {
			resp.NextPageToken, err = nextToken(of, kvs, more, revision)
			return resp, err
		}
		p.revision, p.keys.Key = revision, kvs[len(kvs)-1].Key+"\x00"
	}
}

func wanted(r *controlv1.ListRolloutsRequest, found *rolloutv1.Rollout) bool {
	return (r.GetFlagKey() == "" || found.GetFlagKey() == r.GetFlagKey()) && (!r.GetActive() || rollout.Active(found))
}

// ListRolloutHistory lists a rollout's audit entries, newest first.
func (s *Rollouts) ListRolloutHistory(ctx context.Context, r *controlv1.ListRolloutHistoryRequest) (*controlv1.ListRolloutHistoryResponse, error) {
	entries, next, err := s.authority.history(ctx, rolloutKind, r.GetKey(), r)
	if err != nil {
		return nil, err
	}
	return &controlv1.ListRolloutHistoryResponse{Entries: entries, NextPageToken: next}, nil
}

// DeleteRollout removes a rollout that is over.
func (s *Rollouts) DeleteRollout(ctx context.Context, c Caller, r *controlv1.DeleteRolloutRequest) (*controlv1.DeleteRolloutResponse, error) {
	if err := checkSteer(r); err != nil {
		return nil, err
	}
	target := resource{environment: r.GetEnvironment(), kind: rolloutKind, key: r.GetKey()}
	result, err := s.authority.writeOne(ctx, c, r, &change{
		resource: target, field: "key", base: r.BaseRevision, present: true, verb: controlv1.Action_ACTION_DELETED, unchecked: true,
		content: func(current, _ version) (proto.Message, error) {
			if held, _ := current.message.(*rolloutv1.Rollout); rollout.Active(held) {
				return nil, precluded("key", fmt.Sprintf("rollout %q is %s: abort it, or wait until it is over, first",
					r.GetKey(), rollout.StateWord(held.GetStatus().GetState())))
			}
			return nil, nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &controlv1.DeleteRolloutResponse{Entry: result.entry}, nil
}
