package controlplane

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// ActiveRollout is a rollout that is not over, with what it is judged by, as the store has it.
type ActiveRollout struct {
	Environment string
	Rollout     *rolloutv1.Rollout
	// Flag is nil if it is not there, or cannot be decoded; its revision is 0 if it is not
	// there.
	Flag *flagv1.Flag
	// Evidence is as stored; nil if there is none, and its revision 0 then.
	Evidence                                        []byte
	RolloutRevision, FlagRevision, EvidenceRevision int64
	// RolloutKey and EvidenceKey are where the store has them.
	RolloutKey, EvidenceKey string
}

// rolloutsPerRead is how many rollouts one read of the store takes.
const rolloutsPerRead = store.MaxTxnOps / 3

// ActiveRollouts reads all rollouts that are not over, by environment, flag and rollout. Each
// is as of one revision, but not all of them as of the same: what is decided on several
// compares several. One that cannot be decoded is left out, and logged.
func (a *Authority) ActiveRollouts(ctx context.Context) ([]ActiveRollout, error) {
	claimed, err := a.claimedRollouts(ctx)
	if err != nil {
		return nil, err
	}
	var all []ActiveRollout
	for len(claimed) > 0 {
		n := min(len(claimed), rolloutsPerRead)
		some, err := a.readActive(ctx, claimed[:n])
		if err != nil {
			return nil, err
		}
		all, claimed = append(all, some...), claimed[n:]
	}
	return all, nil
}

// ActiveRollout reads one; nil: there is none that is not over.
func (a *Authority) ActiveRollout(ctx context.Context, environment, key string) (*ActiveRollout, error) {
	r := resource{environment: environment, kind: rolloutKind, key: key}
	v, err := a.get(ctx, rolloutKind, environment, key)
	if err != nil {
		return nil, err
	}
	held, _ := v.message.(*rolloutv1.Rollout)
	some, err := a.readActive(ctx, []claimedRollout{{r, resource{environment: environment, kind: flagKind, key: held.GetFlagKey()}}})
	if err != nil || len(some) == 0 {
		return nil, err
	}
	return &some[0], nil
}

// claimedRollout is a rollout that owns something of a flag.
type claimedRollout struct{ rollout, flag resource }

func (a *Authority) claimedRollouts(ctx context.Context) ([]claimedRollout, error) {
	results, _, err := a.store.Read(ctx, store.Prefix(claimsRoot))
	if err != nil {
		return nil, unavailable(err)
	}
	var claimed []claimedRollout
	for _, kv := range results[0].KVs {
		environment, flagKey, ok := strings.Cut(strings.TrimPrefix(kv.Key, claimsRoot), "/")
		held, err := decodeClaims(store.Result{KVs: []store.KV{kv}})
		if !ok || err != nil {
			a.logger.Error().Err(err).Str("key", kv.Key).Msg("a stored value cannot be decoded: the rollouts of this flag are not judged")
			continue
		}
		for _, c := range held.list {
			claimed = append(claimed, claimedRollout{
				rollout: resource{environment: environment, kind: rolloutKind, key: c.Rollout},
				flag:    resource{environment: environment, kind: flagKind, key: flagKey},
			})
		}
	}
	return claimed, nil
}

func (a *Authority) readActive(ctx context.Context, claimed []claimedRollout) ([]ActiveRollout, error) {
	ranges := make([]store.Range, 0, 3*len(claimed))
	for _, c := range claimed {
		ranges = append(ranges, store.Key(c.rollout.stateKey()), store.Key(c.flag.stateKey()), store.Key(evidenceKey(c.rollout.environment, c.rollout.key)))
	}
	results, _, err := a.store.Read(ctx, ranges...)
	if err != nil {
		return nil, unavailable(err)
	}
	var all []ActiveRollout
	for i, c := range claimed {
		held, flag, evidence := rolloutKind.version(results[3*i]), flagKind.version(results[3*i+1]), results[3*i+2].KVs
		one := ActiveRollout{
			Environment: c.rollout.environment, RolloutRevision: held.revision, FlagRevision: flag.revision,
			RolloutKey: c.rollout.stateKey(), EvidenceKey: evidenceKey(c.rollout.environment, c.rollout.key),
		}
		one.Rollout, _ = held.message.(*rolloutv1.Rollout)
		one.Flag, _ = flag.message.(*flagv1.Flag)
		if len(evidence) > 0 {
			one.Evidence, one.EvidenceRevision = evidence[0].Value, evidence[0].ModRevision
		}
		switch {
		case one.Rollout == nil && held.revision != 0:
			a.logger.Error().Str("key", one.RolloutKey).Int64("revision", held.revision).Msg("a stored value cannot be decoded: the rollout is not judged")
		case rollout.Active(one.Rollout):
			all = append(all, one)
		}
	}
	return all, nil
}

// ReadDecision reads one decision; nil: there is no such.
func (a *Authority) ReadDecision(ctx context.Context, environment, key string, number uint64) (*rolloutv1.Decision, error) {
	results, _, err := a.store.Read(ctx, store.Key(decisionKey(environment, key, number)))
	if err != nil {
		return nil, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return nil, nil
	}
	return decodeDecision(results[0].KVs[0])
}

// VerifyDecisions checks what is stored of decisions of one rollout, given from the first to the
// newest: that none is missing between them, and that each holds the hash of the one before.
// Their revisions, which are not stored, do not matter. An error says where the chain breaks.
func VerifyDecisions(decisions []*rolloutv1.Decision) error {
	var before *rolloutv1.Decision
	for _, d := range decisions {
		stored := proto.CloneOf(d)
		stored.Revision = 0
		if before == nil && d.GetNumber() == 1 && len(d.GetPreviousHash()) > 0 {
			return errors.New("decision 1 follows another one: it is not the first that there was")
		}
		if before != nil {
			data, err := marshal(before)
			switch {
			case err != nil:
				return err
			case d.GetNumber() != before.GetNumber()+1:
				return fmt.Errorf("decision %d is missing: %d comes after %d", before.GetNumber()+1, d.GetNumber(), before.GetNumber())
			case string(entryHash(data)) != string(d.GetPreviousHash()):
				return fmt.Errorf("decision %d is not what it was when decision %d was made: its hash is another one", before.GetNumber(), d.GetNumber())
			}
		}
		before = stored
	}
	return nil
}
