package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newKeyUpdateCommand(streams *streams) *cobra.Command {
	o := &keyOptions{clientOptions: newClientOptions()}
	var name string
	cmd := &cobra.Command{
		Use:     "update ID",
		Short:   "Change what a key opens, how long it is good, its owner or its name; what is not said stays",
		Example: "  tidegate key update 4fqk2v9xw3ab --environment production,production-eu --reason \"a new region\"",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.environments) == 0 && o.expires == "" && name == "" && !cmd.Flags().Changed("owner") && !cmd.Flags().Changed("flag-prefix") {
				return usagef("say what to change: --environment, --expires, --owner, --flag-prefix or --name")
			}
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				current, err := read(ctx, c, c.keys.GetKey, &controlv1.GetKeyRequest{KeyId: args[0]})
				if err != nil {
					return err
				}
				request, err := o.updated(cmd, current.GetKey(), name)
				if err != nil {
					return err
				}
				response, err := write(ctx, c, c.keys.UpdateKey, request)
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					if len(response.GetEntries()) == 0 {
						fmt.Fprintf(out, "unchanged: %s\n", keyText(response.GetKey()))
						return
					}
					fmt.Fprintf(out, "changed at revision %d: %s\n", response.GetKey().GetRevision(), keyText(response.GetKey()))
				})
			})
		},
	}
	o.register(cmd)
	cmd.Flags().StringVar(&name, "name", "", "a new name")
	return cmd
}

// updated is what a key shall be: as it is, but for what was said.
func (o *keyOptions) updated(cmd *cobra.Command, current *controlv1.KeyVersion, name string) (*controlv1.UpdateKeyRequest, error) {
	r := &controlv1.UpdateKeyRequest{
		KeyId: current.GetKey().GetId(), Name: current.GetKey().GetName(), Environments: current.GetEnvironments(),
		ExpiresAt: current.GetKey().GetExpiresAt(), BaseRevision: current.GetRevision(), Reason: o.reason, RequestId: newRequestID(),
		Owner: current.GetKey().GetOwner(), FlagPrefixes: current.GetKey().GetFlagPrefixes(),
	}
	if cmd.Flags().Changed("owner") {
		r.Owner = o.owner
	}
	if cmd.Flags().Changed("flag-prefix") {
		r.FlagPrefixes = slices.DeleteFunc(o.prefixes, func(p string) bool { return p == "" })
	}
	if name != "" {
		r.Name = name
	}
	if len(o.environments) > 0 {
		r.Environments = o.environments
	}
	if o.expires != "" {
		var err error
		if r.ExpiresAt, err = o.expiry(time.Now()); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// defaultOverlap is how long a rotated secret stays good.
const defaultOverlap = 24 * time.Hour

func newKeyRotateCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Give a key another secret, and print it; the one before stays good for a while",
		Long: "Give a key another secret, and print it: only now, and alone on the standard output. The one\n" +
			"before stays good for the overlap; bring the new one to all that use it meanwhile. Relays and\n" +
			"SDKs that have it from a file take it up by themselves.",
		Example: "  tidegate key rotate abcdefghijkl --reason \"quarterly\" > key && mv key /etc/tidegate/key",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				current, err := read(ctx, c, c.keys.GetKey, &controlv1.GetKeyRequest{KeyId: args[0]})
				if err != nil {
					return err
				}
				response, err := write(ctx, c, c.keys.RotateKey, &controlv1.RotateKeyRequest{
					KeyId: args[0], Overlap: durationpb.New(overlap), BaseRevision: current.GetKey().GetRevision(),
					Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(c.err, "the new secret of %s is printed now and never again; the one before is good for %s\n", keyText(response.GetKey()), overlap)
				return c.show(response, func(out io.Writer) { fmt.Fprintln(out, response.GetSecret()) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	cmd.Flags().DurationVar(&overlap, "overlap", defaultOverlap, "how long the secret before stays good; 0 for not at all")
	return cmd
}
