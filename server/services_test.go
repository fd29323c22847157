package server

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// TestFlagService goes through a flag's life, every method of the service, over gRPC and
// on a real etcd.
func TestFlagService(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir()})
	ctx := as(t)

	created, err := s.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{
		Environment: "production", Flag: boolean("checkout"), Reason: "a new flow", RequestId: "create-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if e := created.GetEntry(); e.GetActor() != "ada" || e.GetReason() != "a new flow" || e.GetRequestId() != "create-1" ||
		e.GetAction() != controlv1.Action_ACTION_CREATED || !strings.HasPrefix(e.GetPeer(), "127.0.0.1:") {
		t.Errorf("audit entry: %v", e)
	}
	first := created.GetFlag().GetRevision()

	again, err := s.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{
		Environment: "production", Flag: boolean("checkout"), Reason: "a new flow", RequestId: "create-1",
	})
	if err != nil || again.GetFlag().GetRevision() != first {
		t.Errorf("retry: got %v, %v; want revision %d", again, err, first)
	}

	got, err := s.flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: "production", FlagKey: "checkout"})
	if err != nil || got.GetFlag().GetRevision() != first || !proto.Equal(got.GetFlag().GetFlag(), created.GetFlag().GetFlag()) {
		t.Errorf("get: got %v, %v", got, err)
	}

	changed := boolean("checkout")
	changed.Description = "the one-page checkout"
	updated, err := s.flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{
		Environment: "production", Flag: changed, BaseRevision: first, Reason: "say what it is",
	})
	if err != nil || updated.GetFlag().GetRevision() <= first {
		t.Fatalf("update: got %v, %v", updated, err)
	}

	off, err := s.flags.SetEnabled(ctx, &controlv1.SetEnabledRequest{
		Environment: "production", FlagKey: "checkout", Enabled: false, Reason: "errors in payments",
	})
	if err != nil || off.GetFlag().GetFlag().GetEnabled() || off.GetEntry().GetAction() != controlv1.Action_ACTION_DISABLED {
		t.Errorf("disable: got %v, %v", off, err)
	}

	diff, err := s.flags.PromoteFlag(ctx, &controlv1.PromoteFlagRequest{
		FlagKey: "checkout", FromEnvironment: "production", ToEnvironment: "staging", ValidateOnly: true,
	})
	if err != nil || len(diff.GetChanges()) == 0 || diff.GetEntry() != nil {
		t.Errorf("promote, validate only: got %v, %v", diff, err)
	}
	promoted, err := s.flags.PromoteFlag(ctx, &controlv1.PromoteFlagRequest{
		FlagKey: "checkout", FromEnvironment: "production", ToEnvironment: "staging",
		BaseRevision: diff.GetFlag().GetRevision(), Reason: "try it in staging",
	})
	if err != nil || promoted.GetEntry().GetAction() != controlv1.Action_ACTION_PROMOTED {
		t.Errorf("promote: got %v, %v", promoted, err)
	}

	list, err := s.flags.ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: "staging"})
	if err != nil || len(list.GetFlags()) != 1 || list.GetFlags()[0].GetFlag().GetKey() != "checkout" {
		t.Errorf("list: got %v, %v", list, err)
	}

	if _, err := s.flags.DeleteFlag(ctx, &controlv1.DeleteFlagRequest{
		Environment: "production", FlagKey: "checkout", BaseRevision: off.GetFlag().GetRevision(), Reason: "done",
	}); err != nil {
		t.Errorf("delete: %v", err)
	}
	restored, err := s.flags.RestoreFlag(ctx, &controlv1.RestoreFlagRequest{
		Environment: "production", FlagKey: "checkout", Revision: updated.GetFlag().GetRevision(), Reason: "not done",
	})
	if err != nil || !restored.GetFlag().GetFlag().GetEnabled() || restored.GetFlag().GetFlag().GetDescription() != changed.GetDescription() {
		t.Errorf("restore: got %v, %v", restored, err)
	}

	history, err := s.flags.ListFlagHistory(ctx, &controlv1.ListFlagHistoryRequest{Environment: "production", FlagKey: "checkout"})
	if err != nil {
		t.Fatal(err)
	}
	want := []controlv1.Action{
		controlv1.Action_ACTION_RESTORED, controlv1.Action_ACTION_DELETED, controlv1.Action_ACTION_DISABLED,
		controlv1.Action_ACTION_UPDATED, controlv1.Action_ACTION_CREATED,
	}
	var actions []controlv1.Action
	for _, e := range history.GetEntries() {
		actions = append(actions, e.GetAction())
	}
	if len(actions) != len(want) {
		t.Fatalf("history: got %v, want %v", actions, want)
	}
	for i := range want {
		if actions[i] != want[i] {
			t.Fatalf("history: got %v, want %v", actions, want)
		}
	}

	applied, err := s.flags.Apply(ctx, &controlv1.ApplyRequest{
		Environment: "dev", Reason: "from a file",
		Flags:    []*controlv1.FlagWrite{{Flag: boolean("a")}, {Flag: boolean("b")}},
		Segments: []*controlv1.SegmentWrite{{Segment: staff()}},
	})
	if err != nil || len(applied.GetResults()) != 3 || applied.GetRevision() == 0 {
		t.Errorf("apply: got %v, %v", applied, err)
	}

	eventually(t, "the server streams what was applied", func() bool {
		envs, err := s.environments.ListEnvironments(ctx, &controlv1.ListEnvironmentsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range envs.GetEnvironments() {
			if e.GetName() == "dev" {
				return e.GetFlagCount() == 2 && e.GetSegmentCount() == 1 && e.GetCursor().GetRevision() >= applied.GetRevision()
			}
		}
		return false
	})
}

// TestSegmentService does the same for a segment.
func TestSegmentService(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	ctx := as(t)
	created, err := s.segments.CreateSegment(ctx, &controlv1.CreateSegmentRequest{Environment: "dev", Segment: staff(), Reason: "test"})
	if err != nil || created.GetEntry().GetActor() != "ada" {
		t.Fatalf("create: got %v, %v", created, err)
	}
	larger := staff()
	larger.Included = append(larger.Included, "user-2")
	updated, err := s.segments.UpdateSegment(ctx, &controlv1.UpdateSegmentRequest{
		Environment: "dev", Segment: larger, BaseRevision: created.GetSegment().GetRevision(), Reason: "test",
	})
	if err != nil {
		t.Fatalf("update: %v", err)
	}
	got, err := s.segments.GetSegment(ctx, &controlv1.GetSegmentRequest{Environment: "dev", SegmentKey: "staff"})
	if err != nil || len(got.GetSegment().GetSegment().GetIncluded()) != 2 {
		t.Errorf("get: got %v, %v", got, err)
	}
	list, err := s.segments.ListSegments(ctx, &controlv1.ListSegmentsRequest{Environment: "dev"})
	if err != nil || len(list.GetSegments()) != 1 {
		t.Errorf("list: got %v, %v", list, err)
	}
	if _, err := s.segments.DeleteSegment(ctx, &controlv1.DeleteSegmentRequest{
		Environment: "dev", SegmentKey: "staff", BaseRevision: updated.GetSegment().GetRevision(), Reason: "test",
	}); err != nil {
		t.Errorf("delete: %v", err)
	}
	restored, err := s.segments.RestoreSegment(ctx, &controlv1.RestoreSegmentRequest{
		Environment: "dev", SegmentKey: "staff", Revision: created.GetSegment().GetRevision(), Reason: "test",
	})
	if err != nil || len(restored.GetSegment().GetSegment().GetIncluded()) != 1 {
		t.Errorf("restore: got %v, %v", restored, err)
	}
	history, err := s.segments.ListSegmentHistory(ctx, &controlv1.ListSegmentHistoryRequest{Environment: "dev", SegmentKey: "staff"})
	if err != nil || len(history.GetEntries()) != 4 {
		t.Errorf("history: got %v, %v", history, err)
	}
}

// TestRefusals holds that each kind of mistake gets its code, a message that says what
// is wrong, and its detail; and that nothing was written.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	ctx := as(t)
	base := s.create("base")
	dependent := boolean("dependent")
	dependent.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "base", Variants: []string{"on"}}}
	if _, err := s.flags.CreateFlag(ctx, &controlv1.CreateFlagRequest{Environment: "production", Flag: dependent, Reason: "test"}); err != nil {
		t.Fatal(err)
	}

	create := func(change func(*flagv1.Flag, *controlv1.CreateFlagRequest)) error {
		r := &controlv1.CreateFlagRequest{Environment: "production", Flag: boolean("refused"), Reason: "test"}
		change(r.Flag, r)
		_, err := s.flags.CreateFlag(ctx, r)
		return err
	}
	huge := strings.Repeat("x", 300<<10)
	for _, c := range []struct {
		name  string
		err   error
		code  codes.Code
		field string // of the BadRequest, if one is due
		says  string
	}{
		{"no reason", create(func(_ *flagv1.Flag, r *controlv1.CreateFlagRequest) { r.Reason = "" }), codes.InvalidArgument, "reason", "reason"},
		{"no flag", create(func(_ *flagv1.Flag, r *controlv1.CreateFlagRequest) { r.Flag = nil }), codes.InvalidArgument, "flag", "flag"},
		{"bad key", create(func(f *flagv1.Flag, _ *controlv1.CreateFlagRequest) { f.Key = "no spaces" }), codes.InvalidArgument, "flag.key", "key"},
		{"wrong variant type", create(func(f *flagv1.Flag, _ *controlv1.CreateFlagRequest) {
			f.Variants[0].Value = structpb.NewStringValue("yes")
		}), codes.InvalidArgument, "flag.variants[0].value", "variants[0]"},
		{"bad regular expression", create(func(f *flagv1.Flag, _ *controlv1.CreateFlagRequest) {
			f.Rules = []*flagv1.Rule{{Id: "r", Outcome: f.GetDefaultOutcome(), Clauses: []*flagv1.Clause{{
				Attribute: "a", Operator: flagv1.Operator_OPERATOR_MATCHES, Values: []*structpb.Value{structpb.NewStringValue("(")},
			}}}}
		}), codes.InvalidArgument, "flag.rules[0].clauses[0].values[0]", "rules[0].clauses[0].values[0]"},
		{"300 KiB", create(func(f *flagv1.Flag, _ *controlv1.CreateFlagRequest) { f.Description = huge }), codes.InvalidArgument, "flag", "at most 262144"},
		{"unknown environment", create(func(_ *flagv1.Flag, r *controlv1.CreateFlagRequest) { r.Environment = "nowhere" }), codes.NotFound, "", "nowhere"},
		{"it is there", create(func(f *flagv1.Flag, _ *controlv1.CreateFlagRequest) { f.Key = "base" }), codes.AlreadyExists, "", "base"},
		{"unknown prerequisite", create(func(f *flagv1.Flag, _ *controlv1.CreateFlagRequest) {
			f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "missing", Variants: []string{"on"}}}
		}), codes.FailedPrecondition, "", "missing"},
		{"unknown flag", func() error {
			_, err := s.flags.GetFlag(ctx, &controlv1.GetFlagRequest{Environment: "production", FlagKey: "missing"})
			return err
		}(), codes.NotFound, "", "missing"},
		{"others need it", func() error {
			_, err := s.flags.DeleteFlag(ctx, &controlv1.DeleteFlagRequest{
				Environment: "production", FlagKey: "base", BaseRevision: base.GetRevision(), Reason: "test",
			})
			return err
		}(), codes.FailedPrecondition, "", "dependent"},
		{"a cycle", func() error {
			f := boolean("base")
			f.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "dependent", Variants: []string{"on"}}}
			_, err := s.flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{
				Environment: "production", Flag: f, BaseRevision: base.GetRevision(), Reason: "test",
			})
			return err
		}(), codes.FailedPrecondition, "", "cycl"},
		{"5 MiB", create(func(f *flagv1.Flag, _ *controlv1.CreateFlagRequest) {
			f.Description = strings.Repeat("x", 5<<20)
		}), codes.InvalidArgument, "flag", "at most 262144"},
		{"too large a message", create(func(f *flagv1.Flag, _ *controlv1.CreateFlagRequest) {
			f.Description = strings.Repeat("x", maxMessage)
		}), codes.ResourceExhausted, "", "larger than max"},
		{"too long a name", create(func(_ *flagv1.Flag, r *controlv1.CreateFlagRequest) {
			r.Environment = strings.Repeat("x", 5<<20)
		}), codes.InvalidArgument, "environment", "must be 1 to 63 characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := status.Convert(c.err)
			if st.Code() != c.code || !strings.Contains(st.Message(), c.says) {
				t.Fatalf("got %v, want %v that says %q", c.err, c.code, c.says)
			}
			if c.field == "" {
				return
			}
			var fields []string
			for _, d := range st.Details() {
				for _, v := range d.(*errdetails.BadRequest).GetFieldViolations() {
					fields = append(fields, v.GetField())
				}
			}
			if len(fields) != 1 || fields[0] != c.field {
				t.Errorf("fields at fault: got %q, want %q", fields, c.field)
			}
		})
	}

	list, err := s.flags.ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: "production"})
	if err != nil || len(list.GetFlags()) != 2 {
		t.Errorf("after the refusals: got %v, %v; want the two flags", list, err)
	}
}

// TestConflict holds that a stale write says what changed.
func TestConflict(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	ctx := as(t)
	base := s.create("checkout").GetRevision()
	first, second := boolean("checkout"), boolean("checkout")
	first.Description, second.Description = "hers", "his"
	if _, err := s.flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{
		Environment: "production", Flag: first, BaseRevision: base, Reason: "came first",
	}); err != nil {
		t.Fatal(err)
	}
	_, err := s.flags.UpdateFlag(ctx, &controlv1.UpdateFlagRequest{
		Environment: "production", Flag: second, BaseRevision: base, Reason: "came second",
	})
	st := status.Convert(err)
	if st.Code() != codes.Aborted || !strings.Contains(st.Message(), "description") {
		t.Errorf("got %v, want ABORTED that names the field", err)
	}
	if len(st.Details()) != 1 {
		t.Fatalf("details: got %v", st.Details())
	}
	c, ok := st.Details()[0].(*controlv1.Conflict)
	if !ok || c.GetBaseRevision() != base || c.GetCurrentRevision() <= base || c.GetLatest().GetReason() != "came first" ||
		len(c.GetChanges()) != 1 || c.GetChanges()[0].GetPath() != "description" {
		t.Errorf("conflict: got %v", c)
	}
}
