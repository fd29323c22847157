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
		Use:     "get NAME",
		Short:   "Show what holds for an environment as a whole",
		Example: "  tidegate environment get production",
		Args:    oneEnvironment,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.environments.GetEnvironment, &controlv1.GetEnvironmentRequest{Environment: args[0]})
				if err != nil {
					return err
				}
				stands, err := c.standing(ctx, args[0])
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					c.writePolicy(out, args[0], response.GetSettings().GetFlagPolicy())
					if response.GetSettings().GetProtected() {
						fmt.Fprintln(out, "protected: it takes an operator to write here")
					}
					if a := response.GetSettings().GetApproval(); a.GetApprovals() > 0 {
						fmt.Fprintf(out, "changes need the approval of %s: see 'tidegate request'\n", approversText(a))
					}
					writeOrder(out, response.GetSettings().GetPromotion())
					for _, s := range response.GetSettings().GetFileSources() {
						fmt.Fprintln(out, singleLine(sourceText(s)))
					}
					for _, w := range response.GetSettings().GetFreezeWindows() {
						fmt.Fprintln(out, singleLine("freeze window "+windowText(w)))
					}
					if len(stands.GetFrozen()) > 0 || stands.GetNext() != nil {
						c.writeStanding(out, stands)
					}
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

func writeOrder(out io.Writer, p *controlv1.Promotion) {
	switch {
	case p.GetRequired():
		fmt.Fprintf(out, "behind %s: flags and segments come from there, and are as they are there\n", p.GetFrom())
	case p.GetFrom() != "":
		fmt.Fprintf(out, "behind %s: nothing is promoted here from elsewhere\n", p.GetFrom())
	}
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

// approversText is who has to approve.
func approversText(p *controlv1.ApprovalPolicy) string {
	text := "another person"
	if n := p.GetApprovals(); n > 1 {
		text = fmt.Sprintf("%d others", n)
	}
	if e := singleLine(p.GetExplanation()); e != "" {
		text += " (" + e + ")"
	}
	return text
}

// environmentSetting is what the flags of 'environment set' hold.
type environmentSetting struct {
	sourceSetting
	windowSetting
	pattern, explanation      string
	prefixes                  []string
	requireOwner, requireKind bool
	protected                 bool
	approvals                 int32
	approvalExplanation       string
	promotedFrom              string
	promotionRequired         bool
}

func newEnvironmentSetCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var s environmentSetting
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Set what holds for an environment as a whole",
		Long: "Set what holds for an environment as a whole: what new flags must be like, what is kept\n" +
			"in files, who approves, what comes before it, and when it is frozen. What is not mentioned\n" +
			"stays as it is. Flags that are there are not looked at; but an update may not take away an\n" +
			"owner or a kind that is required.\n\n" +
			"What is kept in files is written by 'tidegate apply --source' and by nothing else, but for\n" +
			"the kill switch ('flag disable') and rollouts.\n\n" +
			"In a freeze window nothing is changed but what makes it safer, as after 'tidegate panic'; but\n" +
			"settings can be. A weekly window starts on DAYS (mon,wed or mon-fri or daily) at HH:MM and\n" +
			"lasts as long as the clock on the wall says, also where it is changed in between.\n\n" +
			"With --promoted-from, the environment is behind another one: nothing is promoted to it from\n" +
			"elsewhere. With --promotion-required, flags and segments here are as they are there, whoever\n" +
			"writes them, but for the kill switch, rollouts, and going back to an earlier version.",
		Example: "  tidegate environment set production --key-prefix checkout.,search. --require-owner --reason \"as agreed\"\n" +
			"  tidegate environment set production --key-pattern '[a-z0-9.-]+' --explanation \"see the wiki\" --reason \"as agreed\"\n" +
			"  tidegate environment set production --require-owner=false --key-prefix \"\" --reason \"too strict\"\n" +
			"  tidegate environment set production --freeze-window \"weekend: fri 18:00 62h Europe/Berlin\" --reason \"nobody is there\"\n" +
			"  tidegate environment set production --freeze-window \"closing: 2026-12-20T00:00:00Z to 2027-01-04T08:00:00Z\" --reason \"the books\"\n" +
			"  tidegate environment set production --end-freeze-window weekend --reason \"somebody is\"\n" +
			"  tidegate environment set production --protected --reason \"operators alone\"\n" +
			"  tidegate environment set production --approvals 1 --reason \"a second person looks\"\n" +
			"  tidegate environment set production --promoted-from staging --promotion-required --reason \"tested there first\"\n" +
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
					if err := s.windowSetting.apply(settings); err != nil {
						return err
					}
					return s.sourceSetting.apply(settings)
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	o.registerConfirm(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&s.pattern, "key-pattern", "", "regular expression that the whole key must match; empty: any")
	f.StringSliceVar(&s.prefixes, "key-prefix", nil, "what keys must begin with: one of these; empty: anything")
	f.BoolVar(&s.requireOwner, "require-owner", false, "flags must have an owner")
	f.BoolVar(&s.requireKind, "require-kind", false, "flags must have a kind")
	f.StringVar(&s.explanation, "explanation", "", "what people are told with a refusal")
	f.BoolVar(&s.protected, "protected", false, "it takes an operator to write here, to be an editor is not enough")
	f.Int32Var(&s.approvals, "approvals", 0, "`NUMBER` of others who must approve a change ('tidegate request'), at most 5; 0: nobody")
	f.StringVar(&s.approvalExplanation, "approval-explanation", "", "what people are told whose change needs approval")
	s.sourceSetting.register(f)
	s.windowSetting.register(f)
	f.StringVar(&s.promotedFrom, "promoted-from", "", "environment that comes before this one; empty: none")
	f.BoolVar(&s.promotionRequired, "promotion-required", false, "flags and segments are as in the environment before")
	return cmd
}

// check reports what was not mentioned, or does not go together.
func (s *environmentSetting) check(changed func(string) bool) error {
	if !slices.ContainsFunc([]string{"key-pattern", "key-prefix", "require-owner", "require-kind", "explanation", "protected", "approvals", "approval-explanation", "promoted-from", "promotion-required", "file-source", "end-file-source", "freeze-window", "end-freeze-window"}, changed) {
		return usagef("nothing to change: say what, as in --require-owner")
	}
	if err := s.windowSetting.check(); err != nil {
		return err
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
	s.applyApproval(settings, changed)
	s.applyOrder(settings, changed)
	if settings.FlagPolicy = p; proto.Size(p) == 0 {
		settings.FlagPolicy = nil
	}
}

func (s *environmentSetting) applyApproval(settings *controlv1.EnvironmentSettings, changed func(string) bool) {
	a := settings.GetApproval()
	if a == nil {
		a = &controlv1.ApprovalPolicy{}
	}
	if changed("approvals") {
		a.Approvals = s.approvals
	}
	if changed("approval-explanation") {
		a.Explanation = s.approvalExplanation
	}
	if settings.Approval = a; proto.Size(a) == 0 {
		settings.Approval = nil
	}
}

// applyOrder sets what was mentioned of the order. Without an environment before, there is none.
func (s *environmentSetting) applyOrder(settings *controlv1.EnvironmentSettings, changed func(string) bool) {
	p := settings.GetPromotion()
	if p == nil {
		p = &controlv1.Promotion{}
	}
	if changed("promoted-from") {
		if p.From = s.promotedFrom; p.From == "" {
			p.Required = false
		}
	}
	if changed("promotion-required") {
		p.Required = s.promotionRequired
	}
	if settings.Promotion = p; proto.Size(p) == 0 {
		settings.Promotion = nil
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
		Use:     "history NAME",
		Short:   "Show who changed what holds for an environment, when, why and what; newest first",
		Example: "  tidegate environment history production --limit 5",
		Args:    oneEnvironment,
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
