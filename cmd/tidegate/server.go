package main

import (
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidegate/tidegate/controlplane/notify"
	"github.com/tidegate/tidegate/controlplane/notify/webhook"
	"github.com/tidegate/tidegate/internal/logging"
	"github.com/tidegate/tidegate/server"
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
	var targets string
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a control server",
		Long: "Run a control server: the control and sync services on etcd.\n\n" +
			"Without --etcd-endpoints, etcd is part of the process and keeps its data in\n" +
			"--data-dir; with them, any number of servers share the cluster.",
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
			addresses := addressesOf(cmd.Flags())
			s, err := server.Open(cmd.Context(), o)
			if err != nil {
				return addresses.explain(err)
			}
			return s.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.DataDir, "data-dir", "", "where the embedded etcd keeps its data")
	f.StringSliceVar(&o.EtcdEndpoints, "etcd-endpoints", nil, "HOST:PORT of an external etcd cluster's members; none: embedded")
	f.StringVar(&o.GRPCAddr, "grpc-addr", server.DefaultGRPCAddr, "control and sync services over gRPC")
	f.StringVar(&o.AdvertiseAddr, "advertise-addr", "", "with --etcd-endpoints: HOST:PORT at which the other servers reach --grpc-addr (default: that, or this host's name)")
	f.StringVar(&o.HTTPAddr, "http-addr", server.DefaultHTTPAddr, "the same as JSON; /healthz, /readyz and /metrics")
	f.StringSliceVar(&o.Environments, "environments", server.DefaultEnvironments(), "made where they are not there yet")
	f.BoolVar(&o.RequireKeys, "require-keys", false, "who follows must present a key ('tidegate key create'); without it, a key is not needed, but a wrong one is refused")
	f.StringVar(&o.InstanceID, "instance-id", "", "stable and unique; none: kept in --data-dir, else HOST/GRPC-ADDR")
	registerNotifications(f, &targets)
	f.DurationVar(&o.Drain, "drain", 0, "how long calls in flight may take at shutdown (default 5s)")
	f.StringVar(&o.StreamLog, "stream-log", "", "for tests and the analysis of incidents: `file` in which all that is shown is written down; slow, and without bound")
	logs.register(f, "info")
	return cmd
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
