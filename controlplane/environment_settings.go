package controlplane

import (
	"context"
	"errors"
	"regexp"

	"google.golang.org/protobuf/proto"

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
	check.policy("settings.flag_policy", r.GetSettings().GetFlagPolicy())
	check.sources("settings.file_sources", r.GetSettings().GetFileSources())
	if err := check.err(); err != nil {
		return nil, err
	}
	result, err := a.writeOne(ctx, c, r, &change{
		resource: settingsOf(r.GetEnvironment()), field: "settings", base: &r.BaseRevision, present: true,
		verb:    controlv1.Action_ACTION_UPDATED,
		content: func(version, version) (proto.Message, error) { return r.GetSettings(), nil },
	})
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

// wholeKey compiles a pattern that keys must match from their beginning to their end.
func wholeKey(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil { // by itself, so that it cannot close the group
		return nil, err
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}
