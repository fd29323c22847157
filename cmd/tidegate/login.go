package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

func newLoginCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var name string
	var openID bool
	cmd := &cobra.Command{
		Use:   "login [--name NAME | --openid]",
		Short: "Log in, for the commands that follow",
		Long: "Log in, for the commands that follow: as NAME with a password, which is asked for or\n" +
			"read from the standard input; or through the server's OpenID provider, in a browser on\n" +
			"this machine. What proves it is kept in the user's configuration directory, and used\n" +
			"with this server wherever neither --key-file nor $" + keyFileVariable + " names a secret.",
		Example: "  tidegate login --name ada@example.com\n  tidegate login --server flags.example.com:7013 --tls --openid",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name != "" && openID {
				return usagef("--name and --openid: want one of the two")
			}
			o.anonymous = true
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				c.warnInTheClear()
				if name != "" {
					return c.loginAs(ctx, name)
				}
				return c.loginOpenID(ctx, openID)
			})
		},
	}
	o.registerServer(cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "", "the e-mail address that you are known by")
	cmd.Flags().BoolVar(&openID, "openid", false, "through the server's OpenID provider; the default where there is one and no --name")
	return cmd
}

// warnInTheClear says so where the network can read what proves who somebody is.
func (c *client) warnInTheClear() {
	host, _, err := net.SplitHostPort(c.address)
	if ip := net.ParseIP(host); c.tls.Enabled() || err == nil && (host == "localhost" || ip != nil && ip.IsLoopback()) {
		return
	}
	fmt.Fprintf(c.err, "warning: without --tls, whoever sees the traffic to %s sees what you log in with\n", c.address)
}

func (c *client) loginAs(ctx context.Context, name string) error {
	password, err := askPassword(ctx, c.streams, "Password of "+name+": ")
	if err != nil {
		return err
	}
	in, err := read(ctx, c, c.sessions.Login, &controlv1.LoginRequest{Name: name, Password: password})
	if err != nil {
		return err
	}
	return c.loggedIn(ctx, in.GetToken(), in.GetSession())
}

// loggedIn keeps what a login gave, and says who that is.
func (c *client) loggedIn(ctx context.Context, token string, began *accessv1.Session) error {
	if err := c.saveSession(token); err != nil {
		return err
	}
	who, err := read(metadata.AppendToOutgoingContext(ctx, accesskey.Header, "Bearer "+token), c, c.identities.WhoAmI, &controlv1.WhoAmIRequest{})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.err, "logged in at %s as %s, until %s at the latest\n", c.address, who.GetIdentity().GetIdentity().GetName(), timeText(began.GetExpiresAt()))
	if c.keyFile != "" {
		fmt.Fprintf(c.err, "commands present the secret in %s all the same, until $%s is unset\n", c.keyFile, keyFileVariable)
	}
	return nil
}

func newLogoutCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	var everywhere bool
	cmd := &cobra.Command{
		Use:   "logout [--everywhere [NAME]]",
		Short: "Log out, here or everywhere; or for administrators, somebody else everywhere",
		Example: "  tidegate logout\n" +
			"  tidegate logout --everywhere ada@example.com --reason \"her laptop is lost\"",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if !everywhere {
					return usagef("%s: log somebody else out with --everywhere", args[0])
				}
				if err := o.requireReason(); err != nil {
					return err
				}
			}
			if token, err := o.savedSession(); len(args) == 0 && !cmd.Flags().Changed("key-file") && err == nil && token != "" {
				o.keyFile = "" // what is logged out of is the login, whatever else commands present
			}
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				switch {
				case len(args) > 0:
					return c.logoutOther(ctx, args[0])
				case everywhere:
					_, err := write(ctx, c, c.sessions.LogoutEverywhere, &controlv1.LogoutEverywhereRequest{Reason: o.reason, RequestId: newRequestID()})
					return c.loggedOut(err)
				}
				_, err := read(ctx, c, c.sessions.Logout, &controlv1.LogoutRequest{})
				return c.loggedOut(err)
			})
		},
	}
	o.registerServer(cmd.Flags())
	o.registerActor(cmd.Flags())
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the audit trail; required to log somebody else out")
	cmd.Flags().BoolVar(&everywhere, "everywhere", false, "end all sessions, on every machine")
	return cmd
}

// loggedOut forgets the login, unless it may still be good. One that is over already is what
// was wanted.
func (c *client) loggedOut(err error) error {
	if err != nil && status.Code(err) != codes.Unauthenticated {
		return err
	}
	if err := c.forgetSession(); err != nil {
		return err
	}
	fmt.Fprintf(c.err, "logged out at %s\n", c.address)
	return nil
}

func (c *client) logoutOther(ctx context.Context, name string) error {
	held, err := c.identity(ctx, name)
	if err != nil {
		return err
	}
	_, err = write(ctx, c, c.sessions.LogoutEverywhere, &controlv1.LogoutEverywhereRequest{
		IdentityId: held.GetIdentity().GetId(), Reason: c.reason, RequestId: newRequestID(),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.err, "logged %s out everywhere\n", held.GetIdentity().GetName())
	return nil
}

func newSessionsCommand(streams *streams) *cobra.Command {
	o := newClientOptions()
	cmd := &cobra.Command{
		Use:   "sessions [NAME]",
		Short: "List where you are logged in; or for administrators, somebody else",
		Example: "  tidegate identity sessions\n" +
			"  tidegate identity sessions ada@example.com",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), streams, func(ctx context.Context, c *client) error {
				r := &controlv1.ListSessionsRequest{}
				if len(args) > 0 {
					held, err := c.identity(ctx, args[0])
					if err != nil {
						return err
					}
					r.IdentityId = held.GetIdentity().GetId()
				}
				response, err := read(ctx, c, c.sessions.ListSessions, r)
				if err != nil {
					return err
				}
				return c.show(response, func(out io.Writer) { c.writeSessions(out, response.GetSessions()) })
			})
		},
	}
	o.registerServer(cmd.Flags())
	return cmd
}

func (c *client) writeSessions(out io.Writer, all []*controlv1.SessionState) {
	if len(all) == 0 {
		fmt.Fprintln(out, "none")
		return
	}
	t := table{paint: c.paint, header: []string{"ID", "BEGAN", "LAST SEEN", "ENDS UNLESS USED", "ENDS", "BY", "FROM", "WITH"}}
	for _, s := range all {
		held := s.GetSession()
		id := cell{text: held.GetId()}
		if s.GetCurrent() {
			id.paint = c.paint.bold
		}
		t.add(id, plain(timeText(held.GetCreatedAt())), plain(timeText(held.GetLastSeenAt())), plain(timeText(s.GetIdleAt())),
			plain(timeText(held.GetExpiresAt())), plain(held.GetProof()), plain(held.GetPeer()), plain(held.GetUserAgent()))
	}
	t.write(out)
}

var errNoProvider = errors.New("this server knows no OpenID provider: log in with --name NAME, and a password")
