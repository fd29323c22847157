package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

const (
	// maxProposedBytes of what a change request would write: that is stored twice as it is
	// applied, with the changes besides.
	maxProposedBytes = 640 << 10
	// maxApplyAfter is how far ahead a change can be scheduled.
	maxApplyAfter = 365 * day
)

// ChangeRequestsOptions are what ChangeRequests are made of.
type ChangeRequestsOptions struct {
	Rollouts *Rollouts // required
	// InstanceID of this server: who applies what is due.
	InstanceID string
	// Identified: who calls is asked who they are. What those may do who proposed and approved a
	// change request is looked at again as it is applied.
	Identified bool
	// Announce returns what has people told of what became of a change request, for the
	// transaction that it happens in; nil: nobody is.
	Announce func(*controlv1.ChangeRequest, *controlv1.AuditEntry) []store.Op
}

// ChangeRequests answers the change request service, and applies what is due while this server
// leads. Its methods may be called from any goroutine.
type ChangeRequests struct {
	authority *Authority
	o         ChangeRequestsOptions
	// look is the longest time between two looks at the clock.
	look time.Duration
}

// NewChangeRequests makes ChangeRequests.
func NewChangeRequests(o ChangeRequestsOptions) (*ChangeRequests, error) {
	if o.Rollouts == nil {
		return nil, errors.New("controlplane: ChangeRequestsOptions.Rollouts is required")
	}
	return &ChangeRequests{authority: o.Rollouts.authority, o: o, look: lookEvery}, nil
}

// changeRequest names one.
func changeRequest(environment string, number int64) resource {
	return resource{environment: environment, kind: changeRequestKind, key: strconv.FormatInt(number, 10)}
}

func dueKey(environment string, number int64) string {
	return dueRoot + environment + "/" + strconv.FormatInt(number, 10)
}

// ProposeChangeRequest proposes a change.
func (s *ChangeRequests) ProposeChangeRequest(ctx context.Context, c Caller, r *controlv1.ProposeChangeRequestRequest) (*controlv1.ProposeChangeRequestResponse, error) {
	made, err := s.drawUp(ctx, c, r)
	if err != nil {
		// What is not possible now may be what this request has proposed.
		if w, repeated := s.authority.repeated(ctx, c, r, r.GetEnvironment()); repeated {
			return s.proposed(ctx, w.results[0])
		}
		return nil, err
	}
	for races := 0; ; races++ {
		newest, err := s.newest(ctx, r.GetEnvironment())
		if err != nil {
			return nil, err
		}
		made.Number = newest + 1
		result, err := s.propose(ctx, c, r, made)
		var exists *ExistsError
		if errors.As(err, &exists) && races < maxRaces {
			if newest, readErr := s.newest(ctx, r.GetEnvironment()); readErr == nil && newest >= made.GetNumber() {
				continue // somebody else has got the number
			}
		}
		if err != nil {
			return nil, err
		}
		return s.proposed(ctx, result)
	}
}

func (s *ChangeRequests) propose(ctx context.Context, c Caller, r *controlv1.ProposeChangeRequestRequest, made *controlv1.ChangeRequest) (*result, error) {
	proposal := &change{
		resource: changeRequest(r.GetEnvironment(), made.GetNumber()), field: "number", absent: true, unchecked: true,
		verb: controlv1.Action_ACTION_PROPOSED, content: fixed(proto.CloneOf(made)),
	}
	if at := made.GetApplyAt(); at != nil {
		proposal.with.Ops = []store.Op{store.Put(dueKey(r.GetEnvironment(), made.GetNumber()), []byte(at.AsTime().Format(time.RFC3339Nano)))}
	}
	w, err := s.authority.write(ctx, &plan{
		request: r, caller: c, environment: r.GetEnvironment(), changes: []*change{proposal}, tell: s.o.Announce,
	})
	if err != nil {
		return nil, err
	}
	return w.results[0], nil
}

// proposed is the answer to a request that was carried out.
func (s *ChangeRequests) proposed(ctx context.Context, r *result) (*controlv1.ProposeChangeRequestResponse, error) {
	made, _ := r.message.(*controlv1.ChangeRequest)
	results, err := s.results(ctx, made)
	if err != nil {
		return nil, err
	}
	wanted, err := s.approvalsRequired(ctx, r.environment)
	return &controlv1.ProposeChangeRequestResponse{
		ChangeRequest: made, Revision: r.revision, Results: results, ApprovalsRequired: wanted, Entry: r.entry,
	}, err
}

// newest is the number of the newest change request; 0: there is none.
func (s *ChangeRequests) newest(ctx context.Context, environment string) (int64, error) {
	first := store.Prefix(changesRoot + environment + "/")
	first.Limit = 1
	results, _, err := s.authority.store.Read(ctx, first)
	if err != nil {
		return 0, unavailable(err)
	}
	if len(results[0].KVs) == 0 {
		return 0, nil
	}
	return sequenceOf(results[0].KVs[0].Key)
}

// drawUp makes a change request, without a number, of a change that is possible now.
func (s *ChangeRequests) drawUp(ctx context.Context, c Caller, r *controlv1.ProposeChangeRequestRequest) (*controlv1.ChangeRequest, error) {
	now := s.authority.now()
	if err := checkProposal(r, now); err != nil {
		return nil, err
	}
	if err := s.authority.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	made := &controlv1.ChangeRequest{
		Environment: r.GetEnvironment(), State: controlv1.ChangeRequest_STATE_OPEN, Reason: r.GetReason(),
		Proposer: party(c), ProposedAt: timestamppb.New(now), ApplyAt: r.GetApplyAt(),
	}
	epoch, err := s.authority.readEpoch(ctx)
	if err != nil {
		return nil, err
	}
	made.Epoch = epoch.epoch.Proto()
	if r.GetRollout() != nil {
		err = s.drawUpRollout(ctx, c, r, made)
	} else {
		err = s.drawUpWrites(ctx, c, r, made)
	}
	if err != nil {
		return nil, err
	}
	if n := proto.Size(made); n > maxProposedBytes {
		return nil, invalid("flags", fmt.Sprintf("what is proposed takes %d bytes; a change request takes %d: propose fewer flags and segments at a time", n, maxProposedBytes))
	}
	return made, nil
}

func checkProposal(r *controlv1.ProposeChangeRequestRequest, now time.Time) error {
	var check checker
	check.environment("environment", r.GetEnvironment())
	check.write(r)
	writes := len(r.GetFlags()) + len(r.GetSegments()) + len(r.GetDeletes())
	switch {
	case r.GetRollout() != nil && writes > 0:
		check.add("rollout", "is proposed by itself: propose the flags and segments in a change request of their own")
	case r.GetRollout() == nil && writes == 0:
		check.add("flags", "is empty, and so are segments, deletes and rollout: name what shall be written")
	}
	if at := r.GetApplyAt(); at != nil {
		switch {
		case !at.IsValid():
			check.add("apply_at", "is not a time")
		case !at.AsTime().After(now):
			check.add("apply_at", "must be later than now, %s", now.UTC().Format(time.RFC3339))
		case at.AsTime().Sub(now) > maxApplyAfter:
			check.add("apply_at", "must be within a year from now, %s", now.UTC().Format(time.RFC3339))
		}
	}
	return check.err()
}

// drawUpWrites validates flags, segments and deletes, and keeps those that differ.
func (s *ChangeRequests) drawUpWrites(ctx context.Context, c Caller, r *controlv1.ProposeChangeRequestRequest, made *controlv1.ChangeRequest) error {
	apply := &controlv1.ApplyRequest{
		Environment: r.GetEnvironment(), Flags: r.GetFlags(), Segments: r.GetSegments(), Deletes: r.GetDeletes(), ValidateOnly: true,
	}
	validated, err := s.authority.Apply(ctx, c, apply)
	if err != nil {
		return err
	}
	writes, results := &controlv1.ProposedWrites{}, validated.GetResults()
	for i, w := range r.GetSegments() {
		if of := results[i]; of.GetAction() != controlv1.Action_ACTION_UNSPECIFIED {
			writes.Segments = append(writes.Segments, &controlv1.ProposedSegment{Segment: w.GetSegment(), BaseRevision: of.GetRevision()})
			made.SegmentKeys = append(made.SegmentKeys, of.GetKey())
		}
	}
	results = results[len(r.GetSegments()):]
	for i, w := range r.GetFlags() {
		if of := results[i]; of.GetAction() != controlv1.Action_ACTION_UNSPECIFIED {
			writes.Flags = append(writes.Flags, &controlv1.ProposedFlag{Flag: w.GetFlag(), BaseRevision: of.GetRevision()})
			made.FlagKeys = append(made.FlagKeys, of.GetKey())
		}
	}
	for _, d := range r.GetDeletes() {
		proposed := &controlv1.ProposedDelete{BaseRevision: d.GetBaseRevision(), Force: d.GetForce()}
		if d.GetKind() == controlv1.ResourceKind_RESOURCE_KIND_SEGMENT {
			proposed.What = &controlv1.ProposedDelete_SegmentKey{SegmentKey: d.GetKey()}
			made.SegmentKeys = append(made.SegmentKeys, d.GetKey())
		} else {
			proposed.What = &controlv1.ProposedDelete_FlagKey{FlagKey: d.GetKey()}
			made.FlagKeys = append(made.FlagKeys, d.GetKey())
		}
		writes.Deletes = append(writes.Deletes, proposed)
	}
	switch n := len(made.GetFlagKeys()) + len(made.GetSegmentKeys()); {
	case n == 0:
		return precluded("flags", r.GetEnvironment()+" is as it shall be already: there is nothing to propose")
	case n > maxDiffering:
		return invalid("flags", fmt.Sprintf("%d flags and segments differ from what is there; a change request takes %d: propose fewer at a time, those that others need first", n, maxDiffering))
	}
	made.Change = &controlv1.ChangeRequest_Writes{Writes: writes}
	return nil
}

// drawUpRollout validates a rollout on its flag as it is.
func (s *ChangeRequests) drawUpRollout(ctx context.Context, c Caller, r *controlv1.ProposeChangeRequestRequest, made *controlv1.ChangeRequest) error {
	start := &controlv1.StartRolloutRequest{Environment: r.GetEnvironment(), Rollout: r.GetRollout(), ValidateOnly: true}
	if err := checkStart(start); err != nil {
		return err
	}
	changes, err := s.o.Rollouts.starting(ctx, r.GetEnvironment(), r.GetRollout(), rollout.At{Time: s.authority.now()})
	if err != nil {
		return err
	}
	if _, err := s.authority.write(ctx, &plan{request: start, caller: c, environment: r.GetEnvironment(), changes: changes, validateOnly: true}); err != nil {
		return err
	}
	made.RolloutKey, made.FlagKeys = r.GetRollout().GetKey(), []string{r.GetRollout().GetFlagKey()}
	made.Change = &controlv1.ChangeRequest_Rollout{Rollout: &controlv1.ProposedRollout{
		Rollout: r.GetRollout(), FlagRevision: *changes[1].base,
	}}
	return nil
}

// party is who calls.
func party(c Caller) *controlv1.Party { return &controlv1.Party{Name: c.Actor, IdentityId: c.Identity} }

// samePerson tells whether two parties are one person: where in doubt, they are. So names that
// differ by case alone are one.
func samePerson(a, b *controlv1.Party) bool {
	return strings.EqualFold(a.GetName(), b.GetName()) || a.GetIdentityId() != "" && a.GetIdentityId() == b.GetIdentityId()
}

// sameParty tells whether two parties are one identity, whatever it is called; where nobody was asked
// who they are, one name.
func sameParty(a, b *controlv1.Party) bool {
	return a.GetIdentityId() == b.GetIdentityId() && (a.GetIdentityId() != "" || samePerson(a, b))
}

// numberRequest is a request about one change request.
type numberRequest interface {
	environmentRequest
	GetNumber() int64
}

func checkNumber(environment string, number int64) checker {
	var check checker
	check.environment("environment", environment)
	if number <= 0 {
		check.add("number", "must be that of a change request, from 1 on")
	}
	return check
}

// comment checks what a write carries whose reason may be empty.
func (c *checker) comment(r writeRequest) {
	if n := utf8.RuneCountInString(r.GetReason()); n > maxReason {
		c.add("reason", "must be at most %d characters, not %d", maxReason, n)
	}
	if id := r.GetRequestId(); id != "" && !requestIDPattern.MatchString(id) {
		c.add("request_id", "%s; got %q", requestIDRule, truncate(id, maxEcho))
	}
}

// checkOpen refuses what can become only of a change request that is open.
func checkOpen(r *controlv1.ChangeRequest) error {
	if r.GetState() == controlv1.ChangeRequest_STATE_OPEN {
		return nil
	}
	word := map[controlv1.ChangeRequest_State]string{
		controlv1.ChangeRequest_STATE_APPLIED:   "was applied",
		controlv1.ChangeRequest_STATE_REJECTED:  "was rejected",
		controlv1.ChangeRequest_STATE_WITHDRAWN: "was withdrawn",
		controlv1.ChangeRequest_STATE_FAILED:    "could not be applied",
	}[r.GetState()]
	text := fmt.Sprintf("change request #%d %s by %s at %s", r.GetNumber(), cmp.Or(word, "is over"),
		r.GetClosedBy().GetName(), r.GetClosedAt().AsTime().Format(time.RFC3339))
	if why := r.GetClosingReason(); why != "" {
		text += ": " + truncate(why, maxConflictReason)
	}
	return precluded("number", text)
}
