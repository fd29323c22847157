package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tidegate/tidegate/internal/version"
	"github.com/tidegate/tidegate/relay"
)

const (
	long = `tidegate-relay follows environments from a tidegate server, or from another relay,
and answers flag evaluations from memory: over gRPC, and over HTTP with JSON. It keeps
answering while its upstream is away, and says how old its answers are.

OpenFeature's flagd and OFREP providers work with it as they are: it listens where they
look. Of several environments, the header 'tidegate-environment' or the provider's
selector 'flagSetId=NAME' chooses one.

With --file it needs no server: it serves flags from files (tidegate's YAML or flagd's
JSON or YAML), shows a change about a second after the save, and keeps the last good version
while a file is broken.

What it serves of a rollout is counted, and what callers observe of it: they tell it with
TelemetryService, or as OpenTelemetry metrics (OTLP over gRPC) whose points carry
feature_flag.key and feature_flag.result.variant. It goes upstream, counted once, and waits
in --state-dir meanwhile. A relay that is cut off shuts a rollout by itself when a guardrail is
violated.

With --key-file, or a key in TIDEGATE_KEY, it presents that key to its upstream ('tidegate
key create'). Without TLS, whoever sees the traffic sees the key.

Every flag can be set by an environment variable too: --grpc-addr by TIDEGATE_GRPC_ADDR,
and so on. The flag wins.

The management address serves /healthz (alive), /readyz (has something to serve) and
/metrics (Prometheus). SIGTERM and SIGINT end calls in flight in an orderly way.`

	example = `  # Production, from two control servers, surviving restarts without them:
  tidegate-relay --upstream cp-1:7013,cp-2:7013 --environments production \
      --state-dir /var/lib/tidegate-relay --region eu-west

  # On a developer's machine, beside 'tidegate server':
  tidegate-relay --upstream 127.0.0.1:7013 --environments dev,staging --log-format console

  # Without a server, from a file or a folder:
  tidegate-relay --file flags.yaml
  tidegate-relay --file /etc/flags --environments production --state-dir /var/lib/tidegate-relay`
)

// keyVariable is the variable that holds the key to present.
const keyVariable = "TIDEGATE_KEY"

// settings are what the command line says.
type settings struct {
	options             relay.Options
	logLevel, logFormat string
}

// newCommand makes the command; getenv and run are the world outside.
func newCommand(getenv func(string) string, run func(context.Context, relay.Options) error) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:     "tidegate-relay {--upstream HOST:PORT[,...] --environments NAME[,...] | --file PATH}",
		Short:   "Answer flag evaluations close to the callers",
		Long:    long,
		Example: example,
		Version: version.Version,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("unexpected argument %q: everything is set by flags", args[0])}
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		PreRunE:       func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd.Flags(), getenv) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.options.Key = strings.TrimSpace(getenv(keyVariable)) // not a flag: command lines can be seen by others
			o, err := s.complete(cmd.ErrOrStderr())
			if err != nil {
				return &usageError{err}
			}
			return run(cmd.Context(), *o)
		},
	}
	s.bind(cmd.Flags())
	cmd.Flags().SortFlags = false
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	return cmd
}

func (s *settings) bind(f *pflag.FlagSet) {
	o := &s.options
	f.StringSliceVar(&o.Upstreams, "upstream", nil, "gRPC `addresses` of servers or relays to follow, tried in turn; this or --file is required")
	f.StringArrayVar(&o.Files, "file", nil, "`path` of a file or folder (all *.yaml, *.yml and *.json in it) to serve; may be repeated")
	f.StringSliceVar(&o.Environments, "environments", nil, "`names` to follow; the first is the default of requests; with --file one, not required")
	f.StringVar(&o.GRPCAddr, "grpc-addr", relay.DefaultGRPCAddr, "listening `address` for gRPC: evaluation (flagd's too), telemetry (OTLP too) and sync")
	f.StringVar(&o.HTTPAddr, "http-addr", relay.DefaultHTTPAddr, "listening `address` for HTTP: OFREP, and evaluation with JSON")
	f.StringVar(&o.ManagementAddr, "management-addr", relay.DefaultManagementAddr, "listening `address` for probes and metrics")
	f.StringVar(&o.FlagdSyncAddr, "flagd-sync-addr", relay.DefaultFlagdSyncAddr, "listening `address` for flagd's in-process providers")
	f.StringVar(&o.StateDir, "state-dir", "", "`directory` that keeps state over restarts (default: memory only)")
	f.Int64Var(&o.SpoolBytes, "spool-bytes", relay.DefaultSpoolBytes, "`bytes` of telemetry kept in --state-dir while the upstream does not take it; the oldest is dropped first")
	f.Int64Var(&o.PreviewBytes, "preview-memory", relay.DefaultPreviewBytes, "`bytes` of memory for samples of subjects with their contexts, by which 'tidegate' tells what a change would do; 0: none")
	f.StringVar(&o.Region, "region", "", "`name` of the place where this relay runs: rules may use it, and the upstream is told")
	f.StringVar(&o.InstanceID, "instance-id", "", "`id` in lists of relays, stable and unique (default: one kept in --state-dir, else a random one)")
	f.DurationVar(&o.MaxStale, "max-stale", 0, "not ready from this `age` of a snapshot on; 0: ready at any age")
	f.StringSliceVar(&o.CORSOrigins, "cors-origin", nil, "web `origins` whose pages may use the HTTP address, such as https://shop.example; * is any")
	f.IntVar(&o.OFREPRateLimit, "ofrep-rate-limit", 0, "OFREP `requests` a second that one client address may make; 0: any number")
	f.StringVar(&o.KeyFile, "key-file", "", "`path` of the key to present to the upstream, looked at once a second; or the key itself in $TIDEGATE_KEY")
	f.BoolVar(&o.UpstreamTLS.On, "upstream-tls", false, "connect to the upstream with TLS; so do the next three")
	f.StringVar(&o.UpstreamTLS.CA, "upstream-ca", "", "`path` of the authority of the upstream's certificate (default: whom the system trusts)")
	f.StringVar(&o.UpstreamTLS.Cert, "upstream-cert", "", "`path` of the certificate to present to the upstream; read again when it changes")
	f.StringVar(&o.UpstreamTLS.Key, "upstream-cert-key", "", "`path` of that certificate's key")
	f.StringVar(&o.TLS.Cert, "tls-cert", "", "`path` of the certificate to serve with, on all addresses but the management's; read again when it changes")
	f.StringVar(&o.TLS.Key, "tls-key", "", "`path` of its key")
	f.StringVar(&o.TLS.ClientCA, "tls-client-ca", "", "`path` of the authority of callers' certificates: who presents none is refused")
	f.BoolVar(&o.RequireKeys, "require-keys", false, "who follows this relay, evaluates or tells of it must present a key; without it, a wrong one is refused all the same")
	f.StringVar(&o.StreamLog, "stream-log", "", "for tests and the analysis of incidents: `file` in which all that is shown is written down; slow, and without bound")
	f.StringVar(&s.logLevel, "log-level", "info", "least `level` to log: debug, info, warn, error")
	f.StringVar(&s.logFormat, "log-format", "json", "json or console")
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "TIDEGATE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that the command line leaves out.
func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		value := getenv(variable(f.Name))
		if failed != nil || f.Changed || value == "" || f.Name == "help" || f.Name == "version" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = &usageError{fmt.Errorf("%s: %w", variable(f.Name), err)}
		}
	})
	return failed
}

// complete makes the relay's options, or says what is wrong with the settings.
func (s *settings) complete(stderr io.Writer) (*relay.Options, error) {
	level, err := zerolog.ParseLevel(s.logLevel)
	if err != nil || s.logLevel == "" {
		return nil, fmt.Errorf("--log-level %q: want debug, info, warn or error", s.logLevel)
	}
	switch s.logFormat {
	case "json":
	case "console":
		stderr = zerolog.ConsoleWriter{Out: stderr, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}
	default:
		return nil, fmt.Errorf("--log-format %q: want json or console", s.logFormat)
	}
	if s.options.PreviewBytes < 0 {
		return nil, fmt.Errorf("--preview-memory %d: want bytes, or 0 for no samples", s.options.PreviewBytes)
	}
	if s.options.PreviewBytes == 0 {
		s.options.PreviewBytes = -1
	}
	s.options.TLS.RequireClient = s.options.TLS.ClientCA != ""
	s.options.Logger = zerolog.New(stderr).Level(level).With().Timestamp().Logger()
	return &s.options, s.options.EnsureDefaults().Validate()
}
