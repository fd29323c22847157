package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// What requests have in common whose changes may take several transactions: they write the
// difference to what there is, and are recorded with the last of them.

// recordedCounts is what a request came to that was carried out before, and at which revision;
// nil: it was not.
func (a *Authority) recordedCounts(ctx context.Context, environment string, r writeRequest) (*restoredCounts, int64, error) {
	results, _, err := a.store.Read(ctx, store.Key(requestKey(environment, r.GetRequestId())))
	if err != nil {
		return nil, 0, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return nil, 0, nil
	}
	kv := results[0].KVs[0]
	rec, err := decodeRecord(kv.Value)
	if err != nil {
		return nil, 0, err
	}
	digest, err := fingerprint(r)
	if err != nil {
		return nil, 0, err
	}
	if rec.Fingerprint != digest || rec.Restored == nil {
		return nil, 0, usedRequest(r.GetRequestId(), environment, kv.ModRevision)
	}
	return rec.Restored, kv.ModRevision, nil
}

// writeChunks writes changes, chunk by chunk, each by a plan that is made for it. It returns the
// revision of the last one. repeated: another call wrote it, of the same request.
func (a *Authority) writeChunks(ctx context.Context, chunks [][]*restoring, newPlan func() *plan) (revision int64, repeated bool, err error) {
	for i, chunk := range chunks {
		w := newPlan()
		w.unrecorded = i < len(chunks)-1
		for _, change := range chunk {
			w.changes = append(w.changes, change.change)
		}
		done, err := a.write(ctx, w)
		if err != nil {
			if i > 0 {
				err = fmt.Errorf("%w; %d of %d transactions were written: the same request again goes on from there", err, i, len(chunks))
			}
			return 0, false, err
		}
		if done.repeated {
			return 0, true, nil
		}
		revision = done.revision
	}
	return revision, false, nil
}

// shownChanges are what a preview shows, as far as it fits.
func shownChanges(chunks [][]*restoring) []*controlv1.ApplyResult {
	var shown []*controlv1.ApplyResult
	size := 0
	for _, chunk := range chunks {
		for _, c := range chunk {
			result := &controlv1.ApplyResult{Kind: c.kind.control, Key: c.key, Action: c.action(), Revision: c.before.revision}
			if size < maxPageBytes {
				result.Changes = fieldChanges(pinned(c.before.message), c.after)
				size += proto.Size(result)
			}
			shown = append(shown, result)
		}
	}
	return shown
}

// action names what a change does for a preview.
func (r *restoring) action() controlv1.Action {
	switch {
	case r.after == nil:
		return controlv1.Action_ACTION_DELETED
	case r.before.revision == 0:
		return controlv1.Action_ACTION_CREATED
	}
	return controlv1.Action_ACTION_UPDATED
}

// add adds up what changes are.
func (c *restoredCounts) add(chunks [][]*restoring) {
	c.Transactions = int32(len(chunks))
	for change := range slices.Values(slices.Concat(chunks...)) {
		switch change.action() {
		case controlv1.Action_ACTION_CREATED:
			c.Created++
		case controlv1.Action_ACTION_DELETED:
			c.Deleted++
		default:
			c.Updated++
		}
	}
}

// names lists what a group of changes is of.
func names(group []*restoring) []string {
	all := make([]string, 0, len(group))
	for _, c := range group {
		all = append(all, strings.TrimSpace(c.name()))
	}
	return all
}
