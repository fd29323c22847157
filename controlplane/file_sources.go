package controlplane

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidegate/tidegate/eval"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// keeps tells whether a source keeps what has the key.
func keeps(s *controlv1.FileSource, key string) bool {
	return len(s.GetKeyPrefixes()) == 0 ||
		slices.ContainsFunc(s.GetKeyPrefixes(), func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// checkSource refuses what is kept in files and comes from elsewhere, and what comes from files
// that do not keep it, or that somebody else applies.
func (s *state) checkSource(p *plan, drafts []*draft) error {
	var problems eval.Errors
	for _, d := range drafts {
		if d.kind != flagKind && d.kind != segmentKind || d.killSwitch() || d.rollout != "" {
			continue // the kill switch works wherever a flag is kept, and so do rollouts
		}
		settings, err := s.environmentSettings(d.environment)
		if err != nil {
			return err
		}
		s.policed = true
		var keeper *controlv1.FileSource
		if i := slices.IndexFunc(settings.GetFileSources(), func(f *controlv1.FileSource) bool { return keeps(f, d.key) }); i >= 0 {
			keeper = settings.GetFileSources()[i]
		}
		switch {
		case keeper.GetName() == p.source && keeper.GetAppliedBy() != "" && keeper.GetAppliedBy() != p.caller.Actor:
			problems = append(problems, eval.FieldError{Field: d.field, Problem: fmt.Sprintf(
				"the %s %q is kept in the files of source %q, which %q alone applies, not %q", d.kind.name, d.key, p.source, keeper.GetAppliedBy(), p.caller.Actor)})
		case keeper.GetName() == p.source:
		case keeper == nil:
			problems = append(problems, eval.FieldError{Field: d.field, Problem: fmt.Sprintf(
				"the %s %q is not kept in the files of source %q: see the settings of the environment", d.kind.name, d.key, p.source)})
		default:
			problems = append(problems, eval.FieldError{Field: d.field, Problem: d.keptIn(keeper)})
		}
	}
	if len(problems) > 0 {
		return &PreconditionError{Fields: problems}
	}
	return nil
}

// keptIn says where a draft is kept that comes from elsewhere, and what can be done.
func (d *draft) keptIn(keeper *controlv1.FileSource) string {
	where := fmt.Sprintf("of source %q", keeper.GetName())
	if keeper.GetLocation() != "" {
		where += ", at " + keeper.GetLocation()
	}
	what := fmt.Sprintf("the %s %q is kept in files (%s): ", d.kind.name, d.key, where)
	if d.verb == controlv1.Action_ACTION_ENABLED {
		return what + fmt.Sprintf(
			"enable it there, and apply them with 'tidegate apply --source %s --enable'; here any flag can be disabled, and one of kind operational enabled",
			keeper.GetName())
	}
	return what + "change it there; only the kill switch works here"
}

// sources checks file sources by themselves.
func (c *checker) sources(field string, sources []*controlv1.FileSource) {
	if n := len(sources); n > maxSources {
		c.add(field, "there are %d; at most %d are allowed", n, maxSources)
		return
	}
	for i, s := range sources {
		at := fmt.Sprintf("%s[%d]", field, i)
		c.key(at+".name", s.GetName())
		c.prefixes(at+".key_prefixes", s.GetKeyPrefixes())
		c.words(at+".location", s.GetLocation())
		c.words(at+".applied_by", s.GetAppliedBy())
		for _, other := range sources[:i] {
			if other.GetName() == s.GetName() {
				c.add(at+".name", "%q is the name of two sources", s.GetName())
			}
			if overlap(s, other) {
				c.add(at+".key_prefixes", "overlap with those of %q: a key can be kept in one source alone", other.GetName())
			}
		}
	}
}

// overlap tells whether there are keys that both keep.
func overlap(a, b *controlv1.FileSource) bool {
	if len(a.GetKeyPrefixes()) == 0 || len(b.GetKeyPrefixes()) == 0 {
		return true
	}
	for _, p := range a.GetKeyPrefixes() {
		for _, q := range b.GetKeyPrefixes() {
			if strings.HasPrefix(p, q) || strings.HasPrefix(q, p) {
				return true
			}
		}
	}
	return false
}
