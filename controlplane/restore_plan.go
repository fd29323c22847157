package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// restoration is what takes an environment back.
type restoration struct {
	environment string
	counts      *restoredCounts
	chunks      [][]*restoring
	// owners are the rollouts under way that own what would change.
	owners []string
}

// plan works out a restoration on what there is now, and makes sure that all of it could be
// written.
func (s *Restorer) plan(ctx context.Context, r *controlv1.RestoreEnvironmentRequest) (*restoration, error) {
	a := s.authority
	p := &restoration{environment: r.GetEnvironment(), counts: &restoredCounts{}}
	current, revision, err := a.present(ctx, p.environment, 0)
	if err != nil {
		return nil, err
	}
	p.counts.Base = revision
	if p.counts.AsOf, err = a.restoredTo(ctx, r, revision); err != nil {
		return nil, err
	}
	past := make(map[*kind]map[string]version)
	for _, k := range []*kind{segmentKind, flagKind, rolloutKind} {
		if past[k], err = a.asOf(ctx, p.environment, k, p.counts.AsOf); err != nil {
			return nil, err
		}
	}
	changes, err := p.differences(current, past)
	if err != nil {
		return nil, err
	}
	if err := a.checkUnchanged(ctx, r, current); err != nil {
		return nil, err
	}
	if err := a.checkWhole(ctx, p.environment, changes, revision); err != nil {
		return nil, err
	}
	var tooLarge []*restoring
	if p.chunks, tooLarge = chunks(inOrder(changes)); tooLarge != nil {
		return nil, precluded("revision", quoteList(names(tooLarge))+
			" need each other, so that they can only change at once, and no transaction takes them: restore some of them by themselves, first")
	}
	p.counts.add(p.chunks)
	p.unattended(changes, past[rolloutKind])
	if err := p.findOwners(ctx, a, changes); err != nil {
		return nil, err
	}
	if len(p.owners) > 0 && !r.GetAbortRollouts() && !r.GetValidateOnly() {
		return nil, p.inTheWay()
	}
	return p, nil
}

// restoredTo is the revision that a request means.
func (a *Authority) restoredTo(ctx context.Context, r *controlv1.RestoreEnvironmentRequest, now int64) (int64, error) {
	if r.GetTime() != nil {
		if at := r.GetTime().AsTime(); at.After(a.now()) {
			return 0, invalid("time", at.UTC().Format(time.RFC3339Nano)+" is in the future")
		}
		return a.revisionAt(ctx, r.GetEnvironment(), r.GetTime().AsTime())
	}
	if r.GetRevision() > now {
		return 0, invalid("revision", fmt.Sprintf("%d is in the future: the store is at revision %d", r.GetRevision(), now))
	}
	results, _, err := a.store.Read(ctx, store.Key(environmentKey(r.GetEnvironment())))
	if err != nil {
		return 0, unavailable(err)
	}
	for _, kv := range results[0].KVs {
		if kv.CreateRevision > r.GetRevision() {
			return 0, &NotFoundError{What: fmt.Sprintf("environment %q at revision %d: it was made at revision %d",
				r.GetEnvironment(), r.GetRevision(), kv.CreateRevision)}
		}
	}
	return r.GetRevision(), nil
}

// present reads all flags and segments that there are at one revision; 0: now.
func (a *Authority) present(ctx context.Context, environment string, revision int64) (map[*kind]map[string]version, int64, error) {
	all := make(map[*kind]map[string]version)
	for _, k := range []*kind{segmentKind, flagKind} {
		all[k] = make(map[string]version)
		prefix := statePrefix(environment, k)
		p := page{keys: store.Prefix(prefix), revision: revision, size: maxListPage}
		for more := true; more; {
			kvs, at, rest, err := a.readPage(ctx, p)
			if err != nil {
				return nil, 0, err
			}
			for _, kv := range kvs {
				all[k][kv.Key[len(prefix):]] = k.version(store.Result{KVs: []store.KV{kv}})
				p.keys.Key = kv.Key + "\x00"
			}
			revision, p.revision, more = at, at, rest
		}
	}
	return all, revision, nil
}

// differences are what the present has to be changed by.
func (p *restoration) differences(current, past map[*kind]map[string]version) ([]*restoring, error) {
	var (
		changes  []*restoring
		problems eval.Errors
	)
	digest := sha256.New()
	for _, k := range []*kind{segmentKind, flagKind} {
		keys := maps.Clone(past[k])
		maps.Copy(keys, current[k])
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			now := current[k][key]
			was, there := past[k][key]
			c := &restoring{before: now, change: &change{
				resource: resource{environment: p.environment, kind: k, key: key},
				field:    fmt.Sprintf("%ss[%s]", k.name, key), base: &now.revision,
			}}
			switch {
			case there:
				c.after, c.restored, c.verb = pinned(was.message), was.revision, controlv1.Action_ACTION_RESTORED
				data, err := marshal(c.after)
				if err != nil {
					return nil, err
				}
				addContent(digest, k, key, data)
			default:
				c.verb, c.present = controlv1.Action_ACTION_DELETED, true
			}
			if before := pinned(now.message); c.after != nil && before != nil && proto.Equal(before, c.after) {
				continue
			}
			if there {
				known, err := compile(c.field, c.after)
				if invalid := new(InvalidError); errors.As(err, &invalid) {
					problems = append(problems, invalid.Fields...)
					continue
				}
				c.known = &known
			}
			c.content = fixed(c.after)
			changes = append(changes, c)
		}
	}
	p.counts.Digest = digest.Sum(nil)
	if len(problems) > 0 {
		return nil, &PreconditionError{Fields: problems}
	}
	return changes, nil
}

// addContent adds a flag or segment to a digest of content.
func addContent(digest interface{ Write([]byte) (int, error) }, k *kind, key string, data []byte) {
	for _, part := range [][]byte{[]byte(k.letter), []byte(key), data} {
		_, _ = digest.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // a hash does not fail
		_, _ = digest.Write(part)
	}
}

// checkUnchanged makes sure that nothing was changed since the base, but by this request.
func (a *Authority) checkUnchanged(ctx context.Context, r *controlv1.RestoreEnvironmentRequest, current map[*kind]map[string]version) error {
	base := r.GetBaseRevision()
	if base == 0 {
		return nil
	}
	for _, k := range []*kind{segmentKind, flagKind} {
		then, err := a.asOf(ctx, r.GetEnvironment(), k, base)
		if err != nil {
			return err
		}
		keys := maps.Clone(then)
		maps.Copy(keys, current[k])
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if then[key].revision == current[k][key].revision {
				continue
			}
			target := resource{environment: r.GetEnvironment(), kind: k, key: key}
			results, _, err := a.store.Read(ctx, target.newestEntry())
			if err != nil {
				return unavailable(err)
			}
			for _, kv := range results[0].KVs {
				entry, err := decodeEntry(kv)
				if err != nil {
					return err
				}
				if id := entry.GetRequestId(); id != r.GetRequestId() && id != abortID(r.GetRequestId(), entry.GetRolloutKey()) {
					return a.conflict(ctx, target, then[key].revision)
				}
			}
		}
	}
	return nil
}

// checkWhole checks the environment as it will be.
func (a *Authority) checkWhole(ctx context.Context, environment string, changes []*restoring, revision int64) error {
	if len(changes) == 0 {
		return nil
	}
	drafts := make([]*draft, 0, len(changes))
	for _, c := range changes {
		drafts = append(drafts, &draft{change: c.change, current: c.before, desired: c.after, compiled: c.known})
	}
	return a.checkReferences(ctx, environment, drafts, revision)
}

// findOwners finds the rollouts that the changes would disturb.
func (p *restoration) findOwners(ctx context.Context, a *Authority, changes []*restoring) error {
	flags := make(map[string]*restoring)
	for _, c := range changes {
		if c.kind == flagKind {
			flags[c.key] = c
		}
	}
	results, _, err := a.store.Read(ctx, store.Prefix(claimsKey(p.environment, "")))
	if err != nil {
		return unavailable(err)
	}
	for _, kv := range results[0].KVs {
		_, flagKey := cutLast(kv.Key)
		c := flags[flagKey]
		if c == nil {
			continue
		}
		held, err := decodeClaims(store.Result{KVs: []store.KV{kv}})
		if err != nil {
			return err
		}
		before, _ := c.before.message.(*flagv1.Flag)
		after, _ := c.after.(*flagv1.Flag)
		for _, claim := range held.list {
			if len(claim.Disturbed(before, after)) > 0 {
				p.owners = append(p.owners, claim.Rollout)
			}
		}
	}
	slices.Sort(p.owners)
	return nil
}

// unattended finds the rollouts that were under way then, of flags that change.
func (p *restoration) unattended(changes []*restoring, then map[string]version) {
	for _, key := range slices.Sorted(maps.Keys(then)) {
		was, _ := then[key].message.(*rolloutv1.Rollout)
		if rollout.Active(was) && slices.ContainsFunc(changes, func(c *restoring) bool {
			return c.kind == flagKind && c.key == was.GetFlagKey() && c.after != nil
		}) {
			p.counts.Unattended = append(p.counts.Unattended, key)
		}
	}
}

// abortID is the id of the request that aborts a rollout for another request: no other one has it.
func abortID(requestID, rolloutKey string) string {
	if rolloutKey == "" {
		return requestID
	}
	sum := sha256.Sum256([]byte(requestID + "/" + rolloutKey))
	return "restore-" + hex.EncodeToString(sum[:16])
}
