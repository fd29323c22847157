package controlplane

import (
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/eval"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// heldClaims is what rollouts that are not over own of one flag; revision 0: nothing.
type heldClaims struct {
	revision int64
	list     []rollout.Claim
}

// claimsChange is what becomes of the claims on a flag, as part of a rollout's change.
type claimsChange struct {
	flagKey string
	claim   rollout.Claim
	release bool // else it is taken
}

func decodeClaims(r store.Result) (heldClaims, error) {
	if len(r.KVs) == 0 {
		return heldClaims{}, nil
	}
	h := heldClaims{revision: r.KVs[0].ModRevision}
	if err := json.Unmarshal(r.KVs[0].Value, &h.list); err != nil {
		return h, fmt.Errorf("%w: claims of rollouts at %s: %w", ErrCorrupt, r.KVs[0].Key, err)
	}
	return h, nil
}

// claimsKey is where the claims are that a change is decided on; empty: on none. The kill
// switch, which is unchecked, waits for nothing and is free of them.
func (c *change) claimsKey() string {
	switch {
	case c.claims != nil:
		return claimsKey(c.environment, c.claims.flagKey)
	case c.kind == flagKind && c.rollout == "" && !c.unchecked:
		return claimsKey(c.environment, c.key)
	}
	return ""
}

// checkClaims refuses a change of a flag that would disturb a rollout, and one of a rollout
// that would take what another one owns.
func (d *draft) checkClaims(current proto.Message) error {
	if d.claims != nil {
		return d.checkClaim()
	}
	before, _ := current.(*flagv1.Flag)
	after, _ := d.desired.(*flagv1.Flag)
	var fields eval.Errors
	for _, claim := range d.owned.list {
		for _, e := range claim.Disturbed(before, after) {
			fields = append(fields, eval.FieldError{Field: fieldBelow(d.field, e.Field), Problem: e.Problem})
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return &PreconditionError{Fields: fields}
}

func (d *draft) checkClaim() error {
	if d.claims.release {
		return nil
	}
	return checkFree(d.owned.list, d.claims.flagKey, d.claims.claim.Rule)
}

// checkFree refuses to take an outcome that another rollout owns.
func checkFree(owned []rollout.Claim, flagKey, rule string) error {
	for _, other := range owned {
		if other.Rule == rule {
			return precluded("rollout.rule", fmt.Sprintf("rollout %q owns %s of flag %q: wait until it is over, or abort it",
				other.Rollout, rollout.OutcomeWord(rule), flagKey))
		}
	}
	return nil
}

// writeClaims adds to a transaction what becomes of the claims, and that they are still what
// the draft was decided on.
func (d *draft) writeClaims(t *store.Txn) error {
	key := d.claimsKey()
	if key == "" {
		return nil
	}
	t.Compares = append(t.Compares, store.Unchanged(key, d.owned.revision))
	if d.claims == nil {
		return nil
	}
	list := slices.DeleteFunc(slices.Clone(d.owned.list), func(c rollout.Claim) bool { return c.Rollout == d.claims.claim.Rollout })
	if !d.claims.release {
		list = append(list, d.claims.claim)
	}
	if len(list) == 0 {
		t.Ops = append(t.Ops, store.Delete(key))
		return nil
	}
	value, err := json.Marshal(list)
	if err != nil {
		return err
	}
	t.Ops = append(t.Ops, store.Put(key, value))
	return nil
}

// fieldBelow is the path of a part of what is at a path of the request.
func fieldBelow(field, part string) string {
	switch {
	case part == "":
		return field
	case field == "":
		return part
	}
	return field + "." + part
}
