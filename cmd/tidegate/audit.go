package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Trails that are of no environment, as people name them and as requests do.
const (
	trailAccess, trailStore = "_access", "_store"
	trailHelp               = "environment, " + trailAccess + " for identities or " + trailStore + " for the store's epoch and what is frozen; also $" + environmentVariable
)

func newAuditCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Search, follow, export and verify the audit trails",
		Long: "Search, follow, export and verify the audit trails: who changed what, when, why and from\n" +
			"where. Each environment has one; besides there are " + trailAccess + ", of identities, and " + trailStore + ", of\n" +
			"the store's epoch and of what is frozen.",
	}
	cmd.AddCommand(newAuditListCommand(io), newAuditWatchCommand(io), newAuditExportCommand(io), newAuditVerifyCommand(io), newAuditHeadCommand(io))
	return cmd
}

// registerTrail adds --environment for one trail.
func (o *clientOptions) registerTrail(f *pflag.FlagSet) {
	o.registerServer(f)
	f.StringVarP(&o.environment, "environment", "e", fromVariable(environmentVariable, readEnvironment), trailHelp)
}

// entryFilter are the flags that say which entries are wanted.
type entryFilter struct {
	kinds, actions []string
	since, until   string
	made           controlv1.EntryFilter
}

func (e *entryFilter) register(f *pflag.FlagSet) {
	f.StringSliceVar(&e.kinds, "kind", nil, "of flags, segments, rollouts, identities or keys: flag, segment, ... (default: all but keys)")
	f.StringVar(&e.made.Key, "key", "", "of this flag, segment or rollout, or of this id")
	f.StringVar(&e.made.KeyPrefix, "key-prefix", "", "of those whose keys begin with this")
	f.StringVar(&e.made.Actor, "by", "", "made by whom")
	f.StringSliceVar(&e.actions, "action", nil, "what was done: created, updated, disabled, rolled-back, ...")
	f.StringVar(&e.since, "since", "", "from this time on: 2026-11-26T14:00:00Z, or how long ago, such as 90m")
	f.StringVar(&e.until, "until", "", "before this time")
	f.Int64Var(&e.made.MinRevision, "min-revision", 0, "from this revision on")
	f.Int64Var(&e.made.MaxRevision, "max-revision", 0, "up to this revision")
	f.StringVar(&e.made.Reason, "reason", "", "with this in the reason, in whatever case")
	f.StringVar(&e.made.RequestId, "request-id", "", "of this request")
}

// filter reads the flags.
func (e *entryFilter) filter(now time.Time) (*controlv1.EntryFilter, error) {
	for _, name := range e.kinds {
		kind, err := enumOf("--kind", "RESOURCE_KIND_", name, controlv1.ResourceKind_value)
		if err != nil {
			return nil, err
		}
		e.made.Kinds = append(e.made.Kinds, controlv1.ResourceKind(kind))
	}
	for _, name := range e.actions {
		action, err := enumOf("--action", "ACTION_", name, controlv1.Action_value)
		if err != nil {
			return nil, err
		}
		e.made.Actions = append(e.made.Actions, controlv1.Action(action))
	}
	for _, t := range []struct {
		flag, text string
		to         **timestamppb.Timestamp
	}{{"--since", e.since, &e.made.Since}, {"--until", e.until, &e.made.Until}} {
		if t.text == "" {
			continue
		}
		at, err := parseTime(t.text, now)
		if err != nil {
			return nil, usagef("%s %s: %v", t.flag, t.text, err)
		}
		*t.to = timestamppb.New(at)
	}
	return &e.made, nil
}

// enumOf finds an enum's value by the end of its name, in whatever case.
func enumOf(flag, prefix, name string, values map[string]int32) (int32, error) {
	if v, ok := values[prefix+strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(name))]; ok && v != 0 {
		return v, nil
	}
	var known []string
	for _, n := range slices.SortedFunc(maps.Keys(values), func(a, b string) int { return int(values[a] - values[b]) }) {
		if values[n] != 0 {
			known = append(known, strings.ReplaceAll(enumWord(n, prefix), " ", "-"))
		}
	}
	return 0, usagef("%s %s: expected one of %s", flag, name, strings.Join(known, ", "))
}

// writeEntries writes entries of many resources for people.
func (c *client) writeEntries(out io.Writer, entries []*controlv1.AuditEntry) {
	for _, e := range entries {
		fmt.Fprintf(out, "%s  %s  %s %s %s by %s%s\n", c.paint.bold(revisionText(e.GetRevision())), c.paint.dim(timeText(e.GetTime())),
			c.actionText(e.GetAction()), kindWord(e.GetKind()), c.paint.bold(singleLine(e.GetKey())), actorText(e.GetActor()), whyText(e.GetReason()))
		c.writeOrigin(out, e)
		if e.GetPreviousRevision() != 0 && e.GetAction() != controlv1.Action_ACTION_DELETED { // else: everything
			writeChanges(out, c.paint, "    ", e.GetChanges())
		}
	}
}
