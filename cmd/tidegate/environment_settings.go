package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// oneEnvironment is what commands on the settings of an environment take.
func oneEnvironment(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("say which environment: NAME, such as production")
	}
	return nil
}

func newEnvironmentGetCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Show what holds for an environment as a whole",
		Args:  oneEnvironment,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.environments.GetEnvironment, &controlv1.GetEnvironmentRequest{Environment: args[0]})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					c.writePolicy(out, args[0], response.GetSettings().GetFlagPolicy())
					if response.GetSettings().GetProtected() {
						fmt.Fprintln(out, "protected: it takes an operator to write here")
					}
					for _, s := range response.GetSettings().GetFileSources() {
						fmt.Fprintln(out, singleLine(sourceText(s)))
					}
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

func (c *client) writePolicy(out io.Writer, name string, p *controlv1.FlagPolicy) {
	var lines []string
	if pattern := p.GetKeyPattern(); pattern != "" {
		lines = append(lines, "have a key that matches "+pattern)
	}
	if prefixes := p.GetKeyPrefixes(); len(prefixes) > 0 {
		lines = append(lines, "have a key that begins with "+alternatives(prefixes))
	}
	if p.GetRequireOwner() {
		lines = append(lines, "have an owner")
	}
	if p.GetRequireKind() {
		lines = append(lines, "have a kind")
	}
	if len(lines) == 0 {
		fmt.Fprintf(out, "%s: flags are as their authors like\n", c.paint.bold(singleLine(name)))
		return
	}
	fmt.Fprintf(out, "%s: new flags must\n", c.paint.bold(singleLine(name)))
	for _, line := range lines {
		fmt.Fprintf(out, "  %s\n", singleLine(line))
	}
	if text := singleLine(p.GetExplanation()); text != "" {
		fmt.Fprintln(out, c.paint.dim(text))
	}
}

// environmentSetting is what the flags of 'environment set' hold.
type environmentSetting struct {
	sourceSetting
	pattern, explanation      string
	prefixes                  []string
	requireOwner, requireKind bool
	protected                 bool
}

func newEnvironmentSetCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var s environmentSetting
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Set what holds for an environment as a whole",
		Long: "Set what holds for an environment as a whole: what new flags must be like, and what is kept\n" +
			"in files. What is not mentioned stays as it is. Flags that are there are not looked at; but\n" +
			"an update may not take away an owner or a kind that is required.\n\n" +
			"What is kept in files is written by 'tidegate apply --source' and by nothing else, but for\n" +
			"the kill switch ('flag disable') and rollouts.",
		Example: "  tidegate environment set production --key-prefix checkout.,search. --require-owner --reason \"as agreed\"\n" +
			"  tidegate environment set production --key-pattern '[a-z0-9.-]+' --explanation \"see the wiki\" --reason \"as agreed\"\n" +
			"  tidegate environment set production --require-owner=false --key-prefix \"\" --reason \"too strict\"\n" +
			"  tidegate environment set production --protected --reason \"operators alone\"\n" +
			"  tidegate environment set production --file-source checkout --file-prefix checkout. --file-location git.example.com/flags --reason \"in git from now on\"",
		Args: oneEnvironment,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			changed := cmd.Flags().Changed
			if err := s.check(changed); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				return c.setEnvironment(ctx, args[0], func(settings *controlv1.EnvironmentSettings) error {
					s.apply(settings, changed)
					return s.sourceSetting.apply(settings)
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&s.pattern, "key-pattern", "", "regular expression that the whole key must match; empty: any")
	f.StringSliceVar(&s.prefixes, "key-prefix", nil, "what keys must begin with: one of these; empty: anything")
	f.BoolVar(&s.requireOwner, "require-owner", false, "flags must have an owner")
	f.BoolVar(&s.requireKind, "require-kind", false, "flags must have a kind")
	f.StringVar(&s.explanation, "explanation", "", "what people are told with a refusal")
	f.BoolVar(&s.protected, "protected", false, "it takes an operator to write here, to be an editor is not enough")
	s.register(f)
	return cmd
}

// check reports what was not mentioned, or does not go together.
func (s *environmentSetting) check(changed func(string) bool) error {
	if !slices.ContainsFunc([]string{"key-pattern", "key-prefix", "require-owner", "require-kind", "explanation", "protected", "file-source", "end-file-source"}, changed) {
		return usagef("nothing to change: say what, as in --require-owner")
	}
	return s.sourceSetting.check(changed)
}

// apply sets what was mentioned.
func (s *environmentSetting) apply(settings *controlv1.EnvironmentSettings, changed func(string) bool) {
	p := settings.GetFlagPolicy()
	if p == nil {
		p = &controlv1.FlagPolicy{}
	}
	if changed("key-pattern") {
		p.KeyPattern = s.pattern
	}
	if changed("key-prefix") {
		p.KeyPrefixes = nil
		for _, prefix := range s.prefixes {
			if prefix = strings.TrimSpace(prefix); prefix != "" {
				p.KeyPrefixes = append(p.KeyPrefixes, prefix)
			}
		}
	}
	if changed("require-owner") {
		p.RequireOwner = s.requireOwner
	}
	if changed("require-kind") {
		p.RequireKind = s.requireKind
	}
	if changed("explanation") {
		p.Explanation = s.explanation
	}
	if changed("protected") {
		settings.Protected = s.protected
	}
	if settings.FlagPolicy = p; proto.Size(p) == 0 {
		settings.FlagPolicy = nil
	}
}

// setEnvironment edits the settings on condition that they are still those that were read.
func (c *client) setEnvironment(ctx context.Context, name string, edit func(*controlv1.EnvironmentSettings) error) error {
	current, err := read(ctx, c, c.environments.GetEnvironment, &controlv1.GetEnvironmentRequest{Environment: name})
	if err != nil {
		return err
	}
	settings := proto.CloneOf(current.GetSettings())
	if settings == nil {
		settings = &controlv1.EnvironmentSettings{}
	}
	if err := edit(settings); err != nil {
		return err
	}
	response, err := write(ctx, c, c.environments.UpdateEnvironment, &controlv1.UpdateEnvironmentRequest{
		Environment: name, Settings: settings, BaseRevision: current.GetRevision(), Reason: c.reason, RequestId: newRequestID(),
	})
	if err != nil {
		return err
	}
	return c.show(response, func(out io.Writer) {
		if response.GetEntry() == nil {
			fmt.Fprintf(out, "%s is already so, at revision %d\n", name, response.GetRevision())
			return
		}
		fmt.Fprintf(out, "%s changed at revision %d\n", name, response.GetRevision())
		writeChanges(out, c.paint, "  ", response.GetEntry().GetChanges())
	})
}

func newEnvironmentHistoryCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var limit int
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "Show who changed what holds for an environment, when, why and what; newest first",
		Args:  oneEnvironment,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				entries, next, err := readHistory(limit, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
					page, err := read(ctx, c, c.environments.ListEnvironmentHistory, &controlv1.ListEnvironmentHistoryRequest{
						Environment: args[0], PageSize: size, PageToken: token,
					})
					return page.GetEntries(), page.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				history := &controlv1.ListEnvironmentHistoryResponse{Entries: entries, NextPageToken: next}
				return c.show(history, func(out io.Writer) {
					if len(entries) == 0 {
						fmt.Fprintf(out, "nothing was ever set for %s\n", singleLine(args[0]))
						return
					}
					c.writeHistory(out, entries, next != "")
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	registerLimit(cmd, &limit)
	return cmd
}
