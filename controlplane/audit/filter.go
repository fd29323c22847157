package audit

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/controlplane"
	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

var environmentPattern = regexp.MustCompile(`^([a-z][a-z0-9-]{0,62}|` + controlplane.AccessTrail + `|` + controlplane.StoreTrail + `)$`)

func invalid(field, problem string) error {
	return &controlplane.InvalidError{Fields: eval.Errors{{Field: field, Problem: problem}}}
}

// checkTrail refuses what is no name of a trail, and what is none of an environment.
func (t *Trails) checkTrail(ctx context.Context, environment string) error {
	switch {
	case !environmentPattern.MatchString(environment):
		return invalid("environment", fmt.Sprintf("must be an environment, %q for identities, or %q for the store's epoch",
			controlplane.AccessTrail, controlplane.StoreTrail))
	case environment == controlplane.AccessTrail || environment == controlplane.StoreTrail || t.o.Exists == nil:
		return nil
	}
	return t.o.Exists(ctx, environment)
}

// filter is an EntryFilter, ready for use.
type filter struct {
	*controlv1.EntryFilter
	letters []string
	reason  string
}

// newFilter checks a filter; nil lets through all that it may.
func newFilter(f *controlv1.EntryFilter) (*filter, error) {
	made := &filter{EntryFilter: f, reason: strings.ToLower(f.GetReason())}
	for _, k := range f.GetKinds() {
		letter := letters[k]
		if letter == "" {
			return nil, invalid("filter.kinds", fmt.Sprintf("%d is no kind", k))
		}
		made.letters = append(made.letters, letter)
	}
	switch {
	case f.GetMinRevision() < 0 || f.GetMaxRevision() < 0:
		return nil, invalid("filter.min_revision", "and max_revision must not be negative")
	case f.GetSince() != nil && !f.GetSince().IsValid():
		return nil, invalid("filter.since", "is not a time")
	case f.GetUntil() != nil && !f.GetUntil().IsValid():
		return nil, invalid("filter.until", "is not a time")
	}
	return made, nil
}

// line tells whether an entry may be let through, by what a seal says of it.
func (f *filter) line(l *controlv1.SealedEntry) bool {
	letter, rest, _ := strings.Cut(l.GetKey(), "/")
	name, _, _ := strings.Cut(rest, "/")
	switch {
	case len(f.letters) == 0 && letter == letters[controlv1.ResourceKind_RESOURCE_KIND_KEY]:
		return false
	case len(f.letters) > 0 && !slices.Contains(f.letters, letter),
		!strings.HasPrefix(name, f.GetKeyPrefix()),
		f.GetKey() != "" && f.GetKey() != name,
		f.GetActor() != "" && f.GetActor() != l.GetActor(),
		len(f.GetActions()) > 0 && !slices.Contains(f.GetActions(), l.GetAction()),
		l.GetRevision() < f.GetMinRevision(),
		f.GetMaxRevision() > 0 && l.GetRevision() > f.GetMaxRevision(),
		f.GetSince() != nil && l.GetTime().AsTime().Before(f.GetSince().AsTime()),
		f.GetUntil() != nil && !l.GetTime().AsTime().Before(f.GetUntil().AsTime()):
		return false
	}
	return true
}

// entry tells whether an entry is let through that its line is.
func (f *filter) entry(e *controlv1.AuditEntry) bool {
	return strings.Contains(strings.ToLower(e.GetReason()), f.reason) &&
		(f.GetRequestId() == "" || f.GetRequestId() == e.GetRequestId())
}
