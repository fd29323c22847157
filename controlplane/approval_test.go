package controlplane

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

func TestWhatNeedsApproval(t *testing.T) {
	f := requestingFixture(t)
	on, off := f.create(boolFlag("on")).GetFlag().GetRevision(), f.create(offFlag("off")).GetFlag().GetRevision()
	f.create(offFlag("rolling"))
	f.create(offFlag("waiting"))
	if _, err := f.tryStart(canary("under-way", "rolling"), ""); err != nil {
		t.Fatal(err)
	}
	segment := f.createSegment("staff", "ann").GetSegment().GetRevision()
	dark := f.setEnabled("off", false).GetFlag().GetRevision()
	if _, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: staging, Flag: described("on", "from staging"), Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	readOnly := boolFlag("read-only")
	readOnly.Kind, readOnly.Enabled = flagv1.FlagKind_FLAG_KIND_OPERATIONAL, false
	f.create(readOnly)
	f.require(1)
	const e, why = production, "x"
	for name, write := range map[string]func() error{
		"create": func() error { return f.tryCreate(boolFlag("c")) },
		"update": func() error { _, err := f.update(described("on", "y"), on); return err },
		"delete": func() error { return f.delete("on", on) },
		"force": func() error {
			_, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{Environment: e, FlagKey: "on", BaseRevision: on, Force: true, Reason: why})
			return err
		},
		"restore": func() error {
			_, err := f.RestoreFlag(f.ctx, alice, &controlv1.RestoreFlagRequest{Environment: e, FlagKey: "off", Revision: off, BaseRevision: dark, Reason: why})
			return err
		},
		"enable": func() error {
			_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: e, FlagKey: "off", Enabled: true, Reason: why})
			return err
		},
		"promote": func() error {
			_, err := f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{FlagKey: "on", FromEnvironment: staging, ToEnvironment: e, BaseRevision: on, Reason: why})
			return err
		},
		"promote an environment": func() error {
			_, err := f.PromoteEnvironment(f.ctx, alice, &controlv1.PromoteEnvironmentRequest{
				FromEnvironment: staging, ToEnvironment: e, Keys: []string{"on"}, OverwriteDrift: true, Reason: why, RequestId: "p",
			})
			return err
		},
		"apply": func() error {
			_, err := f.Apply(f.ctx, alice, &controlv1.ApplyRequest{Environment: e, Flags: []*controlv1.FlagWrite{{Flag: boolFlag("c")}}, Reason: why})
			return err
		},
		"apply a delete": func() error {
			_, err := f.Apply(f.ctx, alice, &controlv1.ApplyRequest{Environment: e, Reason: why, Deletes: []*controlv1.ResourceDelete{
				{Kind: controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, Key: "staff", BaseRevision: segment},
			}})
			return err
		},
		"create a segment": func() error {
			_, err := f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{Environment: e, Segment: &flagv1.Segment{Key: "s"}, Reason: why})
			return err
		},
		"update a segment": func() error {
			_, err := f.UpdateSegment(f.ctx, alice, &controlv1.UpdateSegmentRequest{Environment: e, Segment: &flagv1.Segment{Key: "staff"}, BaseRevision: segment, Reason: why})
			return err
		},
		"delete a segment": func() error {
			_, err := f.DeleteSegment(f.ctx, alice, &controlv1.DeleteSegmentRequest{Environment: e, SegmentKey: "staff", BaseRevision: segment, Reason: why})
			return err
		},
		"start a rollout": func() error { _, err := f.tryStart(canary("new", "waiting"), ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			err := as[*PreconditionError](t, write())
			mentions(t, err, "production changes with the approval of another person (see the wiki)", "tidegate request propose")
			if !err.NeedsApproval {
				t.Error("a machine cannot tell")
			}
		})
	}
	for name, write := range map[string]func() error{
		"disable": func() error {
			_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: e, FlagKey: "on", Reason: why})
			return err
		},
		"turn on what is operational": func() error {
			_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: e, FlagKey: "read-only", Enabled: true, Reason: why})
			return err
		},
		"validate": func() error {
			_, err := f.Apply(f.ctx, alice, &controlv1.ApplyRequest{Environment: e, Flags: []*controlv1.FlagWrite{{Flag: boolFlag("c")}}, ValidateOnly: true})
			return err
		},
	} {
		if err := write(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	steer := func() error {
		if _, err := f.pause("under-way"); err != nil {
			return err
		}
		if _, err := f.ResumeRollout(f.ctx, alice, &controlv1.ResumeRolloutRequest{Environment: e, Key: "under-way", Reason: why}); err != nil {
			return err
		}
		if _, err := f.promote("under-way", nil); err != nil {
			return err
		}
		if _, err := f.abort("under-way"); err != nil {
			return err
		}
		_, err := f.DeleteRollout(f.ctx, alice, &controlv1.DeleteRolloutRequest{Environment: e, Key: "under-way", Reason: why})
		return err
	}
	if err := steer(); err != nil {
		t.Errorf("what was started is steered: %v", err)
	}
	// An emergency.
	_, err := NewRestorer(f.Rollouts).RestoreEnvironment(f.ctx, alice, &controlv1.RestoreEnvironmentRequest{Environment: e, Revision: on, Reason: why, RequestId: "r"})
	if err != nil {
		t.Errorf("restored: %v", err)
	}
}

func TestRolloutNeedsApproval(t *testing.T) {
	f := requestingFixture(t)
	f.create(offFlag("f"))
	f.create(offFlag("g"))
	f.require(1)
	_, err := f.tryStart(canary("r", "f"), "")
	if !as[*PreconditionError](t, err).NeedsApproval {
		t.Errorf("%v", err)
	}
	for _, key := range []string{"f", "g"} {
		resp, err := f.tryPropose(alice, &controlv1.ProposeChangeRequestRequest{Rollout: canary("of-"+key, key)})
		if err != nil {
			t.Fatal(err)
		}
		if results := resp.GetResults(); len(results) != 2 || results[1].GetKey() != key || len(results[1].GetChanges()) == 0 {
			t.Errorf("shown: %v", results)
		}
		if err := f.approve(bob, resp.GetChangeRequest().GetNumber()); err != nil {
			t.Fatal(err)
		}
	}
	applied, err := f.applyAs(alice, 1)
	if err != nil {
		t.Fatal(err)
	}
	f.checkTogether("of-f", controlv1.Action_ACTION_STARTED, weights(f.get("f").GetFlag()))
	history := f.fullHistory("f")
	if e := history[len(history)-1]; e.GetChangeRequestNumber() != 1 || e.GetRolloutKey() != "of-f" || e.GetRevision() != applied.GetRevision() {
		t.Errorf("%v", e)
	}
	if got := f.request(1); len(got.GetResults()) != 1 {
		t.Errorf("shown afterwards: %v", got)
	}
	f.setEnabled("g", false)
	_, err = f.applyAs(alice, 2)
	wants[*ConflictError](t, err)
	if got := f.request(2); len(got.GetConflicts()) != 1 || got.GetConflicts()[0].GetKey() != "g" {
		t.Errorf("shown: %v", got)
	}
}

func TestAppliedBy(t *testing.T) {
	f := requestingFixture(t)
	f.configure(func(s *controlv1.EnvironmentSettings) {
		s.Approval = &controlv1.ApprovalPolicy{Approvals: 1}
		s.FileSources = []*controlv1.FileSource{
			{Name: "reviewed", KeyPrefixes: []string{"r."}, AppliedBy: "bob"},
			{Name: "anybody", KeyPrefixes: []string{"a."}},
		}
	})
	from := func(c Caller, source, key string) error {
		_, err := f.Apply(f.ctx, c, &controlv1.ApplyRequest{
			Environment: production, Source: source, Reason: "as in the files", Flags: []*controlv1.FlagWrite{{Flag: boolFlag(key)}},
		})
		return err
	}
	mentions(t, as[*PreconditionError](t, from(alice, "reviewed", "r.x")), `which "bob" alone applies, not "alice"`)
	if err := from(bob, "reviewed", "r.x"); err != nil {
		t.Errorf("whoever applies it: %v", err)
	}
	if err := as[*PreconditionError](t, from(bob, "anybody", "a.x")); !err.NeedsApproval {
		t.Errorf("%v", err)
	}
	mentions(t, as[*PreconditionError](t, from(bob, "reviewed", "other")), "not kept in the files")
	_, err := f.tryPropose(alice, &controlv1.ProposeChangeRequestRequest{Flags: []*controlv1.FlagWrite{{Flag: described("r.x", "by hand")}}})
	mentions(t, as[*PreconditionError](t, err), "kept in files")
	f.require(0)
	mentions(t, as[*PreconditionError](t, from(alice, "reviewed", "r.y")), `which "bob" alone applies`)
}

func TestNoticedInTheTransaction(t *testing.T) {
	f, s := newFixture(t)
	base := f.create(boolFlag("a")).GetFlag().GetRevision()
	between := &intercepted{Store: s}
	other := newRequesting(runOn(t, between))
	for name, write := range map[string]func() error{
		"update": func() error { _, err := other.update(described("a", "x"), base); return err },
		"enable": func() error {
			_, err := other.SetEnabled(other.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: "dark", Enabled: true, Reason: "x"})
			return err
		},
		"start": func() error { _, err := other.tryStart(canary("r", "off"), ""); return err },
	} {
		t.Run(name, func(t *testing.T) {
			f.require(0)
			if name == "enable" {
				f.create(boolFlag("dark"))
				f.setEnabled("dark", false)
			}
			if name == "start" {
				f.create(offFlag("off"))
			}
			between.before(func() { f.require(1) })
			err := write()
			var refused *PreconditionError
			if !errors.As(err, &refused) || !refused.NeedsApproval {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestApprovalsOfTheTransaction(t *testing.T) {
	f, s := newFixture(t)
	between := &intercepted{Store: s}
	other := newRequesting(runOn(t, between))
	number := other.proposeFlag(boolFlag("a"))
	between.before(func() { f.require(1) })
	_, err := other.applyAs(bob, number)
	mentions(t, as[*PreconditionError](t, err), "has 0 of the 1 approval")
}

// intercepted lets something else happen before a commit.
type intercepted struct {
	store.Store
	do atomic.Pointer[func()]
}

func (s *intercepted) before(do func()) { s.do.Store(&do) }

func (s *intercepted) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	if do := s.do.Swap(nil); do != nil {
		(*do)()
	}
	return s.Store.Commit(ctx, t)
}
