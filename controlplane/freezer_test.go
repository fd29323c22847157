package controlplane

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
)

// freezing is a fixture that freezes, too, and remembers what people were told of it.
type freezing struct {
	*rolling
	*Freezer
	told []FreezeChange
}

func newFreezing(f *fixture) *freezing {
	f.t.Helper()
	made := &freezing{rolling: newRolling(f)}
	var err error
	made.Freezer, err = NewFreezer(FreezerOptions{Authority: f.Authority, Announce: func(c FreezeChange) []store.Op {
		made.told = append(made.told, c)
		return []store.Op{store.Put("/told", nil)}
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	return made
}

func freezingFixture(t *testing.T) *freezing {
	t.Helper()
	f, _ := newFixture(t)
	return newFreezing(f)
}

func (f *freezing) freeze(until time.Duration, environments ...string) *controlv1.FreezeResponse {
	f.t.Helper()
	r := &controlv1.FreezeRequest{Environments: environments, Reason: "checkout is down"}
	if until > 0 {
		r.Until = timestamppb.New(f.Authority.now().Add(until))
	}
	resp, err := f.Freeze(f.ctx, Caller{Actor: "ada"}, r)
	if err != nil {
		f.t.Fatalf("Freeze(%v): %v", environments, err)
	}
	return resp
}

func (f *freezing) lift(environments ...string) (*controlv1.LiftResponse, error) {
	return f.Lift(f.ctx, alice, &controlv1.LiftRequest{Environments: environments, Reason: "it is up"})
}

func (f *freezing) setWindows(windows ...*controlv1.FreezeWindow) (*controlv1.UpdateEnvironmentResponse, error) {
	f.t.Helper()
	current, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
		Environment: production, Settings: &controlv1.EnvironmentSettings{FreezeWindows: windows}, BaseRevision: current.GetRevision(), Reason: "as agreed",
	})
}

// window is one of production, so long before the fixture's beginning and after it.
func (f *freezing) window(before, after time.Duration) *controlv1.FreezeWindow {
	now := f.Authority.now()
	return &controlv1.FreezeWindow{Name: "closing", Explanation: "the books are closed", When: &controlv1.FreezeWindow_Once{
		Once: &controlv1.OnceWindow{Start: timestamppb.New(now.Add(-before)), End: timestamppb.New(now.Add(after))},
	}}
}

// attempt is a write that a frozen environment refuses, or takes.
type attempt struct {
	name    string
	refused bool
	// inWindow: it is refused in a freeze window, too.
	inWindow bool
	do       func(f *freezing) error
}

// prepare makes what the attempts are of.
func (f *freezing) prepare() {
	f.t.Helper()
	f.create(boolFlag("on"))
	f.create(boolFlag("off"))
	f.setEnabled("off", false)
	operational := boolFlag("shed-load")
	operational.Kind = flagv1.FlagKind_FLAG_KIND_OPERATIONAL
	f.create(operational)
	f.setEnabled("shed-load", false)
	f.createSegment("staff", "ada")
	f.startNew("r", "new")
	f.startNew("paused", "other")
	if _, err := f.pause("paused"); err != nil {
		f.t.Fatal(err)
	}
	f.startNew("over", "third")
	if _, err := f.abort("over"); err != nil {
		f.t.Fatal(err)
	}
	f.create(offFlag("ready"))
	if _, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: staging, Flag: boolFlag("promoted"), Reason: "first"}); err != nil {
		f.t.Fatal(err)
	}
}

func attempts() []attempt {
	enable := func(key string, enabled bool) func(f *freezing) error {
		return func(f *freezing) error {
			_, err := f.SetEnabled(f.ctx, alice, &controlv1.SetEnabledRequest{Environment: production, FlagKey: key, Enabled: enabled, Reason: "r"})
			return err
		}
	}
	return []attempt{
		{"create a flag", true, true, func(f *freezing) error { return f.tryCreate(boolFlag("made")) }},
		{"update a flag", true, true, func(f *freezing) error {
			changed := boolFlag("on")
			changed.Description = "changed"
			_, err := f.update(changed, f.get("on").GetRevision())
			return err
		}},
		{"delete a flag", true, true, func(f *freezing) error { return f.delete("on", f.get("on").GetRevision()) }},
		{"apply", true, true, func(f *freezing) error {
			_, err := f.apply(&controlv1.ApplyRequest{
				Environment: production, Reason: "r", Flags: []*controlv1.FlagWrite{{Flag: boolFlag("applied")}},
			})
			return err
		}},
		{"promote a flag", true, true, func(f *freezing) error {
			_, err := f.PromoteFlag(f.ctx, alice, &controlv1.PromoteFlagRequest{FlagKey: "promoted", FromEnvironment: staging, ToEnvironment: production, Reason: "r"})
			return err
		}},
		{"restore a flag", true, true, func(f *freezing) error {
			history := f.fullHistory("off")
			_, err := f.RestoreFlag(f.ctx, alice, &controlv1.RestoreFlagRequest{
				Environment: production, FlagKey: "off", Revision: history[0].GetRevision(), BaseRevision: f.get("off").GetRevision(), Reason: "r",
			})
			return err
		}},
		{"create a segment", true, true, func(f *freezing) error {
			_, err := f.CreateSegment(f.ctx, alice, &controlv1.CreateSegmentRequest{Environment: production, Segment: &flagv1.Segment{Key: "made"}, Reason: "r"})
			return err
		}},
		{"start a rollout", true, true, func(f *freezing) error { _, err := f.tryStart(canary("new-one", "ready"), ""); return err }},
		{"promote a rollout", true, true, func(f *freezing) error { _, err := f.promote("r", nil); return err }},
		{"resume a rollout", true, true, func(f *freezing) error {
			_, err := f.ResumeRollout(f.ctx, alice, &controlv1.ResumeRolloutRequest{Environment: production, Key: "paused", Reason: "r"})
			return err
		}},
		{"delete a rollout", true, true, func(f *freezing) error {
			_, err := f.DeleteRollout(f.ctx, alice, &controlv1.DeleteRolloutRequest{Environment: production, Key: "over", Reason: "r"})
			return err
		}},
		{"change settings", true, false, func(f *freezing) error {
			current, err := f.GetEnvironment(f.ctx, &controlv1.GetEnvironmentRequest{Environment: production})
			if err != nil {
				return err
			}
			_, err = f.UpdateEnvironment(f.ctx, alice, &controlv1.UpdateEnvironmentRequest{
				Environment: production, Settings: &controlv1.EnvironmentSettings{Protected: true}, BaseRevision: current.GetRevision(), Reason: "r",
			})
			return err
		}},
		{"enable a flag", true, true, enable("off", true)},
		{"enable an operational flag", false, false, enable("shed-load", true)},
		{"disable a flag", false, false, enable("on", false)},
		{"pause a rollout", false, false, func(f *freezing) error { _, err := f.pause("r"); return err }},
		{"abort a rollout", false, false, func(f *freezing) error { _, err := f.abort("r"); return err }},
		{"make a key", false, false, func(f *freezing) error {
			_, err := f.CreateKey(f.ctx, alice, &controlv1.CreateKeyRequest{Name: "relays", Environments: []string{production}, Reason: "r"})
			return err
		}},
		{"restore the environment", false, false, func(f *freezing) error {
			_, err := f.restoreTo(&controlv1.RestoreEnvironmentRequest{Revision: f.fullHistory("on")[0].GetRevision(), AbortRollouts: true})
			return err
		}},
		{"look what an apply would change", false, false, func(f *freezing) error {
			_, err := f.apply(&controlv1.ApplyRequest{Environment: production, ValidateOnly: true, Flags: []*controlv1.FlagWrite{{Flag: boolFlag("applied")}}})
			return err
		}},
		{"write in another environment", false, false, func(f *freezing) error {
			_, err := f.CreateFlag(f.ctx, alice, &controlv1.CreateFlagRequest{Environment: staging, Flag: boolFlag("made"), Reason: "r"})
			return err
		}},
	}
}

// TestFrozenRefuses tries everything in an environment that is frozen, and in one in a window.
func TestFrozenRefuses(t *testing.T) {
	for _, a := range attempts() {
		for _, window := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/window %t", a.name, window), func(t *testing.T) {
				f := freezingFixture(t)
				f.prepare()
				want, refused := []string{`environment "production" is frozen by ada since 2026-11-22 10:30:00Z: checkout is down; nothing was written`, "tidegate panic lift -e production"}, a.refused
				if window {
					want = []string{`environment "production" is in freeze window 'closing' since 2026-11-22 09:30:00Z until 2026-11-22 12:30:00Z: the books are closed`, "--end-freeze-window closing"}
					refused = a.inWindow
					if _, err := f.setWindows(f.window(time.Hour, 2*time.Hour)); err != nil {
						t.Fatal(err)
					}
				} else {
					f.freeze(0, production)
				}
				err := a.do(f)
				if !refused {
					if err != nil {
						t.Error(err)
					}
					return
				}
				mentions(t, as[*FrozenError](t, err), want...)
				if window {
					f.fixture.at(2 * time.Hour)
				} else if _, err := f.lift(production); err != nil {
					t.Fatal(err)
				}
				if err := a.do(f); err != nil {
					t.Errorf("when it is over: %v", err)
				}
			})
		}
	}
}

// interrupted is a store in which something happens right before the first commit of a write.
type interrupted struct {
	store.Store
	happens func()
	commits int
}

func (s *interrupted) Commit(ctx context.Context, t store.Txn) (store.Outcome, error) {
	s.commits++
	if happens := s.happens; happens != nil {
		s.happens = nil
		happens()
		s.commits = 1
	}
	return s.Store.Commit(ctx, t)
}

// TestFreezeBeforeCommit: what was decided before a freeze, or before a window was set, does not
// commit after it. What a frozen environment takes does not even have to try again.
func TestFreezeBeforeCommit(t *testing.T) {
	for _, a := range attempts() {
		for _, window := range []bool{false, true} {
			if strings.HasPrefix(a.name, "look") || window && a.name == "change settings" { // which is a conflict of its own
				continue
			}
			t.Run(fmt.Sprintf("%s/window %t", a.name, window), func(t *testing.T) {
				inner := memstore.New()
				t.Cleanup(func() { _ = inner.Close() })
				s := &interrupted{Store: inner}
				f, other := newFreezing(runOn(t, s)), newFreezing(runOn(t, inner))
				f.prepare()
				f.caughtUp()
				refused := a.refused
				s.happens = func() { other.freeze(0, production) }
				if window {
					refused = a.inWindow
					s.happens = func() {
						if _, err := other.setWindows(f.window(time.Hour, time.Hour)); err != nil {
							t.Error(err)
						}
					}
				}
				err := a.do(f)
				switch {
				case s.happens != nil:
					t.Fatalf("nothing was committed: %v", err)
				case refused:
					_ = as[*FrozenError](t, err)
				case err != nil:
					t.Error(err)
				case window && strings.HasPrefix(a.name, "enable"): // whether others have to approve it is of the settings, too
				case s.commits != 1 && !strings.HasSuffix(a.name, "environment"): // one aborts rollouts first, one is of what could be frozen
					t.Errorf("it took %d commits", s.commits)
				}
			})
		}
	}
}

func TestFreezeMerges(t *testing.T) {
	f := freezingFixture(t)
	first := f.freeze(time.Hour, production)
	e := first.GetEntry()
	if e.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_FREEZE || e.GetAction() != controlv1.Action_ACTION_FROZEN || e.GetEnvironment() != "" || e.GetKey() != "freeze" ||
		e.GetActor() != "ada" || e.GetReason() != "checkout is down" || len(e.GetFreeze().GetFreezes()) != 1 || e.GetRevision() != first.GetRevision() {
		t.Errorf("%v", e)
	}
	if kvs := f.all(AuditRoot + StoreTrail + "/z/freeze/"); len(kvs) != 1 || len(f.all("/told")) != 1 {
		t.Errorf("%d entries, told %d", len(kvs), len(f.all("/told")))
	}
	if again := f.freeze(time.Hour, production); again.GetEntry() != nil || again.GetRevision() != first.GetRevision() || len(again.GetFreezes()) != 1 {
		t.Errorf("the same again: %v", again)
	}
	if shorter := f.freeze(time.Minute, production); shorter.GetEntry() != nil || !proto.Equal(shorter.GetFreezes()[0], first.GetFreezes()[0]) {
		t.Errorf("for a shorter time: %v", shorter)
	}
	f.fixture.at(30 * time.Minute)
	longer, err := f.Freeze(f.ctx, Caller{Actor: "eve"}, &controlv1.FreezeRequest{Environments: []string{production, staging, production}, Reason: "still down"})
	if err != nil || len(longer.GetFreezes()) != 2 {
		t.Fatalf("%v, %v", longer, err)
	}
	if p := longer.GetFreezes()[0]; p.GetEnvironment() != production || p.GetActor() != "eve" || p.GetReason() != "still down" || p.Until != nil ||
		!proto.Equal(p.GetSince(), first.GetFreezes()[0].GetSince()) {
		t.Errorf("for longer, it is %v", p)
	}
	f.freeze(time.Hour)
	if list, err := f.GetFreeze(f.ctx, &controlv1.GetFreezeRequest{}); err != nil || len(list.GetFreezes()) != 3 || len(list.GetEnvironments()) != 2 ||
		len(list.GetEnvironments()[0].GetFrozen()) != 2 || list.GetEnvironments()[0].GetFrozen()[0].GetActor() != "eve" || list.GetEnvironments()[0].GetUntil() != nil {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := f.lift(staging); err == nil || !strings.Contains(err.Error(), "all environments are frozen together, by ada since 2026-11-22T11:00:00Z: checkout is down; lift that as a whole") {
		t.Errorf("one of all: %v", err)
	}
	f.fixture.at(2 * time.Hour) // the freeze of all is over, by itself
	lifted, err := f.lift(staging)
	if err != nil || len(lifted.GetFreezes()) != 1 || lifted.GetEntry().GetAction() != controlv1.Action_ACTION_LIFTED {
		t.Fatalf("%v, %v", lifted, err)
	}
	if again, err := f.lift(staging); err != nil || again.GetEntry() != nil || len(again.GetFreezes()) != 1 {
		t.Errorf("lifted again: %v, %v", again, err)
	}
	if all, err := f.lift(); err != nil || len(all.GetFreezes()) != 0 || all.GetEntry().GetFreeze() != nil || len(f.all(freezeKey)) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if again, err := f.lift(); err != nil || again.GetEntry() != nil || again.GetRevision() != 0 {
		t.Errorf("nothing is frozen: %v, %v", again, err)
	}
	if n := len(f.told); n != 5 || !f.told[4].Lifted || len(f.told[4].Freezes) != 1 || f.told[1].Freezes[1].GetEnvironment() != staging {
		t.Errorf("people were told %v", f.told)
	}
}

func TestFreezeRefusesWhatIsWrong(t *testing.T) {
	f := freezingFixture(t)
	past := timestamppb.New(f.Authority.now())
	for want, r := range map[string]*controlv1.FreezeRequest{
		"reason: is required":             {},
		"until: must be in the future":    {Until: past, Reason: "r"},
		"environments[0]: must be 1 to":   {Environments: []string{"Production"}, Reason: "r"},
		`not found: environment "prod"`:   {Environments: []string{"prod"}, Reason: "r"},
		"there are 257; at most 256":      {Environments: make([]string, 257), Reason: "r"},
		"request_id: must be at most 64":  {Reason: "r", RequestId: "a b"},
		"environments[1]: is required":    {Environments: []string{staging, ""}, Reason: "r"},
		"until: must be in the future: i": {Until: &timestamppb.Timestamp{Nanos: -1}, Reason: "r"},
	} {
		if _, err := f.Freeze(f.ctx, alice, r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if len(f.all(freezeKey)) != 0 || len(f.told) != 0 {
		t.Error("something was frozen")
	}
	// The same request again is the same freeze, whatever was lifted in between.
	r := &controlv1.FreezeRequest{Reason: "r", RequestId: "once"}
	first, err := f.Freeze(f.ctx, alice, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.lift(); err != nil {
		t.Fatal(err)
	}
	if again, err := f.Freeze(f.ctx, alice, r); err != nil || again.GetRevision() != first.GetRevision() || len(f.all(freezeKey)) != 0 {
		t.Errorf("%v, %v", again, err)
	}
}

// TestCorruptFreeze: what cannot be read counts as frozen, and can be lifted or replaced.
func TestCorruptFreeze(t *testing.T) {
	f := freezingFixture(t)
	f.create(boolFlag("on"))
	damage := func() {
		if _, err := f.store.Commit(f.ctx, store.Txn{Ops: []store.Op{store.Put(freezeKey, []byte{0xff})}}); err != nil {
			t.Fatal(err)
		}
	}
	damage()
	if err := f.tryCreate(boolFlag("a")); err == nil || !strings.Contains(err.Error(), ErrCorrupt.Error()) {
		t.Errorf("got %v", err)
	}
	if frozen, err := f.FrozenEnvironments(f.ctx, []string{production}, f.Authority.now()); err != nil || frozen[production] == nil {
		t.Errorf("a decider is told %v, %v", frozen, err)
	}
	f.setEnabled("on", false)
	if _, err := f.lift(); err != nil {
		t.Fatal(err)
	}
	if err := f.tryCreate(boolFlag("a")); err != nil {
		t.Error(err)
	}
	damage()
	f.freeze(0, staging)
	if err := f.tryCreate(boolFlag("b")); err != nil {
		t.Error(err)
	}
}

func TestFreezeWindowsAreChecked(t *testing.T) {
	f := freezingFixture(t)
	good := f.window(-time.Hour, 2*time.Hour)
	weekly := &controlv1.FreezeWindow{Name: "nights", When: &controlv1.FreezeWindow_Weekly{Weekly: &controlv1.WeeklyWindow{
		Days: []controlv1.DayOfWeek{controlv1.DayOfWeek_DAY_OF_WEEK_FRIDAY}, Start: "25:00", Duration: durationpb.New(time.Hour), TimeZone: "UTC",
	}}}
	for want, windows := range map[string][]*controlv1.FreezeWindow{
		`freeze_windows[1].name: "closing" is the name of two`: {good, good},
		"freeze_windows[0].name: is required":                  {{When: good.GetWhen()}},
		"freeze_windows[0].weekly.start: must be a time of":    {weekly},
		"there are 65; at most 64":                             make([]*controlv1.FreezeWindow, 65),
	} {
		if _, err := f.setWindows(windows...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if _, err := f.setWindows(good); err != nil {
		t.Fatal(err)
	}
	list, err := f.GetFreeze(f.ctx, &controlv1.GetFreezeRequest{})
	if err != nil || list.GetEnvironments()[0].GetNext().GetWindow() != "closing" || len(list.GetEnvironments()[0].GetFrozen()) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	f.fixture.at(90 * time.Minute)
	list, err = f.GetFreeze(f.ctx, &controlv1.GetFreezeRequest{})
	if e := list.GetEnvironments()[0]; err != nil || e.GetNext() != nil || e.GetFrozen()[0].GetWindow() != "closing" || !proto.Equal(e.GetUntil(), good.GetOnce().GetEnd()) {
		t.Errorf("%v, %v", list, err)
	}
}

// TestFrozenVerdicts: a freeze that comes after a verdict was planned keeps it from widening, and
// never from shutting.
func TestFrozenVerdicts(t *testing.T) {
	for _, c := range []struct {
		verdict rolloutv1.Verdict
		widens  bool
	}{
		{rolloutv1.Verdict_VERDICT_ADVANCE, true},
		{rolloutv1.Verdict_VERDICT_COMPLETE, true},
		{rolloutv1.Verdict_VERDICT_HOLD, false},
		{rolloutv1.Verdict_VERDICT_ROLLBACK, false},
		{rolloutv1.Verdict_VERDICT_GIVE_UP, false},
	} {
		for _, window := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/window %t", c.verdict, window), func(t *testing.T) {
				f := freezingFixture(t)
				v := verdict(f.startNew("r", "f"), f.get("f").GetRevision(), c.verdict)
				planned, err := f.PlanVerdict(f.ctx, v)
				if err != nil {
					t.Fatal(err)
				}
				if window {
					if _, err := f.setWindows(f.window(time.Hour, time.Hour)); err != nil {
						t.Fatal(err)
					}
				} else {
					f.freeze(0)
				}
				if out, err := f.store.Commit(f.ctx, planned.Txn); err != nil || out.Committed == c.widens {
					t.Errorf("planned before: %v, %v", out, err)
				}
				if !c.widens {
					return
				}
				if _, err := f.PlanVerdict(f.ctx, v); err == nil {
					t.Error("planned after")
				} else {
					wants[*FrozenError](t, err)
				}
				v.Decision.Time = timestamppb.New(f.Authority.now().Add(2 * time.Hour))
				if _, err := f.PlanVerdict(f.ctx, v); (err == nil) != window {
					t.Errorf("when the window is over: %v", err)
				}
			})
		}
	}
}
