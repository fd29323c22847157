package controlplane

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

var (
	bob   = Caller{Actor: "bob", Peer: "127.0.0.1:4712"}
	carol = Caller{Actor: "carol", Peer: "127.0.0.1:4713"}
)

// requesting is a fixture that answers the change request service, too.
type requesting struct {
	*rolling
	*ChangeRequests
}

func newRequesting(f *fixture) *requesting {
	f.t.Helper()
	r := newRolling(f)
	s, err := NewChangeRequests(ChangeRequestsOptions{Rollouts: r.Rollouts, InstanceID: "one"})
	if err != nil {
		f.t.Fatal(err)
	}
	return &requesting{rolling: r, ChangeRequests: s}
}

func requestingFixture(t *testing.T) *requesting {
	t.Helper()
	f, _ := newFixture(t)
	return newRequesting(f)
}

// require sets how many approvals production asks for.
func (f *fixture) require(approvals int32) {
	f.t.Helper()
	f.configure(func(s *controlv1.EnvironmentSettings) {
		s.Approval = &controlv1.ApprovalPolicy{Approvals: approvals, Explanation: "see the wiki"}
	})
}

// configure edits the settings of production.
func (f *fixture) configure(edit func(*controlv1.EnvironmentSettings)) {
	f.t.Helper()
	current, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil {
		f.t.Fatal(err)
	}
	settings := proto.CloneOf(current.GetSettings())
	edit(settings)
	if _, err := f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
		Environment: production, Settings: settings, BaseRevision: current.GetRevision(), Reason: "as agreed",
	}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *requesting) tryPropose(c Caller, r *controlv1.ProposeChangeRequestRequest) (*controlv1.ProposeChangeRequestResponse, error) {
	if r.Environment = production; r.GetReason() == "" {
		r.Reason = "please"
	}
	return f.ProposeChangeRequest(f.ctx, c, r)
}

// proposeFlag has alice propose a flag as it shall be.
func (f *requesting) proposeFlag(flag *flagv1.Flag) int64 {
	f.t.Helper()
	resp, err := f.tryPropose(alice, &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{{Flag: flag}}})
	if err != nil {
		f.t.Fatalf("Propose(%s): %v", flag.GetKey(), err)
	}
	return resp.GetChangeRequest().GetNumber()
}

func (f *requesting) approve(c Caller, number int64) error {
	_, err := f.ApproveChangeRequest(f.ctx, c, &controlv1.ApproveChangeRequestRequest{Environment: production, Number: number, Reason: "looks good"})
	return err
}

func (f *requesting) applyAs(c Caller, number int64) (*controlv1.ApplyChangeRequestResponse, error) {
	return f.ApplyChangeRequest(f.ctx, c, &controlv1.ApplyChangeRequestRequest{Environment: production, Number: number})
}

func (f *requesting) reject(c Caller, number int64) error {
	_, err := f.RejectChangeRequest(f.ctx, c, &controlv1.RejectChangeRequestRequest{Environment: production, Number: number, Reason: "no"})
	return err
}

func (f *requesting) withdraw(c Caller, number int64) error {
	_, err := f.WithdrawChangeRequest(f.ctx, c, &controlv1.WithdrawChangeRequestRequest{Environment: production, Number: number, Reason: "a mistake"})
	return err
}

func (f *requesting) request(number int64) *controlv1.GetChangeRequestResponse {
	f.t.Helper()
	resp, err := f.GetChangeRequest(f.ctx, &controlv1.GetChangeRequestRequest{Environment: production, Number: number}, Reader{})
	if err != nil {
		f.t.Fatalf("GetChangeRequest(%d): %v", number, err)
	}
	return resp
}

func TestProposeApproveApply(t *testing.T) {
	f := requestingFixture(t)
	f.create(boolFlag("a"))
	f.createSegment("staff", "ann")
	f.require(2)
	proposal := &controlv1.ProposeChangeRequestRequest{
		Flags:    []*controlv1.FlagWrite{{Flag: inSegment(described("a", "new"), "staff")}, {Flag: boolFlag("b", "a")}},
		Segments: []*controlv1.SegmentWrite{{Segment: &flagv1.Segment{Key: "staff", Included: []string{"ann", "ben"}}}},
		Reason:   "the launch", RequestId: "once",
	}
	proposed, err := f.tryPropose(alice, proposal)
	if err != nil {
		t.Fatal(err)
	}
	r := proposed.GetChangeRequest()
	if r.GetNumber() != 1 || r.GetState() != controlv1.ChangeRequest_STATE_OPEN || proposed.GetApprovalsRequired() != 2 || len(proposed.GetResults()) != 3 {
		t.Errorf("proposed: %v", proposed)
	}
	again, err := f.tryPropose(alice, proposal)
	if err != nil || !proto.Equal(again, proposed) {
		t.Errorf("the same request again: %v, %v", again, err)
	}
	mentions(t, as[*PreconditionError](t, f.approve(alice, 1)), "was proposed by alice: somebody else")
	for range 2 { // counts once
		if err := f.approve(bob, 1); err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.applyAs(alice, 1)
	mentions(t, as[*PreconditionError](t, err), "#1 has 1 of the 2 approvals that production asks for (see the wiki)")
	if err := f.approve(carol, 1); err != nil {
		t.Fatal(err)
	}
	shown := f.request(1)
	if len(shown.GetChangeRequest().GetApprovals()) != 2 || shown.GetObstacle() != "" || len(shown.GetConflicts()) != 0 {
		t.Errorf("approved: %v", shown)
	}
	apply := &controlv1.ApplyChangeRequestRequest{Environment: production, Number: 1, RequestId: "now"}
	applied, err := f.ApplyChangeRequest(f.ctx, bob, apply)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		history := f.fullHistory(key)
		e := history[len(history)-1]
		if e.GetRevision() != applied.GetRevision() || e.GetChangeRequestNumber() != 1 || e.GetReason() != "the launch" || e.GetActor() != "bob" {
			t.Errorf("%s: %v", key, e)
		}
	}
	if got := f.get("a").GetFlag(); got.GetDescription() != "new" {
		t.Errorf("written: %v", got)
	}
	repeated, err := f.ApplyChangeRequest(f.ctx, bob, apply)
	if err != nil || repeated.GetRevision() != applied.GetRevision() || len(repeated.GetResults()) != 3 {
		t.Errorf("the same request again: %v, %v", repeated, err)
	}
	_, err = f.applyAs(bob, 1)
	mentions(t, as[*PreconditionError](t, err), "#1 was applied by bob")
	closed := f.request(1)
	if closed.GetRevision() != applied.GetRevision() || closed.GetChangeRequest().GetState() != controlv1.ChangeRequest_STATE_APPLIED ||
		!proto.Equal(closed.GetResults()[1], proposed.GetResults()[1]) {
		t.Errorf("applied: %v", closed)
	}
	entries, err := f.ListChangeRequestHistory(f.ctx, &controlv1.ListChangeRequestHistoryRequest{Environment: production, Number: 1})
	if err != nil || len(entries.GetEntries()) != 4 {
		t.Fatalf("history: %v, %v", entries, err)
	}
	if first := entries.GetEntries()[3].GetChangeRequest(); len(first.GetWrites().GetFlags()) != 2 {
		t.Errorf("the trail does not have what was proposed: %v", first)
	}
	if newest := entries.GetEntries()[0]; newest.GetAction() != controlv1.Action_ACTION_APPLIED || newest.GetChangeRequest().GetWrites() != nil {
		t.Errorf("newest: %v", newest)
	}
}

// TestWhatNeedsApproval: whatever writes flags and segments, and starts rollouts, is refused
// where others have to approve, and told how to go on; what shuts and steers works.
// TestRolloutNeedsApproval: a rollout starts by a change request, on the flag that was approved.
// TestChangeRequestConflicts: what somebody changed since the proposal is not overwritten.
func TestChangeRequestConflicts(t *testing.T) {
	f := requestingFixture(t)
	for name, c := range map[string]struct {
		propose func(key string, base int64) *controlv1.ProposeChangeRequestRequest
		between func(key string, base int64) error
	}{
		"edited": {proposeEdit, func(key string, base int64) error { _, err := f.update(described(key, "theirs"), base); return err }},
		"switched off": {proposeEdit, func(key string, _ int64) error {
			_, err := f.SetEnabled(f.ctx, bob, &controlv1.SetEnabledRequest{Environment: production, FlagKey: key, Reason: "kill"})
			return err
		}},
		"deleted":                     {proposeEdit, f.delete},
		"edited before its deletion":  {proposeDelete, func(key string, base int64) error { _, err := f.update(described(key, "theirs"), base); return err }},
		"deleted before its deletion": {proposeDelete, f.delete},
		"made": {
			func(key string, _ int64) *controlv1.ProposeChangeRequestRequest {
				return &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{{Flag: boolFlag(key + "-new")}}}
			},
			func(key string, _ int64) error { return f.tryCreate(described(key+"-new", "theirs")) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			key := strings.ReplaceAll(name, " ", "-")
			base := f.create(boolFlag(key)).GetFlag().GetRevision()
			resp, err := f.tryPropose(alice, c.propose(key, base))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.between(key, base); err != nil {
				t.Fatal(err)
			}
			number := resp.GetChangeRequest().GetNumber()
			_, err = f.applyAs(bob, number)
			conflict := as[*ConflictError](t, err).Conflict
			if conflict.GetLatest() == nil {
				t.Errorf("it is not said who was first: %v", conflict)
			}
			got := f.request(number)
			if got.GetChangeRequest().GetState() != controlv1.ChangeRequest_STATE_OPEN || len(got.GetConflicts()) != 1 ||
				got.GetConflicts()[0].GetBaseRevision() != conflict.GetBaseRevision() || len(got.GetResults()) != 1 {
				t.Errorf("shown: %v", got)
			}
		})
	}
}

func proposeEdit(key string, _ int64) *controlv1.ProposeChangeRequestRequest {
	return &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{{Flag: described(key, "mine")}}}
}

func proposeDelete(key string, base int64) *controlv1.ProposeChangeRequestRequest {
	return &controlv1.ProposeChangeRequestRequest{Deletes: []*controlv1.ResourceDelete{
		{Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: key, BaseRevision: base},
	}}
}

// TestChangeRequestStates: what is over stays as it is, whoever does what.
func TestChangeRequestStates(t *testing.T) {
	f := requestingFixture(t)
	ends := map[string]func(int64) error{
		"applied":   func(n int64) error { _, err := f.applyAs(bob, n); return err },
		"rejected":  func(n int64) error { return f.reject(bob, n) },
		"withdrawn": func(n int64) error { return f.withdraw(alice, n) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			number := f.proposeFlag(boolFlag("flag-" + name))
			if err := f.withdraw(bob, number); err == nil {
				t.Error("withdrawn by another")
			}
			if err := end(number); err != nil {
				t.Fatal(err)
			}
			revision := f.request(number).GetRevision()
			for _, again := range ends {
				mentions(t, as[*PreconditionError](t, again(number)), "was "+name+" by")
			}
			mentions(t, as[*PreconditionError](t, f.approve(carol, number)), "was "+name+" by")
			if f.request(number).GetRevision() != revision {
				t.Error("it has changed")
			}
		})
	}
	list := func(r *controlv1.ListChangeRequestsRequest) (numbers []int64) {
		t.Helper()
		for r.Environment = production; ; {
			resp, err := f.ListChangeRequests(f.ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range resp.GetChangeRequests() {
				numbers = append(numbers, one.GetNumber())
			}
			if r.PageToken = resp.GetNextPageToken(); r.GetPageToken() == "" {
				return numbers
			}
		}
	}
	f.proposeFlag(boolFlag("x"))
	if got := list(&controlv1.ListChangeRequestsRequest{PageSize: 1}); len(got) != 4 || got[0] != 4 || got[3] != 1 {
		t.Errorf("all: %v", got)
	}
	if got := list(&controlv1.ListChangeRequestsRequest{State: controlv1.ChangeRequest_STATE_OPEN}); len(got) != 1 || got[0] != 4 {
		t.Errorf("open: %v", got)
	}
	if got := list(&controlv1.ListChangeRequestsRequest{KeyPrefix: "flag-"}); len(got) != 3 {
		t.Errorf("by prefix: %v", got)
	}
}

// TestWrongProposals: what cannot be proposed is refused, and says why.
func TestWrongProposals(t *testing.T) {
	f := requestingFixture(t)
	f.create(boolFlag("a"))
	many := &controlv1.ProposeChangeRequestRequest{}
	for i := range maxDiffering + 1 {
		many.Flags = append(many.Flags, &controlv1.FlagWrite{Flag: boolFlag("m" + string(rune('a'+i%26)) + strings.Repeat("x", i/26))})
	}
	large := make([]string, 15_000)
	for i := range large {
		large[i] = strings.Repeat("x", 16) + time.Duration(i).String()
	}
	flag := func(m *flagv1.Flag) []*controlv1.FlagWrite { return []*controlv1.FlagWrite{{Flag: m}} }
	now := f.authority.now()
	for problem, r := range map[string]*controlv1.ProposeChangeRequestRequest{
		"is empty, and so are":              {},
		"as it shall be already":            {Flags: flag(boolFlag("a"))},
		"is proposed by itself":             {Flags: flag(boolFlag("b")), Rollout: canary("r", "a")},
		"31 flags and segments differ":      many,
		"a change request takes 655360":     {Segments: []*controlv1.SegmentWrite{{Segment: &flagv1.Segment{Key: "s", Included: large}}, {Segment: &flagv1.Segment{Key: "t", Included: large}}}},
		"must be later than now":            {Flags: flag(boolFlag("b")), ApplyAt: timestamppb.New(now)},
		"must be within a year":             {Flags: flag(boolFlag("b")), ApplyAt: timestamppb.New(now.Add(366 * day))},
		`"nowhere"`:                         {Flags: flag(inSegment(boolFlag("b"), "nowhere"))},
		"is no longer at revision 1 but at": {Flags: []*controlv1.FlagWrite{{Flag: described("a", "x"), BaseRevision: proto.Int64(1)}}},
	} {
		_, err := f.tryPropose(alice, r)
		if err == nil {
			t.Errorf("%s: proposed", problem)
			continue
		}
		mentions(t, err, problem)
	}
	if newest, err := f.newest(f.ctx, production); newest != 0 || err != nil {
		t.Errorf("there is #%d, %v", newest, err)
	}
	_, err := f.applyAs(alice, 7)
	wants[*NotFoundError](t, err)
	wants[*InvalidError](t, f.approve(alice, 0))
}

// TestLargestChangeRequest: what can be proposed can be applied, at the limits of both.
func TestLargestChangeRequest(t *testing.T) {
	f := requestingFixture(t)
	included := make([]string, 9000)
	for i := range included {
		included[i] = strings.Repeat("x", 50) + time.Duration(i).String()
	}
	r := &controlv1.ProposeChangeRequestRequest{Segments: []*controlv1.SegmentWrite{{Segment: &flagv1.Segment{Key: "large", Included: included[:8000]}}}}
	for i := range maxDiffering - 1 {
		flag := boolFlag(fmt.Sprintf("m%d", i))
		flag.Description = strings.Repeat("y", 4000)
		r.Flags = append(r.Flags, &controlv1.FlagWrite{Flag: flag})
	}
	resp, err := f.tryPropose(alice, r)
	if err != nil {
		t.Fatal(err)
	}
	if n := proto.Size(resp.GetChangeRequest()); n < maxProposedBytes*9/10 {
		t.Errorf("%d bytes are not at the limit", n)
	}
	state, _, err := f.authority.store.Read(f.ctx, store.Key(changeRequest(production, 1).stateKey()))
	if err != nil || len(state[0].KVs[0].Value) > 4096 {
		t.Errorf("its state has what it would write: %d bytes, %v", len(state[0].KVs[0].Value), err)
	}
	applied, err := f.applyAs(alice, 1)
	if err != nil || len(applied.GetResults()) != maxDiffering {
		t.Fatalf("%v: %d results", err, len(applied.GetResults()))
	}
}

// TestAppliedBy: files are a way past approvals for the one who applies reviewed ones, and for
// nobody else.
// TestSamePerson: renaming, and another identity of an old name, make nobody a second person.
func TestSamePerson(t *testing.T) {
	ann := Caller{Actor: "ann", Identity: "1"}
	for _, c := range []struct {
		other Caller
		same  bool
	}{
		{ann, true},
		{Caller{Actor: "anna", Identity: "1"}, true},
		{Caller{Actor: "ann", Identity: "2"}, true},
		{Caller{Actor: "ann"}, true},
		{Caller{Actor: "ben", Identity: "2"}, false},
		{Caller{Actor: "ben"}, false},
	} {
		if got := samePerson(party(ann), party(c.other)); got != c.same {
			t.Errorf("%v: %v", c.other, got)
		}
	}
	if samePerson(party(Caller{Actor: "a"}), party(Caller{Actor: "b"})) {
		t.Error("nobody was asked, and the names differ")
	}
}

// TestNoticedInTheTransaction: a write that was decided before somebody asked for approvals does
// not commit after it.
// TestApprovalsOfTheTransaction: approvals are counted by what is asked when it commits.
// Commit implements store.Store.
