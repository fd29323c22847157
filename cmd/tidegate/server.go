package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidegate/tidegate/controlplane/audit"
	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/notify/webhook"
	"github.com/tidegate/tidegate/controlplane/session"
	"github.com/tidegate/tidegate/dashboard"
	"github.com/tidegate/tidegate/internal/logging"
	"github.com/tidegate/tidegate/server"
	"github.com/tidegate/tidegate/server/openid"
)

// logFlags say what a server logs, and how.
type logFlags struct{ level, format string }

func (f *logFlags) register(flags *pflag.FlagSet, level string) {
	flags.StringVar(&f.level, "log-level", level, logging.Levels)
	flags.StringVar(&f.format, "log-format", "auto", logging.Formats+"; auto is console on a terminal, else json")
}

func (f *logFlags) logger(io *streams) (zerolog.Logger, error) {
	l, err := logging.New(io.err, f.level, f.format)
	if err != nil {
		return l, usagef("%v", err)
	}
	return l, nil
}

func newServerCommand(io *streams) *cobra.Command {
	o := server.Options{}
	var logs logFlags
	var targets, openIDSecret string
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a control server",
		Long: "Run a control server: the control and sync services on etcd.\n\n" +
			"Without --etcd-endpoints, etcd is part of the process and keeps its data in\n" +
			"--data-dir; with them, any number of servers share the cluster.\n\n" +
			"Whoever calls has to say who they are. The first start prints the secret of an\n" +
			"administrator, once, who makes the others ('tidegate identity create').",
		Example: "  tidegate server --data-dir /var/lib/tidegate\n" +
			"  tidegate server --etcd-endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --grpc-addr :7013",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := logs.logger(io)
			if err != nil {
				return err
			}
			if o.DataDir == "" && len(o.EtcdEndpoints) == 0 {
				return usagef("pass --data-dir, or --etcd-endpoints of an external cluster")
			}
			o.Logger = logger
			if o.Notify, err = notificationTargets(targets); err != nil {
				return err
			}
			if o.OpenID.ClientSecret, err = secretFile("--openid-client-secret-file", openIDSecret); err != nil {
				return err
			}
			addresses := addressesOf(cmd.Flags())
			o.Dashboard = dashboard.Files()
			s, err := server.Open(cmd.Context(), o)
			if err != nil {
				return addresses.explain(err)
			}
			tellFirstSecret(io, s.FirstSecret())
			return s.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Open, "open", false, "ask nobody who they are: whoever reaches the addresses may do everything; for trials on loopback")
	f.BoolVar(&o.ResetAdministrator, "reset-administrator", false, "give the first administrator another secret, and print it: for who lost it")
	f.StringVar(&o.DataDir, "data-dir", "", "where the embedded etcd keeps its data")
	f.StringSliceVar(&o.EtcdEndpoints, "etcd-endpoints", nil, "HOST:PORT of an external etcd cluster's members; none: embedded")
	f.StringVar(&o.GRPCAddr, "grpc-addr", server.DefaultGRPCAddr, "control and sync services over gRPC")
	f.StringVar(&o.AdvertiseAddr, "advertise-addr", "", "with --etcd-endpoints: HOST:PORT at which the other servers reach --grpc-addr (default: that, or this host's name)")
	f.StringVar(&o.HTTPAddr, "http-addr", server.DefaultHTTPAddr, "the same as JSON; /healthz, /readyz and /metrics")
	f.StringSliceVar(&o.Environments, "environments", server.DefaultEnvironments(), "made where they are not there yet")
	f.BoolVar(&o.RequireKeys, "require-keys", false, "with --open: who follows must present a key all the same ('tidegate key create')")
	f.StringVar(&o.InstanceID, "instance-id", "", "stable and unique; none: kept in --data-dir, else HOST/GRPC-ADDR")
	f.StringVar(&o.TLS.Cert, "tls-cert", "", "`file` with the certificate, and what leads to its authority, that both addresses serve with; read again when it changes")
	f.StringVar(&o.TLS.Key, "tls-key", "", "`file` with its key")
	f.StringVar(&o.TLS.ClientCA, "tls-client-ca", "", "`file` with the authority of services' certificates ('tidegate identity create --certificate-name')")
	f.StringVar(&o.TLSCA, "tls-ca", "", "`file` with the authority of the other servers' certificates (default: whom the system trusts)")
	f.DurationVar(&o.SessionIdle, "session-idle", session.DefaultIdle, "how long a person stays logged in who does nothing")
	f.DurationVar(&o.SessionLast, "session-last", session.DefaultLast, "how long a person stays logged in, whatever they do")
	f.StringVar(&o.OpenID.Issuer, "openid-issuer", "", "`URL` of an OpenID provider that people log in through")
	f.StringVar(&o.OpenID.ClientID, "openid-client-id", "", "what the provider knows this installation by")
	f.StringVar(&openIDSecret, "openid-client-secret-file", "", "`file` with the secret that the provider gave it")
	f.StringVar(&o.OpenID.RedirectURL, "openid-redirect-url", "", "`URL` at which browsers reach this server's "+openid.CallbackPath)
	registerNotifications(f, &targets)
	f.DurationVar(&o.Drain, "drain", 0, "how long calls in flight may take at shutdown (default 5s)")
	f.StringVar(&o.AuditLog, "audit-log", "", "`file` in which this server writes all that is audited from now on, a line of JSON each; never removed, but renamed when it is large")
	f.Int64Var(&o.AuditLogBytes, "audit-log-bytes", audit.DefaultFileBytes, "how large the file grows before another one is begun")
	f.StringVar(&o.StreamLog, "stream-log", "", "for tests and the analysis of incidents: `file` in which all that is shown is written down; slow, and without bound")
	logs.register(f, "info")
	return cmd
}

// secretFile reads a secret that a flag names a file of; no file: none.
func secretFile(flag, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", usagef("%s: %v", flag, err)
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", usagef("%s %s: is empty", flag, file)
	}
	return secret, nil
}

// tellFirstSecret prints the secret of the administrator that was made, if one was.
func tellFirstSecret(io *streams, secret string) {
	if secret == "" {
		return
	}
	fmt.Fprintf(io.err, "\nThe secret of the administrator, who may do everything. It is shown now and never again:\n\n    %s\n\n"+
		"Put it into a file that only you can read, and name that to the command line:\n\n"+
		"    export %s=FILE\n    tidegate identity whoami\n\n", secret, keyFileVariable)
}

func registerNotifications(f *pflag.FlagSet, targets *string) {
	f.StringVar(targets, "notifications", "", "`file` that says who is told of what becomes of rollouts: Slack and webhooks")
}

// notificationTargets reads who is told; no file: nobody.
func notificationTargets(file string) ([]notify.Target, error) {
	if file == "" {
		return nil, nil
	}
	targets, err := webhook.Load(file)
	if err != nil {
		return nil, usagef("--notifications %s: %v", file, err)
	}
	return targets, nil
}
