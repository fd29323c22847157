package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

func newIdentityCommand(io *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "identity",
		Short: "Make, show, change and remove who may call the control services",
		Long: "Make, show, change and remove who may call the control services: people, who log in, and\n" +
			"services, which present a secret. What relays and SDKs may do is said by keys\n" +
			"('tidegate key').\n\n" +
			"A role is granted as ROLE[@ENVIRONMENT,...][:PREFIX,...]:\n\n" +
			"  viewer                          reads everything\n" +
			"  editor@dev,staging              writes in two environments\n" +
			"  operator@production:checkout-   operates the flags, segments and rollouts of production\n" +
			"                                  whose keys begin so\n" +
			"  administrator                   says who may do what",
	}
	cmd.AddCommand(
		newWhoAmICommand(io),
		newIdentityCreateCommand(io),
		newIdentityListCommand(io),
		newIdentityUpdateCommand(io),
		newIdentityRotateCommand(io),
		newIdentityPasswordCommand(io),
		newIdentityDeleteCommand(io),
		newSessionsCommand(io),
		newIdentityHistoryCommand(io),
	)
	return cmd
}

// oneIdentity is what commands on one identity take.
func oneIdentity(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("say which one: its NAME or ID, as 'tidegate identity list' shows them; got %d", len(args))
	}
	return nil
}

// parseGrant reads ROLE[@ENVIRONMENT,...][:PREFIX,...].
func parseGrant(text string) (*accessv1.Grant, error) {
	rest, prefixes, keyed := strings.Cut(text, ":")
	role, environments, placed := strings.Cut(rest, "@")
	value, known := accessv1.Role_value["ROLE_"+strings.ToUpper(role)]
	if !known || value < int32(accessv1.Role_ROLE_VIEWER) || value > int32(accessv1.Role_ROLE_ADMINISTRATOR) {
		return nil, usagef("--role %s: %q is no role: viewer, editor, operator or administrator", text, role)
	}
	g := &accessv1.Grant{Role: accessv1.Role(value)}
	if placed {
		g.Environments = strings.Split(environments, ",")
	}
	if keyed {
		g.KeyPrefixes = strings.Split(prefixes, ",")
	}
	return g, nil
}

// grantText is the inverse of parseGrant.
func grantText(g *accessv1.Grant) string {
	text := strings.ToLower(strings.TrimPrefix(g.GetRole().String(), "ROLE_"))
	if names := g.GetEnvironments(); len(names) > 0 {
		text += "@" + strings.Join(names, ",")
	}
	if prefixes := g.GetKeyPrefixes(); len(prefixes) > 0 {
		text += ":" + strings.Join(prefixes, ",")
	}
	return text
}

func grantTexts(i *accessv1.Identity) string {
	all := make([]string, 0, len(i.GetGrants()))
	for _, g := range i.GetGrants() {
		all = append(all, grantText(g))
	}
	return strings.Join(all, " ")
}

// identityText is such as 'robot (abcdefghijkl): viewer editor@staging, until ...'.
func identityText(i *accessv1.Identity) string {
	text := fmt.Sprintf("%s (%s): %s", i.GetName(), i.GetId(), grantTexts(i))
	if at := i.GetExpiresAt(); at != nil {
		text += ", until " + timeText(at)
	}
	if i.GetDisabled() {
		text += ", disabled"
	}
	return text
}

func newWhoAmICommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "whoami",
		Short:   "Show who you are to the server, and what you may do",
		Example: "  tidegate identity whoami",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := read(ctx, c, c.identities.WhoAmI, &controlv1.WhoAmIRequest{})
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) {
					if response.GetIdentity() == nil {
						fmt.Fprintln(out, "nobody: this server is open, and whoever reaches it may do everything")
						return
					}
					fmt.Fprintf(out, "%s, by %s\n", identityText(response.GetIdentity().GetIdentity()), response.GetProof())
				})
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

// identityOptions say what an identity shall be.
type identityOptions struct {
	*keyOptions
	roles              []string
	displayName, owner string
	certificates       []string
}

func newIdentityOptions() *identityOptions {
	return &identityOptions{keyOptions: &keyOptions{clientOptions: newClientOptions()}}
}

func (o *identityOptions) register(cmd *cobra.Command) {
	o.registerServer(cmd.Flags())
	o.registerReason(cmd.Flags())
	f := cmd.Flags()
	f.StringArrayVar(&o.roles, "role", nil, "`ROLE[@ENVIRONMENT,...][:PREFIX,...]`; give it again for more")
	f.StringVar(&o.displayName, "display-name", "", "for people")
	f.StringVar(&o.owner, "owner", "", "the team or person to ask about a service")
	f.StringSliceVar(&o.certificates, "certificate-name", nil, "DNS name or URI of the certificate that a service presents")
	f.StringVar(&o.expires, "expires", "", "how long it is good, such as 90d or 12h; or never (default for a new one)")
}

// apply makes of an identity what was said; what was not stays.
func (o *identityOptions) apply(cmd *cobra.Command, i *accessv1.Identity) error {
	if len(o.roles) > 0 {
		i.Grants = nil
	}
	for _, text := range o.roles {
		g, err := parseGrant(text)
		if err != nil {
			return err
		}
		i.Grants = append(i.Grants, g)
	}
	changed := cmd.Flags().Changed
	if changed("display-name") {
		i.DisplayName = o.displayName
	}
	if changed("owner") {
		i.Owner = o.owner
	}
	if changed("certificate-name") {
		i.CertificateNames = o.certificates
	}
	if changed("expires") {
		var err error
		if i.ExpiresAt, err = o.expiry(time.Now()); err != nil {
			return err
		}
	}
	return nil
}

func newIdentityCreateCommand(streams *streams) *cobra.Command {
	o := newIdentityOptions()
	var withPassword bool
	cmd := &cobra.Command{
		Use:   "create NAME --role ROLE",
		Short: "Make a person (NAME is an e-mail address) or a service, and print a service's secret",
		Example: "  tidegate identity create deploy-bot --role editor@staging --reason \"CI\" > deploy.key\n" +
			"  tidegate identity create ada@example.com --role operator --password-stdin --reason \"on call\" < password.txt",
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.roles) == 0 {
				return usagef("say what it may do: --role viewer (see 'tidegate identity --help')")
			}
			if err := o.requireReason(); err != nil {
				return err
			}
			made := &accessv1.Identity{Name: args[0], Kind: accessv1.IdentityKind_IDENTITY_KIND_SERVICE}
			if strings.Contains(args[0], "@") {
				made.Kind = accessv1.IdentityKind_IDENTITY_KIND_PERSON
			}
			if err := o.apply(cmd, made); err != nil {
				return err
			}
			r := &controlv1.CreateIdentityRequest{Identity: made, Reason: o.reason, RequestId: newRequestID()}
			if withPassword {
				var err error
				if r.Password, err = readPassword(streams); err != nil {
					return err
				}
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				response, err := write(ctx, c, c.identities.CreateIdentity, r)
				if err != nil {
					return err
				}
				fmt.Fprintf(c.err, "made %s\n", identityText(response.GetIdentity().GetIdentity()))
				if response.GetSecret() == "" {
					return c.show(response, func(io.Writer) {})
				}
				fmt.Fprintln(c.err, "its secret is printed now and never again")
				return c.show(response, func(out io.Writer) { fmt.Fprintln(out, response.GetSecret()) })
			})
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&withPassword, "password-stdin", false, "read a person's password from the standard input")
	return cmd
}

func newIdentityListCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List people and services, and what they may do",
		Example: "  tidegate identity list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				all := &controlv1.ListIdentitiesResponse{}
				for token := ""; ; {
					page, err := read(ctx, c, c.identities.ListIdentities, &controlv1.ListIdentitiesRequest{PageSize: pageSize, PageToken: token})
					if err != nil {
						return err
					}
					all.Identities = append(all.Identities, page.GetIdentities()...)
					if token = page.GetNextPageToken(); token == "" {
						break
					}
				}
				return c.show(all, func(out io.Writer) { c.writeIdentities(out, all.GetIdentities()) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

func (c *client) writeIdentities(out io.Writer, all []*controlv1.IdentityVersion) {
	if len(all) == 0 {
		fmt.Fprintln(out, "nobody: this server was always open")
		return
	}
	t := table{paint: c.paint, header: []string{"ID", "NAME", "ROLES", "OWNER", "EXPIRES", "LAST USED", "REVISION"}}
	for _, v := range all {
		i := v.GetIdentity()
		expires := cell{text: neverExpires}
		switch at := i.GetExpiresAt(); {
		case i.GetDisabled():
			expires = cell{"disabled", c.paint.red}
		case at != nil:
			expires.text = timeText(at)
			if !at.AsTime().After(time.Now()) {
				expires.paint = c.paint.red
			}
		}
		t.add(cell{text: i.GetId()}, cell{i.GetName(), c.paint.bold}, plain(grantTexts(i)), plain(i.GetOwner()), expires, plain(lastUsedText(v.GetLastUsedAt(), time.Now())), number(v.GetRevision()))
	}
	t.write(out)
}
