package controlplane

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/freeze"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// Limits of a policy.
const (
	maxKeyPattern  = 256
	maxKeyPrefixes = 64
	maxSources     = 64
)

func settingsOf(environment string) resource {
	return resource{environment: environment, kind: environmentKind, key: environment}
}

// GetEnvironment returns what holds for an environment, as the store has it now.
func (a *Authority) GetEnvironment(ctx context.Context, r *controlv1.GetEnvironmentRequest) (*controlv1.GetEnvironmentResponse, error) {
	v, err := a.get(ctx, environmentKind, r.GetEnvironment(), r.GetEnvironment())
	if err != nil {
		return nil, err
	}
	settings, _ := v.message.(*controlv1.EnvironmentSettings)
	return &controlv1.GetEnvironmentResponse{Settings: settings, Revision: v.revision}, nil
}

// UpdateEnvironment replaces what holds for an environment.
func (a *Authority) UpdateEnvironment(ctx context.Context, c Caller, r *controlv1.UpdateEnvironmentRequest) (*controlv1.UpdateEnvironmentResponse, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	check.base(r.GetBaseRevision())
	check.write(r)
	if r.GetSettings() == nil {
		check.add("settings", "is required")
	}
	check.settings("settings", r.GetEnvironment(), r.GetSettings())
	if err := check.err(); err != nil {
		return nil, err
	}
	update := &change{
		resource: settingsOf(r.GetEnvironment()), field: "settings", base: &r.BaseRevision, present: true,
		verb: controlv1.Action_ACTION_UPDATED,
	}
	update.content = func(version, version) (proto.Message, error) {
		var err error
		update.with.Compares, err = a.checkChain(ctx, r.GetEnvironment(), r.GetSettings().GetPromotion())
		return r.GetSettings(), err
	}
	result, err := a.writeOne(ctx, c, r, update)
	if err != nil {
		return nil, err
	}
	settings, _ := result.message.(*controlv1.EnvironmentSettings)
	return &controlv1.UpdateEnvironmentResponse{Settings: settings, Revision: result.revision, Entry: result.entry}, nil
}

// ListEnvironmentHistory lists the audit entries of an environment's settings, newest first.
func (a *Authority) ListEnvironmentHistory(ctx context.Context, r *controlv1.ListEnvironmentHistoryRequest) (*controlv1.ListEnvironmentHistoryResponse, error) {
	entries, next, err := a.history(ctx, environmentKind, r.GetEnvironment(), r)
	var missing *NotFoundError
	if errors.As(err, &missing) {
		if err := a.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
			return nil, err
		}
		return &controlv1.ListEnvironmentHistoryResponse{}, nil // nothing was ever set
	}
	if err != nil {
		return nil, err
	}
	return &controlv1.ListEnvironmentHistoryResponse{Entries: entries, NextPageToken: next}, nil
}

// settings checks the settings of an environment by themselves.
func (c *checker) settings(field, environment string, s *controlv1.EnvironmentSettings) {
	c.policy(field+".flag_policy", s.GetFlagPolicy())
	c.sources(field+".file_sources", s.GetFileSources())
	c.freezeWindows(field+".freeze_windows", s.GetFreezeWindows())
	c.approval(field+".approval", s.GetApproval())
	c.promotion(field+".promotion", environment, s.GetPromotion())
}

// policy checks a policy by itself.
func (c *checker) policy(field string, p *controlv1.FlagPolicy) {
	pattern := p.GetKeyPattern()
	if len(pattern) > maxKeyPattern {
		c.add(field+".key_pattern", "must be at most %d bytes, not %d", maxKeyPattern, len(pattern))
	} else if _, err := wholeKey(pattern); err != nil {
		c.add(field+".key_pattern", "is not a regular expression of RE2's syntax: %v", err)
	}
	c.prefixes(field+".key_prefixes", p.GetKeyPrefixes())
	c.words(field+".explanation", p.GetExplanation())
}

func (c *checker) prefixes(field string, prefixes []string) {
	if n := len(prefixes); n > maxKeyPrefixes {
		c.add(field, "there are %d; at most %d are allowed", n, maxKeyPrefixes)
	}
	for _, prefix := range prefixes {
		if prefix == "" || !keyPrefixPattern.MatchString(prefix) {
			c.add(field, "must be beginnings of keys, which %s; got %q", keyRule, truncate(prefix, maxEcho))
		}
	}
}

// freezeWindows checks windows in which the environment is frozen.
func (c *checker) freezeWindows(field string, windows []*controlv1.FreezeWindow) {
	if n := len(windows); n > freeze.MaxWindows {
		c.add(field, "there are %d; at most %d are allowed", n, freeze.MaxWindows)
		return
	}
	for i, w := range windows {
		at := fmt.Sprintf("%s[%d]", field, i)
		c.key(at+".name", w.GetName())
		c.words(at+".explanation", w.GetExplanation())
		if slices.ContainsFunc(windows[:i], func(other *controlv1.FreezeWindow) bool { return other.GetName() == w.GetName() }) {
			c.add(at+".name", "%q is the name of two windows", w.GetName())
		}
		c.fields = append(c.fields, freeze.Check(at, w)...)
	}
}

// wholeKey compiles a pattern that keys must match from their beginning to their end.
func wholeKey(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // by itself, so that it cannot close the group
		return nil, err
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}
