package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newKeyCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Create, show, change and revoke keys",
		Long: "Create, show, change and revoke keys: what relays and in-process SDKs present to follow an\n" +
			"environment. Servers and relays that run with --require-keys let nobody follow without\n" +
			"one. A change of a key, and its end, hold everywhere within a second.",
	}
	cmd.AddCommand(
		newKeyCreateCommand(io),
		newKeyListCommand(io),
		newKeyUpdateCommand(io),
		newKeyRevokeCommand(io),
		newKeyHistoryCommand(io),
	)
	return cmd
}

// keyOptions say what a key shall be.
type keyOptions struct {
	*clientOptions
	environments []string
	expires      string
}

func (o *keyOptions) register(cmd *cobra.Command) {
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	cmd.Flags().StringSliceVarP(&o.environments, "environment", "e", nil, "environments that the key opens, such as production,staging")
	cmd.Flags().StringVar(&o.expires, "expires", "", "how long it is good, such as 90d or 12h; or never (default for a new key)")
}

const neverExpires = "never"

// expiry reads --expires; nil: never.
func (o *keyOptions) expiry(now time.Time) (*timestamppb.Timestamp, error) {
	if o.expires == neverExpires {
		return nil, nil
	}
	wrong := usagef("--expires %s: expected a time such as 90d or 12h, or never", o.expires)
	var d time.Duration
	if days, ok := strings.CutSuffix(o.expires, "d"); ok {
		const most = 100 * 365
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n > most {
			return nil, wrong
		}
		d = time.Duration(n) * 24 * time.Hour
	} else {
		var err error
		if d, err = time.ParseDuration(o.expires); err != nil {
			return nil, wrong
		}
	}
	if d <= 0 {
		return nil, wrong
	}
	return timestamppb.New(now.Add(d).Truncate(time.Second)), nil
}

func newKeyCreateCommand(streams *streams) *cobra.Command {
	o := &keyOptions{clientOptions: newClientOptions()}
	cmd := &cobra.Command{
		Use:   "create NAME --environment NAME[,...]",
		Short: "Create a key, and print its secret: only now, and alone on the standard output",
		Example: "  tidegate key create eu-relays --environment production --expires 90d \\\n" +
			"      --reason \"relays in eu-west\" > /etc/tidegate/key",
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.environments) == 0 {
				return usagef("say what the key opens: --environment production (or several: production,staging)")
			}
			if err := o.requireReason(); err != nil {
				return err
			}
			if o.expires == "" {
				o.expires = neverExpires
			}
			expires, err := o.expiry(time.Now())
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.keys.CreateKey, &controlv1.CreateKeyRequest{
					Name: args[0], Environments: o.environments, ExpiresAt: expires, Reason: o.reason, RequestId: newRequestID(),
				})
				if err != nil {
					return err
				}
				// Before the secret: whatever becomes of that, its key can be revoked.
				fmt.Fprintf(c.err, "created %s\nits secret is printed now and never again; to take it back: tidegate key revoke %s --reason \"...\"\n",
					keyText(response.GetKey()), response.GetKey().GetKey().GetId())
				return c.show(response, func(out io.Writer) { fmt.Fprintln(out, response.GetSecret()) })
			})
		},
	}
	o.register(cmd)
	return cmd
}

// oneName is what a command takes that makes something.
func oneName(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usagef("say what it is for: NAME is missing")
	case len(args) > 1:
		return usagef("one NAME, not %d (put it in quotes): %s", len(args), strings.Join(args, " "))
	}
	return nil
}

// oneID is what commands on one key take. It is not quoted: it may be a secret.
func oneID(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("say which key: one ID, as 'tidegate key list' shows them; got %d", len(args))
	}
	return nil
}

// keyText is such as 'key abcdefghijkl (eu-relays), which opens production until ...'.
func keyText(v *controlv1.KeyVersion) string {
	text := fmt.Sprintf("key %s (%s), which opens %s", v.GetKey().GetId(), singleLine(v.GetKey().GetName()), strings.Join(v.GetEnvironments(), ", "))
	if at := v.GetKey().GetExpiresAt(); at != nil {
		text += " until " + timeText(at)
	}
	return text
}

func newKeyListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List keys: of all environments, or of one",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				list, err := c.listKeys(ctx, o.environment)
				if err != nil {
					return err
				}
				return c.show(list, func(out io.Writer) { c.writeKeyList(out, list) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	cmd.Flags().StringVarP(&o.environment, "environment", "e", "", "only keys that open this environment")
	return cmd
}

// listKeys reads all pages, as one answer.
func (c *client) listKeys(ctx context.Context, environment string) (*controlv1.ListKeysResponse, error) {
	all := &controlv1.ListKeysResponse{}
	token := ""
	for {
		page, err := read(ctx, c, c.keys.ListKeys, &controlv1.ListKeysRequest{Environment: environment, PageSize: pageSize, PageToken: token})
		if err != nil {
			return nil, err
		}
		all.Keys = append(all.Keys, page.GetKeys()...)
		all.Revision = page.GetRevision()
		if token = page.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

func (c *client) writeKeyList(out io.Writer, list *controlv1.ListKeysResponse) {
	if len(list.GetKeys()) == 0 {
		where := ""
		if c.environment != "" {
			where = " in " + c.environment
		}
		fmt.Fprintf(out, "no keys%s (revision %d)\n", where, list.GetRevision())
		return
	}
	t := table{paint: c.paint, header: []string{"ID", "NAME", "ENVIRONMENTS", "CREATED", "EXPIRES", "REVISION"}}
	for _, v := range list.GetKeys() {
		expires := cell{text: neverExpires}
		if at := v.GetKey().GetExpiresAt(); at != nil {
			expires.text = timeText(at)
			if !at.AsTime().After(time.Now()) {
				expires.paint = c.paint.red
			}
		}
		t.add(cell{v.GetKey().GetId(), c.paint.bold}, plain(v.GetKey().GetName()), plain(strings.Join(v.GetEnvironments(), ",")),
			cell{text: timeText(v.GetKey().GetCreatedAt())}, expires, number(v.GetRevision()))
	}
	t.write(out)
}

func newKeyUpdateCommand(streams *streams) *cobra.Command {
	o := &keyOptions{clientOptions: newClientOptions()}
	var name string
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change what a key opens, how long it is good, or its name; what is not said stays",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.environments) == 0 && o.expires == "" && name == "" {
				return usagef("say what to change: --environment, --expires or --name")
			}
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				current, err := read(ctx, c, c.keys.GetKey, &controlv1.GetKeyRequest{KeyId: args[0]})
				if err != nil {
					return err
				}
				request, err := o.updated(current.GetKey(), name)
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
func (o *keyOptions) updated(current *controlv1.KeyVersion, name string) (*controlv1.UpdateKeyRequest, error) {
	r := &controlv1.UpdateKeyRequest{
		KeyId: current.GetKey().GetId(), Name: current.GetKey().GetName(), Environments: current.GetEnvironments(),
		ExpiresAt: current.GetKey().GetExpiresAt(), BaseRevision: current.GetRevision(), Reason: o.reason, RequestId: newRequestID(),
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

func newKeyRevokeCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a key for good: who follows with it is cut off within a second",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.requireReason(); err != nil {
				return err
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.keys.RevokeKey, &controlv1.RevokeKeyRequest{KeyId: args[0], Reason: o.reason, RequestId: newRequestID()})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					entries := response.GetEntries()
					fmt.Fprintf(out, "key %s revoked in %s at revision %d\n", args[0], strings.Join(environmentsOf(entries), ", "), entries[0].GetRevision())
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	return cmd
}

func environmentsOf(entries []*controlv1.AuditEntry) []string {
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.GetEnvironment())
	}
	slices.Sort(names)
	return names
}

func newKeyHistoryCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var limit int
	cmd := &cobra.Command{
		Use:   "history ID",
		Short: "Show who changed a key in an environment, when, why and what; newest first",
		Args:  oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				entries, next, err := readHistory(limit, func(size int32, token string) ([]*controlv1.AuditEntry, string, error) {
					page, err := read(ctx, c, c.keys.ListKeyHistory, &controlv1.ListKeyHistoryRequest{
						Environment: o.environment, KeyId: args[0], PageSize: size, PageToken: token,
					})
					return page.GetEntries(), page.GetNextPageToken(), err
				})
				if err != nil {
					return err
				}
				history := &controlv1.ListKeyHistoryResponse{Entries: entries, NextPageToken: next}
				return c.show(history, func(out io.Writer) { c.writeHistory(out, entries, next != "") })
			})
		},
	}
	o.registerRead(cmd.Flags())
	registerLimit(cmd, &limit)
	return cmd
}
