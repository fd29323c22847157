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

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

func newKeyCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Create, show, change, rotate and revoke keys",
		Long: "Create, show, change, rotate and revoke keys: what relays and SDKs present to follow an\n" +
			"environment, and to evaluate in it. Servers and relays that run with --require-keys serve\n" +
			"nobody without one. A change of a key, and its end, hold everywhere within a second.",
	}
	cmd.AddCommand(
		newKeyCreateCommand(io),
		newKeyListCommand(io),
		newKeyUpdateCommand(io),
		newKeyRotateCommand(io),
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
	owner        string
	prefixes     []string
}

func (o *keyOptions) register(cmd *cobra.Command) {
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	cmd.Flags().StringSliceVarP(&o.environments, "environment", "e", nil, "environments that the key opens, such as production,staging")
	cmd.Flags().StringVar(&o.expires, "expires", "", "how long it is good, such as 90d or 12h; or never (default for a new key)")
	cmd.Flags().StringVar(&o.owner, "owner", "", "the team or person to ask")
	cmd.Flags().StringSliceVar(&o.prefixes, "flag-prefix", nil, "of SDK keys: only flags whose keys begin so, such as checkout-,cart-; such a key evaluates, and does not follow")
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
	var role string
	cmd := &cobra.Command{
		Use:   "create NAME --environment NAME[,...]",
		Short: "Create a key, and print its secret: only now, and alone on the standard output",
		Example: "  tidegate key create eu-relays --environment production --expires 90d \\\n" +
			"      --reason \"relays in eu-west\" > /etc/tidegate/key\n" +
			"  tidegate key create shop-web --role sdk-client --owner shop --environment production \\\n" +
			"      --reason \"the shop's pages\"",
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.environments) == 0 {
				return usagef("say what the key opens: --environment production (or several: production,staging)")
			}
			if err := o.requireReason(); err != nil {
				return err
			}
			of, err := keyRole(role)
			if err != nil {
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
					Role: of, Owner: o.owner, FlagPrefixes: o.prefixes,
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
	cmd.Flags().StringVar(&role, "role", "relay", "what presents it: relay; sdk-server, which follows or evaluates; or sdk-client, which anybody can read and so evaluates flags that are marked for clients, and never learns a rule")
	return cmd
}

// keyRole reads --role.
func keyRole(word string) (accessv1.Role, error) {
	for _, r := range []accessv1.Role{accessv1.Role_ROLE_RELAY, accessv1.Role_ROLE_SDK_SERVER, accessv1.Role_ROLE_SDK_CLIENT} {
		if word == keyRoleWord(r) {
			return r, nil
		}
	}
	return 0, usagef("--role %s: want relay, sdk-server or sdk-client", word)
}

func keyRoleWord(r accessv1.Role) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_")), "_", "-")
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
	if r := accesskey.RoleOf(v.GetKey()); r != accessv1.Role_ROLE_RELAY {
		text += " to the role " + keyRoleWord(r)
	}
	if prefixes := v.GetKey().GetFlagPrefixes(); len(prefixes) > 0 {
		text += " for flags that begin with " + strings.Join(prefixes, ", ")
	}
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
		Example: "  tidegate key list\n" +
			"  tidegate key list --environment production",
		Args: cobra.NoArgs,
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
	t := table{paint: c.paint, header: []string{"ID", "NAME", "ROLE", "OWNER", "ENVIRONMENTS", "FLAGS", "CREATED", "EXPIRES", "LAST USED", "REVISION"}}
	for _, v := range list.GetKeys() {
		expires := cell{text: neverExpires}
		if at := v.GetKey().GetExpiresAt(); at != nil {
			expires.text = timeText(at)
			if !at.AsTime().After(time.Now()) {
				expires.paint = c.paint.red
			}
		}
		t.add(cell{v.GetKey().GetId(), c.paint.bold}, plain(v.GetKey().GetName()), plain(keyRoleWord(accesskey.RoleOf(v.GetKey()))),
			plain(orDash(v.GetKey().GetOwner())), plain(strings.Join(v.GetEnvironments(), ",")), plain(flagsText(v.GetKey())),
			cell{text: timeText(v.GetKey().GetCreatedAt())}, expires, plain(lastUsedText(v.GetLastUsedAt(), time.Now())), number(v.GetRevision()))
	}
	t.write(out)
}

// flagsText is which flags a key is for.
func flagsText(k *accessv1.Key) string {
	prefixes := slices.Clone(k.GetFlagPrefixes())
	for i := range prefixes {
		prefixes[i] += "*"
	}
	if len(prefixes) == 0 {
		return "all"
	}
	return strings.Join(prefixes, ",")
}

func newKeyRevokeCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "revoke ID",
		Short:   "End a key for good: who follows with it is cut off within a second",
		Example: "  tidegate key revoke 4fqk2v9xw3ab --reason \"it was in a log\"",
		Args:    oneID,
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
		Use:     "history ID",
		Short:   "Show who changed a key in an environment, when, why and what; newest first",
		Example: "  tidegate key history 4fqk2v9xw3ab --environment production",
		Args:    oneID,
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
