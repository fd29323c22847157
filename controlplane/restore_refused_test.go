package controlplane

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/rollout"
)

// TestRestoreConflicts: what somebody changed since the preview is not overwritten.
func TestRestoreConflicts(t *testing.T) {
	for name, change := range map[string]func(*rolling){
		"changed": func(f *rolling) { f.setEnabled("a", false) },
		"deleted": func(f *rolling) { f.setEnabledThenDelete("a") },
		"made":    func(f *rolling) { f.create(boolFlag("new")) },
	} {
		t.Run(name, func(t *testing.T) {
			f := rollingFixture(t)
			good := f.create(boolFlag("a")).GetEntry().GetRevision()
			f.create(boolFlag("b"))
			preview := f.mustRestore(&controlv1.RestoreEnvironmentRequest{Revision: good, ValidateOnly: true})
			change(f)
			_, err := f.restoreTo(&controlv1.RestoreEnvironmentRequest{Revision: good, BaseRevision: preview.GetCurrentRevision()})
			if !errors.As(err, new(*ConflictError)) {
				t.Errorf("got %v", err)
			}
			if f.get("b") == nil {
				t.Error("it was begun all the same")
			}
		})
	}
}

func (f *rolling) setEnabledThenDelete(key string) {
	f.t.Helper()
	if err := f.delete(key, f.setEnabled(key, false).GetFlag().GetRevision()); err != nil {
		f.t.Fatal(err)
	}
}

// TestRestoreAndRollouts: a rollout under way is in the way of what would disturb it, is aborted
// if that is asked for, and what was under way then is named.
func TestRestoreAndRollouts(t *testing.T) {
	f := rollingFixture(t)
	before := f.create(offFlag("other")).GetEntry().GetRevision()
	f.startNew("ro", "checkout")
	during := f.getRollout("ro").GetRevision()
	_, err := f.restoreTo(&controlv1.RestoreEnvironmentRequest{Revision: before})
	if precondition := new(PreconditionError); !errors.As(err, &precondition) || !strings.Contains(err.Error(), `"ro"`) {
		t.Fatalf("with a rollout under way: %v", err)
	}
	preview := f.mustRestore(&controlv1.RestoreEnvironmentRequest{Revision: before, ValidateOnly: true})
	if !slices.Equal(preview.GetRollouts(), []string{"ro"}) {
		t.Errorf("the preview names %v", preview.GetRollouts())
	}
	resp := f.mustRestore(&controlv1.RestoreEnvironmentRequest{
		Revision: before, AbortRollouts: true, BaseRevision: preview.GetCurrentRevision(), RequestId: "abort",
	})
	if !slices.Equal(resp.GetRollouts(), []string{"ro"}) || resp.GetDeleted() != 1 {
		t.Errorf("aborted %v", resp)
	}
	if held := f.getRollout("ro").GetRollout(); rollout.Active(held) {
		t.Errorf("the rollout is still under way: %v", held.GetStatus())
	}
	back := f.mustRestore(&controlv1.RestoreEnvironmentRequest{Revision: during})
	if !slices.Equal(back.GetUnattendedRollouts(), []string{"ro"}) || back.GetCreated() != 1 {
		t.Errorf("back into the rollout: %v", back)
	}
}

// TestRestoreByTime: a time means all that was written up to it. Where a clock was wrong, so
// that this is not clear, nothing is guessed.
func TestRestoreByTime(t *testing.T) {
	f := rollingFixture(t)
	clock := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f.Authority.now = func() time.Time { return clock }
	at := func(minute int) time.Time { return time.Date(2026, 11, 22, 10, minute, 0, 0, time.UTC) }
	write := func(minute int, key string) int64 {
		clock = at(minute)
		return f.create(boolFlag(key)).GetEntry().GetRevision()
	}
	first, second := write(1, "a"), write(2, "b")
	tied := write(2, "c")
	ahead := write(30, "d") // a clock that was wrong
	late := write(10, "e")
	clock = at(40)
	for _, c := range []struct {
		minute int
		want   int64
	}{{1, first}, {2, tied}, {5, tied}, {30, late}, {35, late}} {
		resp, err := f.restoreTo(&controlv1.RestoreEnvironmentRequest{Time: timestamppb.New(at(c.minute)), ValidateOnly: true})
		if err != nil || resp.GetRestoredRevision() != c.want {
			t.Errorf("minute %d: revision %d, %v; want %d (second %d)", c.minute, resp.GetRestoredRevision(), err, c.want, second)
		}
	}
	_, err := f.restoreTo(&controlv1.RestoreEnvironmentRequest{Time: timestamppb.New(at(20)), ValidateOnly: true})
	if want := fmt.Sprintf("one from %d to %d", ahead-1, late); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("between the two: %v, want %q", err, want)
	}
	for name, minute := range map[string]int{"before all": 0, "in the future": 50} {
		if _, err := f.restoreTo(&controlv1.RestoreEnvironmentRequest{Time: timestamppb.New(at(minute)), ValidateOnly: true}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestRestoreRefused: what cannot be asked for is said to be wrong, and changes nothing.
func TestRestoreRefused(t *testing.T) {
	f := rollingFixture(t)
	made := f.create(boolFlag("a")).GetEntry().GetRevision()
	for name, r := range map[string]*controlv1.RestoreEnvironmentRequest{
		"neither":            {},
		"both":               {Revision: made, Time: timestamppb.Now()},
		"negative":           {Revision: -1},
		"in the future":      {Revision: made + 1000},
		"before it was made": {Revision: 1},
		"no time":            {Time: &timestamppb.Timestamp{Nanos: -1}},
	} {
		if _, err := f.restoreTo(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	resp := f.mustRestore(&controlv1.RestoreEnvironmentRequest{Revision: made})
	if resp.GetRevision() != 0 || resp.GetTransactions() != 0 {
		t.Errorf("nothing differed: %v", resp)
	}
}

// TestRestoreIsNotHeldUp: what an environment asks of new flags, and where they are kept, does
// not hold up its restoration; and that leaves its settings alone.
func TestRestoreIsNotHeldUp(t *testing.T) {
	s := memstore.New()
	t.Cleanup(func() { _ = s.Close() })
	f := newRolling(runOn(t, s))
	revision := f.create(boolFlag("a")).GetFlag().GetRevision()
	f.create(boolFlag("b"))
	good := f.now(s)
	f.setEnabled("b", false)
	if _, err := f.DeleteFlag(f.ctx, alice, &controlv1.DeleteFlagRequest{Environment: production, FlagKey: "a", BaseRevision: revision, Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	f.setPolicy(&controlv1.FlagPolicy{KeyPrefixes: []string{"none."}, RequireOwner: true})
	current, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil {
		t.Fatal(err)
	}
	settings := current.GetSettings()
	settings.FileSources = []*controlv1.FileSource{{Name: "all"}}
	if _, err := f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
		Environment: production, Settings: settings, BaseRevision: current.GetRevision(), Reason: "x",
	}); err != nil {
		t.Fatal(err)
	}
	f.caughtUp()
	f.mustRestore(&controlv1.RestoreEnvironmentRequest{Revision: good})
	if !f.get("b").GetFlag().GetEnabled() || f.get("a").GetRevision() == 0 {
		t.Error("it is not what it was")
	}
	after, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil || !proto.Equal(after.GetSettings(), settings) {
		t.Errorf("the settings are %v, %v", after.GetSettings(), err)
	}
}
