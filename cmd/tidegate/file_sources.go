package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/manifest"
)

// sourceSetting is what the flags of 'environment set' say of one source of files.
type sourceSetting struct {
	name, location, ended string
	appliedBy             string
	keyPrefixes           []string
}

func (s *sourceSetting) register(f *pflag.FlagSet) {
	f.StringVar(&s.name, "file-source", "", "name of the source of files to set")
	f.StringSliceVar(&s.keyPrefixes, "file-prefix", nil, "with --file-source: it keeps what has a key that begins with one of these; empty: everything")
	f.StringVar(&s.location, "file-location", "", "with --file-source: where the files are, for people")
	f.StringVar(&s.appliedBy, "file-applied-by", "", "with --file-source: the identity that alone applies it; empty: whoever may write what it keeps")
	f.StringVar(&s.ended, "end-file-source", "", "name of a source that keeps nothing any more")
}

func (s *sourceSetting) check(changed func(string) bool) error {
	switch {
	case s.name == "" && (changed("file-prefix") || changed("file-location") || changed("file-applied-by")):
		return usagef("say which source: --file-source is missing")
	case s.name != "" && !changed("file-prefix"):
		return usagef(`say what it keeps: --file-prefix checkout. (or --file-prefix "" for everything)`)
	case s.name != "" && s.ended != "":
		return usagef("--file-source and --end-file-source: expected one of them")
	}
	return nil
}

// apply sets or ends the source that was mentioned.
func (s *sourceSetting) apply(settings *controlv1.EnvironmentSettings) error {
	named := func(name string) func(*controlv1.FileSource) bool {
		return func(f *controlv1.FileSource) bool { return f.GetName() == name }
	}
	if s.ended != "" {
		before := len(settings.GetFileSources())
		settings.FileSources = slices.DeleteFunc(settings.GetFileSources(), named(s.ended))
		if len(settings.GetFileSources()) == before {
			return fmt.Errorf("there is no source of files %q; there are: %s", s.ended, sourceNames(settings))
		}
	}
	if s.name == "" {
		return nil
	}
	source := &controlv1.FileSource{Name: s.name, Location: s.location, AppliedBy: s.appliedBy}
	for _, prefix := range s.keyPrefixes {
		if prefix = strings.TrimSpace(prefix); prefix != "" {
			source.KeyPrefixes = append(source.KeyPrefixes, prefix)
		}
	}
	if i := slices.IndexFunc(settings.GetFileSources(), named(s.name)); i >= 0 {
		settings.FileSources[i] = source
		return nil
	}
	settings.FileSources = append(settings.FileSources, source)
	return nil
}

func sourceNames(settings *controlv1.EnvironmentSettings) string {
	if len(settings.GetFileSources()) == 0 {
		return "none"
	}
	names := make([]string, len(settings.GetFileSources()))
	for i, s := range settings.GetFileSources() {
		names[i] = s.GetName()
	}
	return strings.Join(names, ", ")
}

func sourceText(s *controlv1.FileSource) string {
	what := "everything"
	if len(s.GetKeyPrefixes()) > 0 {
		what = "keys that begin with " + alternatives(s.GetKeyPrefixes())
	}
	text := fmt.Sprintf("kept in files of source %s: %s", s.GetName(), what)
	if s.GetLocation() != "" {
		text += " (" + s.GetLocation() + ")"
	}
	if s.GetAppliedBy() != "" {
		text += ", applied by " + s.GetAppliedBy() + " alone"
	}
	return text
}

// fileOptions say what files are to an environment.
type fileOptions struct {
	source       string
	prune, force bool
}

func (o fileOptions) check() error {
	switch {
	case o.prune && o.source == "":
		return usagef("--prune needs --source: only what a source keeps is deleted with its files")
	case o.force && !o.prune:
		return usagef("--force needs --prune")
	}
	return nil
}

// pruned is what the source keeps and the files do not name: flags before those that they
// need, then segments.
func (c *client) pruned(ctx context.Context, d *manifest.Document, o fileOptions) ([]*controlv1.ResourceDelete, error) {
	if !o.prune {
		return nil, nil
	}
	environment, err := read(ctx, c, c.environments.GetEnvironment, &controlv1.GetEnvironmentRequest{Environment: c.environment})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(environment.GetSettings().GetFileSources(), func(s *controlv1.FileSource) bool { return s.GetName() == o.source })
	if i < 0 {
		return nil, fmt.Errorf("%s has no source of files %q; there are: %s", c.environment, o.source, sourceNames(environment.GetSettings()))
	}
	prefixes := environment.GetSettings().GetFileSources()[i].GetKeyPrefixes()
	if len(prefixes) == 0 {
		prefixes = []string{""}
	}
	named := map[resourceID]bool{}
	for _, f := range d.Flags {
		named[resourceID{controlv1.ResourceKind_RESOURCE_KIND_FLAG, f.GetKey()}] = true
	}
	for _, s := range d.Segments {
		named[resourceID{controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, s.GetKey()}] = true
	}
	var (
		flags    []*controlv1.FlagWrite
		segments []*controlv1.ResourceDelete
	)
	for _, prefix := range prefixes {
		there, err := c.listFlags(ctx, c.environment, prefix)
		if err != nil {
			return nil, err
		}
		for _, v := range there.GetFlags() {
			if !named[resourceID{controlv1.ResourceKind_RESOURCE_KIND_FLAG, v.GetFlag().GetKey()}] {
				flags = append(flags, flagWrite(v.GetFlag(), v.GetRevision()))
			}
		}
		list, err := c.listSegments(ctx, c.environment, prefix)
		if err != nil {
			return nil, err
		}
		for _, v := range list.GetSegments() {
			id := resourceID{controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, v.GetSegment().GetKey()}
			if !named[id] {
				segments = append(segments, &controlv1.ResourceDelete{Kind: id.kind, Key: id.key, BaseRevision: v.GetRevision()})
			}
		}
	}
	var deletes []*controlv1.ResourceDelete
	for _, f := range slices.Concat(flagGroups(flags)...) {
		deletes = append(deletes, &controlv1.ResourceDelete{
			Kind: controlv1.ResourceKind_RESOURCE_KIND_FLAG, Key: f.GetFlag().GetKey(), BaseRevision: f.GetBaseRevision(), Force: o.force,
		})
	}
	slices.Reverse(deletes)
	return append(deletes, segments...), nil
}
