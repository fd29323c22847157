package server

import (
	"context"
	"fmt"
	"strings"
	"testing"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// TestNamesOfOthers: nobody is told the name of a flag or a rollout that they may not read; but who
// may write a flag is told which rollout moves it, as they may stop that.
func TestNamesOfOthers(t *testing.T) {
	a := newAsking(t)
	rollouts := controlv1.NewRolloutServiceClient(a.conn)
	for _, key := range []string{"pay.a", "shop.a", "shop.c"} {
		a.makeOff(key)
	}
	needing := boolean("shop.b")
	needing.Prerequisites = []*flagv1.Prerequisite{{FlagKey: "pay.a", Variants: []string{"on"}}}
	if _, err := a.flags.CreateFlag(a.admin, &controlv1.CreateFlagRequest{Environment: "production", Flag: needing, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	a.startRollout("shop.r", "pay.a")
	a.startRollout("pay.r", "shop.a")
	a.startRollout("pay.gone", "shop.c")
	a.deleteRollout("pay.gone")
	viewer, _ := a.service("pay-viewer", of(accessv1.Role_ROLE_VIEWER, "pay."))
	editor, _ := a.service("pay-editor", of(accessv1.Role_ROLE_EDITOR, "pay."))

	tell := map[string]func(ctx context.Context) (any, error){
		"rollouts": func(ctx context.Context) (any, error) {
			return rollouts.ListRollouts(ctx, &controlv1.ListRolloutsRequest{Environment: "production", KeyPrefix: "pay."})
		},
		"flags": func(ctx context.Context) (any, error) {
			return a.flags.ListFlags(ctx, &controlv1.ListFlagsRequest{Environment: "production", KeyPrefix: "pay."})
		},
		"history": func(ctx context.Context) (any, error) {
			return a.flags.ListFlagHistory(ctx, &controlv1.ListFlagHistoryRequest{Environment: "production", FlagKey: "pay.a"})
		},
		"trail": func(ctx context.Context) (any, error) {
			return controlv1.NewAuditServiceClient(a.conn).ListEntries(ctx, &controlv1.ListEntriesRequest{
				Environment: "production", Filter: &controlv1.EntryFilter{KeyPrefix: "pay."},
			})
		},
		"explanation": func(ctx context.Context) (any, error) {
			return a.flags.ExplainEvaluation(ctx, &controlv1.ExplainEvaluationRequest{Environment: "production", FlagKey: "pay.a"})
		},
		"stale": func(ctx context.Context) (any, error) {
			return a.flags.ListStaleFlags(ctx, &controlv1.ListStaleFlagsRequest{Environment: "production", KeyPrefix: "pay."})
		},
		"page": func(ctx context.Context) (any, error) {
			p := a.watch(ctx, watchAll("production"))
			p.until("all of it", func() bool { return p.ready && len(p.activities) == 1 && len(p.entries) > 0 })
			if len(p.rollouts) > 0 || p.flags["pay.a"].GetHiddenRollouts()+uint32(len(p.flags["pay.a"].GetRollouts())) != 1 {
				t.Errorf("rollouts %v, flag %v", p.rollouts, p.flags["pay.a"])
			}
			return fmt.Sprint(p.flags, p.activities, p.rollouts, p.entries), nil
		},
	}
	for what, f := range tell {
		for name, ctx := range map[string]context.Context{"viewer": viewer, "editor": editor} {
			told, err := f(ctx)
			if err != nil {
				t.Errorf("%s for the %s: %v", what, name, err)
				continue
			}
			text := fmt.Sprint(told)
			if name == "editor" {
				text = strings.ReplaceAll(text, `"shop.r"`, "")
				text = strings.ReplaceAll(text, `shop.r`, "")
			}
			for _, others := range []string{"shop.", "pay.r", "pay.gone", "secret plans"} {
				if strings.Contains(text, others) && (others != "secret plans" || what == "rollouts") {
					t.Errorf("%s for the %s names %q: %s", what, name, others, text)
				}
			}
		}
	}

	changed := boolean("pay.a")
	changed.Description = "changed"
	preview, err := a.flags.PreviewChange(editor, &controlv1.PreviewChangeRequest{Environment: "production", Flags: []*controlv1.FlagWrite{{Flag: changed}}})
	if err != nil || len(preview.GetFlags()) != 1 || preview.GetFlags()[0].GetFlagKey() != "pay.a" || preview.GetFlagsHidden() != 1 {
		t.Errorf("preview: %v, %v", preview, err)
	}
	// Who stops what moves their flag is not told what else it is.
	aborted, err := rollouts.AbortRollout(editor, &controlv1.AbortRolloutRequest{Environment: "production", Key: "shop.r", Reason: "test"})
	if err != nil || aborted.GetRollout().GetRollout().GetKey() != "shop.r" || strings.Contains(fmt.Sprint(aborted), "errors") || aborted.GetEntry().GetActor() != "pay-editor" {
		t.Errorf("abort: %v, %v", aborted, err)
	}
	again, err := rollouts.AbortRollout(editor, &controlv1.AbortRolloutRequest{Environment: "production", Key: "shop.r", Reason: "test"})
	if err != nil || strings.Contains(fmt.Sprint(again), "errors") {
		t.Errorf("abort again: %v, %v", again, err)
	}
	other, err := rollouts.PauseRollout(editor, &controlv1.PauseRolloutRequest{Environment: "production", Key: "pay.r", Reason: "test"})
	if err != nil || strings.Contains(fmt.Sprint(other), "shop.") {
		t.Errorf("pause: %v, %v", other, err)
	}
}
