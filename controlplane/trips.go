package controlplane

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	telemetryv1 "github.com/tidegate/tidegate/gen/go/tidegate/telemetry/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// Trip is what a relay told that was cut off: it has shut a rollout by itself.
type Trip struct {
	// Relay is its instance id.
	Relay string
	*telemetryv1.Trip
}

// MaxTrips is how many trips of one rollout are written at once: of more, the first.
const MaxTrips = 16

// PlanTrips works out what records trips that nothing follows from: of an earlier step, or of
// a rollout that is over. The error is a *NotFoundError if there is no such rollout.
func (a *Authority) PlanTrips(ctx context.Context, environment, key string, trips []Trip) (store.Txn, error) {
	r := resource{environment: environment, kind: rolloutKind, key: key}
	c := &change{resource: r}
	results, _, err := a.store.Read(ctx, c.ranges()...)
	if err != nil {
		return store.Txn{}, unavailable(err)
	}
	d, _, err := newDraft(c, results)
	switch {
	case err != nil:
		return store.Txn{}, err
	case d.current.revision == 0:
		return store.Txn{}, &NotFoundError{What: r.String()}
	}
	// Whether it is over must not change meanwhile: what has to be decided on is.
	t := store.Txn{Compares: []store.Compare{store.Unchanged(r.stateKey(), d.current.revision)}}
	return t, d.writeTrips(&t, trips, timestamppb.New(a.now()))
}

// writeTrips adds entries of trips to a transaction; what the draft itself writes follows them.
func (d *draft) writeTrips(t *store.Txn, trips []Trip, now *timestamppb.Timestamp) error {
	held, _ := d.current.message.(*rolloutv1.Rollout)
	for _, trip := range trips[:min(len(trips), MaxTrips)] {
		entry := &controlv1.AuditEntry{
			Environment: d.environment, Kind: d.kind.control, Key: d.key, Sequence: d.newest.sequence + 1,
			Action: controlv1.Action_ACTION_TRIPPED, Actor: trip.Relay, Reason: truncate(tripText(trip), maxReason), Time: now,
			PreviousRevision: d.current.revision, PreviousHash: d.newest.hash,
		}
		setEntryResource(entry, held)
		stored, err := marshal(entry)
		if err != nil {
			return err
		}
		key := d.auditKey(entry.GetSequence())
		t.Compares = append(t.Compares, store.Absent(key))
		t.Ops = append(t.Ops, store.Put(key, stored))
		d.newest = newestEntry{sequence: entry.GetSequence(), hash: entryHash(stored)}
	}
	return nil
}

// tripText tells a trip in a sentence.
func tripText(t Trip) string {
	if t.GetLiftedAt() != nil {
		return fmt.Sprintf("Since %s it goes by the control plane again; cut off, it had served the control from %s on, at step %d (%s)",
			clock(t.GetLiftedAt()), clock(t.GetTime()), t.GetStep(), t.GetGuardrail())
	}
	return fmt.Sprintf("Cut off, it serves the control since %s, at step %d: %s violated, %d of %d against %d of %d; harm %s of %s",
		clock(t.GetTime()), t.GetStep(), t.GetGuardrail(), t.GetTreatmentEvents(), t.GetTreatmentExposures(),
		t.GetControlEvents(), t.GetControlExposures(), rollout.EValue(t.GetLogE()), rollout.EValue(t.GetLogThreshold()))
}

func clock(t *timestamppb.Timestamp) string { return t.AsTime().Format("2006-01-02 15:04:05Z") }
