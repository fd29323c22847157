package controlplane

import (
	"context"
	"fmt"
	"time"

	"github.com/tidegate/tidegate/controlplane/freeze"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/judge"
)

// FrozenError says that an environment is frozen, and by what: of several, by what lasts longest.
// Nothing was written.
type FrozenError struct {
	Environment string
	Frozen      *rolloutv1.Frozen
	// Others is by how many other freezes and windows it is frozen, too.
	Others int
}

// frozenError says so, in as much room as an error has. by is all that froze it, the first of which
// lasts longest.
func frozenError(environment string, by []*rolloutv1.Frozen) error {
	longest := by[0]
	longest.Reason = truncate(longest.GetReason(), maxConflictReason)
	return &FrozenError{Environment: environment, Frozen: longest, Others: len(by) - 1}
}

// Error says who froze it, since when and why, what works, and how it ends.
func (e *FrozenError) Error() string {
	as := ""
	if e.Frozen.GetEverywhere() {
		as = ", like all others,"
	}
	settings := ""
	if e.Frozen.GetWindow() != "" {
		settings = ", 'environment set'" // or a window could never be mended while it lasts
	}
	also := ""
	switch {
	case e.Others == 1:
		also = " (and 1 more freeze or window: see 'tidegate panic status')"
	case e.Others > 1:
		also = fmt.Sprintf(" (and %d more freezes or windows: see 'tidegate panic status')", e.Others)
	}
	return fmt.Sprintf("environment %q%s is %s%s; nothing was written; what still works: 'flag disable', 'flag enable' of operational flags, "+
		"'rollout pause', 'rollout abort', 'environment restore'%s; %s", e.Environment, as, judge.FrozenText(e.Frozen), also, settings, e.end())
}

// end says how what froze it ends.
func (e *FrozenError) end() string {
	who, command := "an operator lifts it", "tidegate panic lift -e "+e.Environment
	switch {
	case e.Frozen.GetWindow() != "":
		who, command = "an administrator ends it", fmt.Sprintf("tidegate environment set %s --end-freeze-window %s", e.Environment, e.Frozen.GetWindow())
	case e.Frozen.GetEverywhere():
		who, command = "an operator of all environments lifts it for all of them", "tidegate panic lift"
	}
	sooner := ""
	if e.Frozen.GetUntil() != nil {
		sooner = "it ends by itself then; sooner, "
	}
	return sooner + who + " with '" + command + "'"
}

// refused tells whether a frozen environment refuses the change: what does not make it safer, of
// flags, segments, rollouts and settings. The kill switch and what shuts a rollout are not; nor
// are keys and identities, by which one gets in, or throws somebody out.
func (d *draft) refused() bool {
	switch d.kind {
	case flagKind, segmentKind, rolloutKind, environmentKind:
	default:
		return false
	}
	switch d.action() {
	case controlv1.Action_ACTION_PAUSED, controlv1.Action_ACTION_ABORTED:
		return false
	}
	return !d.killSwitch()
}

// killSwitch tells whether the change turns a flag off, or on one that is operational: whose safe
// state may be that.
func (d *draft) killSwitch() bool {
	switch d.verb {
	case controlv1.Action_ACTION_DISABLED:
		return true
	case controlv1.Action_ACTION_ENABLED:
		held, _ := d.current.message.(*flagv1.Flag)
		return held.GetKind() == flagv1.FlagKind_FLAG_KIND_OPERATIONAL
	}
	return false
}

// checkFrozen refuses what a frozen environment refuses. That it is not frozen is a condition of
// the write then, so that nothing commits after a freeze that was decided on before.
func (s *state) checkFrozen(p *plan, drafts []*draft) error {
	if p.validateOnly {
		return nil // what is prepared meanwhile can be looked at
	}
	for _, d := range drafts {
		if !d.refused() {
			continue
		}
		s.thawed = true
		frozen, err := frozenAt(s.freezes, version{}, d.environment, s.now)
		if d.kind != environmentKind { // or a window could never be mended while it lasts
			s.policed = true
			frozen, err = frozenAt(s.freezes, s.settings, d.environment, s.now)
		}
		if err != nil {
			return err
		}
		if len(frozen) > 0 {
			return frozenError(d.environment, frozen)
		}
	}
	return nil
}

// frozenAt is all that an environment is frozen by, what lasts longest first.
func frozenAt(freezes, settings version, environment string, now time.Time) ([]*rolloutv1.Frozen, error) {
	all, ok := freezes.message.(*controlv1.Freezes)
	if !ok && freezes.revision != 0 {
		return nil, fmt.Errorf("%w: %s: nothing was written; freeze and lift again what shall be", ErrCorrupt, freezeKey)
	}
	set, ok := settings.message.(*controlv1.EnvironmentSettings)
	if !ok && settings.revision != 0 {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, settingsOf(environment))
	}
	return freeze.At(all, set, environment, now), nil
}

// checkThawed returns what must hold so that an environment which is not frozen at a time is not
// when a transaction commits; a *FrozenError if it is.
func (a *Authority) checkThawed(ctx context.Context, environment string, at time.Time) ([]store.Compare, error) {
	results, _, err := a.store.Read(ctx, store.Key(freezeKey), store.Key(environmentKey(environment)))
	if err != nil {
		return nil, unavailable(err)
	}
	freezes, settings := freezeKind.version(results[0]), environmentKind.version(results[1])
	frozen, err := frozenAt(freezes, settings, environment, at)
	switch {
	case err != nil:
		return nil, err
	case len(frozen) > 0:
		return nil, frozenError(environment, frozen)
	}
	return []store.Compare{
		store.Unchanged(freezeKey, freezes.revision), store.Unchanged(environmentKey(environment), settings.revision),
	}, nil
}

// FrozenEnvironments tells by what each of some environments is frozen at a time; those that are not
// are not in it. One of which that cannot be decoded counts as frozen.
func (a *Authority) FrozenEnvironments(ctx context.Context, environments []string, at time.Time) (map[string]*rolloutv1.Frozen, error) {
	frozen := make(map[string]*rolloutv1.Frozen)
	for len(environments) > 0 {
		n := min(len(environments), store.MaxTxnOps-1)
		ranges := make([]store.Range, 1, 1+n)
		ranges[0] = store.Key(freezeKey)
		for _, name := range environments[:n] {
			ranges = append(ranges, store.Key(environmentKey(name)))
		}
		results, _, err := a.store.Read(ctx, ranges...)
		if err != nil {
			return nil, unavailable(err)
		}
		freezes := freezeKind.version(results[0])
		for i, name := range environments[:n] {
			f, err := frozenAt(freezes, environmentKind.version(results[i+1]), name, at)
			if err != nil { // what shuts must not fail on it
				a.logger.Error().Err(err).Str("environment", name).Msg("whether an environment is frozen is not known: nothing is widened in it")
				f = []*rolloutv1.Frozen{{Actor: "nobody knows whom", Reason: "what is stored of it cannot be decoded"}}
			}
			if len(f) > 0 {
				frozen[name] = f[0]
			}
		}
		environments = environments[n:]
	}
	return frozen, nil
}
