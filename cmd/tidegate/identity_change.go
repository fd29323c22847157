package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// identity reads one, by its name or id.
func (c *client) identity(ctx context.Context, name string) (*controlv1.IdentityVersion, error) {
	response, err := read(ctx, c, c.identities.GetIdentity, &controlv1.GetIdentityRequest{Identity: name})
	return response.GetIdentity(), err
}

func newIdentityUpdateCommand(streams *streams) *cobra.Command {
	o := newIdentityOptions()
	var disable, enable bool
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change what an identity may do, or disable it; what is not said stays",
		Example: "  tidegate identity update deploy-bot --role editor@dev,staging --reason \"staging, too\"\n" +
			"  tidegate identity update deploy-bot --disable --reason \"not needed before March\"",
		Args: oneIdentity,
		RunE: func(cmd *cobra.Command, args []string) error {
			if disable && enable {
				return usagef("--disable or --enable, not both")
			}
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				held, err := c.identity(ctx, args[0])
				if err != nil {
					return err
				}
				next := held.GetIdentity()
				if err := o.apply(cmd, next); err != nil {
					return err
				}
				next.Disabled = disable || next.GetDisabled() && !enable
				response, err := write(ctx, c, c.identities.UpdateIdentity, &controlv1.UpdateIdentityRequest{
					Identity: next, BaseRevision: held.GetRevision(), Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					if response.GetEntry() == nil {
						fmt.Fprintf(out, "unchanged: %s\n", identityText(response.GetIdentity().GetIdentity()))
						return
					}
					fmt.Fprintf(out, "changed at revision %d: %s\n", response.GetIdentity().GetRevision(), identityText(response.GetIdentity().GetIdentity()))
				})
			})
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&disable, "disable", false, "let it do nothing, for the time being")
	cmd.Flags().BoolVar(&enable, "enable", false, "undo --disable")
	return cmd
}

func newIdentityRotateCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:     "rotate NAME",
		Short:   "Give a service another secret, and print it; the one before stays good for a while",
		Example: "  tidegate identity rotate deploy-bot --overlap 24h --reason \"quarterly\" > deploy.key",
		Args:    oneIdentity,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				held, err := c.identity(ctx, args[0])
				if err != nil {
					return err
				}
				response, err := write(ctx, c, c.identities.RotateSecret, &controlv1.RotateSecretRequest{
					Id: held.GetIdentity().GetId(), Overlap: durationpb.New(overlap), BaseRevision: held.GetRevision(),
					Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(c.err, "the secret of %s is printed now and never again; the one before is good for %s\n",
					held.GetIdentity().GetName(), overlap)
				return c.show(response, func(out io.Writer) { fmt.Fprintln(out, response.GetSecret()) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	cmd.Flags().DurationVar(&overlap, "overlap", 24*time.Hour, "how long the secret before stays good; 0 for not at all")
	return cmd
}

func newIdentityPasswordCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "password NAME",
		Short:   "Set a person's password, read from the standard input",
		Example: "  tidegate identity password ada@example.com --reason \"forgot it\" < password.txt",
		Args:    oneIdentity,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			password, err := readPassword(streams)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				held, err := c.identity(ctx, args[0])
				if err != nil {
					return err
				}
				response, err := write(ctx, c, c.identities.SetPassword, &controlv1.SetPasswordRequest{
					Id: held.GetIdentity().GetId(), Password: password, Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					fmt.Fprintf(out, "%s has another password, at revision %d\n", held.GetIdentity().GetName(), response.GetIdentity().GetRevision())
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	return cmd
}

func newIdentityDeleteCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Remove an identity: its calls are refused, and its streams end, within a second",
		Example: "  tidegate identity delete deploy-bot --reason \"replaced\"",
		Args:    oneIdentity,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				held, err := c.identity(ctx, args[0])
				if err != nil {
					return err
				}
				response, err := write(ctx, c, c.identities.DeleteIdentity, &controlv1.DeleteIdentityRequest{
					Id: held.GetIdentity().GetId(), Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					fmt.Fprintf(out, "removed %s at revision %d\n", held.GetIdentity().GetName(), response.GetEntry().GetRevision())
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	return cmd
}

func newIdentityHistoryCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var limit int
	cmd := &cobra.Command{
		Use:     "history ID",
		Short:   "Show who changed an identity, when, why and what; newest first, also of one that was removed",
		Example: "  tidegate identity history 6j0s4r2tmvbh",
		Args:    oneIdentity,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				entries, next, err := readHistory(limit, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
					page, err := read(ctx, c, c.identities.ListIdentityHistory, &controlv1.ListIdentityHistoryRequest{Id: args[0], PageSize: size, PageToken: token})
					return page.GetEntries(), page.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				history := &controlv1.ListIdentityHistoryResponse{Entries: entries, NextPageToken: next}
				return c.show(history, func(out io.Writer) { c.writeHistory(out, entries, next != "") })
			})
		},
	}
	o.registerServer(cmd.Flags())
	registerLimit(cmd, &limit)
	return cmd
}
