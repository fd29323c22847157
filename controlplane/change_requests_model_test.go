package controlplane

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestRandomApprovals has people propose, approve, reject, withdraw, apply, write past all that,
// switch flags off and change what approvals are asked for, all at once on two servers. Then the
// audit trail, in the order of its revisions, must be what a model allows.
func TestRandomApprovals(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	servers := []*requesting{newRequesting(runOn(t, s)), newRequesting(runOn(t, s))}
	const flags = 12
	for i := range flags {
		servers[0].create(boolFlag(fmt.Sprintf("f%d", i)))
	}
	people := []Caller{alice, bob, carol, {Actor: "dave"}, {Actor: "erin"}, {Actor: "frank"}}
	var wg sync.WaitGroup
	for i, who := range people {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 400 {
				hand := &hand{servers[random.IntN(2)], who, random, fmt.Sprintf("f%d", random.IntN(flags))}
				if err := hand.act(); !refusedFairly(err) {
					t.Errorf("%s: %v", who.Actor, err)
				}
			}
		})
	}
	wg.Wait()
	counts := checkApprovals(t, s)
	t.Logf("%v", counts)
	for _, what := range []string{"applied", "applied with approvals", "rejected", "withdrawn", "direct", "switched off"} {
		if counts[what] == 0 {
			t.Errorf("nothing was %s: the test does not test", what)
		}
	}
}

// refusedFairly tells whether an error is one that people are given.
func refusedFairly(err error) bool {
	var (
		precondition *PreconditionError
		conflict     *ConflictError
		missing      *NotFoundError
	)
	return err == nil || errors.As(err, &precondition) || errors.As(err, &conflict) || errors.As(err, &missing)
}

// hand is somebody who does something at random.
type hand struct {
	*requesting
	who    Caller
	random *rand.Rand
	flag   string
}

func (h *hand) act() error {
	number, err := h.newest(h.ctx, production)
	if err != nil {
		return err
	}
	number = max(1, number-h.random.Int64N(3))
	text := fmt.Sprint(h.random.Uint64())
	switch h.random.IntN(20) {
	case 0, 1, 2, 3:
		_, err = h.tryPropose(h.who, &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{{Flag: described(h.flag, text)}}})
	case 4, 5, 6, 7, 8, 9, 10:
		err = h.approve(h.who, number)
	case 11, 12, 13, 14:
		_, err = h.applyAs(h.who, number)
	case 15:
		if h.random.IntN(2) == 0 {
			err = h.reject(h.who, number)
		} else {
			err = h.withdraw(h.who, number)
		}
	case 16, 17:
		_, err = h.Apply(h.ctx, h.who, &controlv1.ApplyRequest{
			Environment: production, Flags: []*controlv1.FlagWrite{{Flag: described(h.flag, text)}}, Reason: "past all that",
		})
	case 18:
		_, err = h.SetEnabled(h.ctx, h.who, &controlv1.SetEnabledRequest{
			Environment: production, FlagKey: h.flag, Enabled: h.random.IntN(2) == 0, Reason: "switch",
		})
	default:
		err = h.setApprovals(int32(h.random.IntN(3)))
	}
	return err
}

func (h *hand) setApprovals(n int32) error {
	current, err := h.GetEnvironment(h.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil {
		return err
	}
	_, err = h.UpdateEnvironment(h.ctx, h.who, &controlv1.UpdateEnvironmentRequest{
		Environment: production, Settings: &controlv1.EnvironmentSettings{Approval: &controlv1.ApprovalPolicy{Approvals: n}},
		BaseRevision: current.GetRevision(), Reason: "as agreed",
	})
	return err
}

// modelled is what the model knows of a change request.
type modelled struct {
	proposer string
	open     bool
	approved map[string]bool
	bases    map[string]int64
}

// checkApprovals goes over the trail of production, and counts what happened.
func checkApprovals(t *testing.T, s store.Store) map[string]int {
	t.Helper()
	results, _, err := s.Read(t.Context(), store.Prefix(auditRoot+production+"/"))
	if err != nil {
		t.Fatal(err)
	}
	kvs := results[0].KVs
	slices.SortStableFunc(kvs, func(a, b store.KV) int { return cmp.Compare(a.ModRevision, b.ModRevision) })
	var (
		counts   = map[string]int{}
		required int32
		requests = map[int64]*modelled{}
		at       = map[string]int64{} // revisions of flags
		applied  = map[int64]int64{}  // revision -> number
		written  = map[int64]int64{}
	)
	for _, kv := range kvs {
		e, err := decodeEntry(kv)
		if err != nil {
			t.Fatal(err)
		}
		switch e.GetKind() {
		case controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT:
			required = e.GetEnvironmentSettings().GetApproval().GetApprovals()
		case controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST:
			if modelRequest(t, e, requests, required) {
				applied[e.GetRevision()] = e.GetChangeRequest().GetNumber()
				if required > 0 {
					counts["applied with approvals"]++
				}
			}
			counts[actionWord(e.GetAction())]++
		case controlv1.ResourceKind_RESOURCE_KIND_FLAG:
			switch number := e.GetChangeRequestNumber(); {
			case number != 0:
				written[e.GetRevision()] = number
				if base := requests[number].bases[e.GetKey()]; base != at[e.GetKey()] || base != e.GetPreviousRevision() {
					t.Errorf("#%d was based on revision %d of %s, and replaced %d", number, base, e.GetKey(), at[e.GetKey()])
				}
			case e.GetAction() == controlv1.Action_ACTION_DISABLED:
				counts["switched off"]++
			case required > 0:
				t.Errorf("revision %d: %s %s without approval, where %d are asked for", e.GetRevision(), actionWord(e.GetAction()), e.GetKey(), required)
			default:
				counts["direct"]++
			}
			at[e.GetKey()] = e.GetRevision()
		}
	}
	for revision, number := range written {
		if applied[revision] != number {
			t.Errorf("revision %d was written by #%d, which was not applied then", revision, number)
		}
	}
	for revision, number := range applied {
		if written[revision] != number {
			t.Errorf("#%d was applied at revision %d, and wrote nothing", number, revision)
		}
	}
	return counts
}

// modelRequest takes in an entry of a change request, and tells whether it was applied.
func modelRequest(t *testing.T, e *controlv1.AuditEntry, requests map[int64]*modelled, required int32) bool {
	t.Helper()
	r := e.GetChangeRequest()
	if e.GetAction() == controlv1.Action_ACTION_PROPOSED {
		made := &modelled{proposer: e.GetActor(), open: true, approved: map[string]bool{}, bases: map[string]int64{}}
		for _, w := range r.GetWrites().GetFlags() {
			made.bases[w.GetFlag().GetKey()] = w.GetBaseRevision()
		}
		if requests[r.GetNumber()] != nil || r.GetNumber() != int64(len(requests))+1 {
			t.Errorf("#%d was proposed, the next is #%d", r.GetNumber(), len(requests)+1)
		}
		requests[r.GetNumber()] = made
		return false
	}
	m := requests[r.GetNumber()]
	if !m.open {
		t.Errorf("#%d was %s after it was over", r.GetNumber(), actionWord(e.GetAction()))
	}
	switch e.GetAction() {
	case controlv1.Action_ACTION_APPROVED:
		if e.GetActor() == m.proposer || m.approved[e.GetActor()] {
			t.Errorf("#%d was approved by %s, proposed by %s, approved before by %v", r.GetNumber(), e.GetActor(), m.proposer, m.approved)
		}
		m.approved[e.GetActor()] = true
		return false
	case controlv1.Action_ACTION_WITHDRAWN:
		if e.GetActor() != m.proposer {
			t.Errorf("#%d of %s was withdrawn by %s", r.GetNumber(), m.proposer, e.GetActor())
		}
	case controlv1.Action_ACTION_APPLIED:
		if len(m.approved) < int(required) {
			t.Errorf("#%d was applied with %d approvals of %d", r.GetNumber(), len(m.approved), required)
		}
		if !proto.Equal(r.GetClosedBy(), &controlv1.Party{Name: e.GetActor()}) {
			t.Errorf("#%d was applied by %s, and says %v", r.GetNumber(), e.GetActor(), r.GetClosedBy())
		}
	}
	m.open = false
	return e.GetAction() == controlv1.Action_ACTION_APPLIED
}
