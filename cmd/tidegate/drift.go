package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// maxDrift bounds for how many flags it is looked up who changed them: a look costs a call.
const maxDrift = 20

// drift says of what is kept in files, and is not as they say, who changed it beside them: by the
// kill switch, a rollout or a restoration. What comes from the files, and is new in them, is none.
func (c *client) drift(ctx context.Context, p *applyPlan) error {
	p.changedBy = make(map[resourceID]string)
	looked := 0
	for _, r := range p.response().GetResults() {
		if r.GetKind() != controlv1.ResourceKind_RESOURCE_KIND_FLAG || r.GetAction() != controlv1.Action_ACTION_UPDATED {
			continue
		}
		if looked++; looked > maxDrift {
			return nil
		}
		page, err := read(ctx, c, c.flags.ListFlagHistory, &controlv1.ListFlagHistoryRequest{
			Environment: c.environment, FlagKey: r.GetKey(), PageSize: 1,
		})
		if err != nil {
			return err
		}
		for _, e := range page.GetEntries() {
			if a := e.GetAction(); a == controlv1.Action_ACTION_CREATED || a == controlv1.Action_ACTION_UPDATED && e.GetRolloutKey() == "" {
				continue
			}
			by := actorText(e.GetActor())
			if e.GetRolloutKey() != "" {
				by = fmt.Sprintf("rollout %s (%s)", singleLine(e.GetRolloutKey()), by)
			}
			p.changedBy[resourceID{r.GetKind(), r.GetKey()}] = fmt.Sprintf("%s by %s at %s: %s",
				actionWord(e.GetAction()), by, timeText(e.GetTime()), singleLine(e.GetReason()))
		}
	}
	return nil
}

// fileSources are the sources of files that keep flags of the environment; none where they cannot
// be read, as they are told beside other things.
func (c *client) fileSources(ctx context.Context) []*controlv1.FileSource {
	environment, err := read(ctx, c, c.environments.GetEnvironment, &controlv1.GetEnvironmentRequest{Environment: c.environment})
	if err != nil {
		return nil
	}
	return environment.GetSettings().GetFileSources()
}

// keeperOf is the source that keeps what has the key; nil: none does.
func keeperOf(sources []*controlv1.FileSource, key string) *controlv1.FileSource {
	i := slices.IndexFunc(sources, func(s *controlv1.FileSource) bool {
		return len(s.GetKeyPrefixes()) == 0 ||
			slices.ContainsFunc(s.GetKeyPrefixes(), func(prefix string) bool { return strings.HasPrefix(key, prefix) })
	})
	if i < 0 {
		return nil
	}
	return sources[i]
}
