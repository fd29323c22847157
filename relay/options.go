package relay

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"

	"github.com/tidegate/tidegate/internal/accesskey"
	"github.com/tidegate/tidegate/internal/rpc"
	"github.com/tidegate/tidegate/internal/tlsfiles"
)

// Default listening addresses: flagd's own ports, so that its providers find a relay
// without configuration.
const (
	DefaultGRPCAddr       = "127.0.0.1:8013"
	DefaultHTTPAddr       = "127.0.0.1:8016"
	DefaultManagementAddr = "127.0.0.1:8014"
	DefaultFlagdSyncAddr  = "127.0.0.1:8015"
)

// DefaultEnvironment is what files are served as.
const DefaultEnvironment = "default"

// DefaultDrain bounds the wait for calls in flight at shutdown.
const DefaultDrain = 10 * time.Second

// DefaultSpoolBytes bounds the telemetry on disk.
const DefaultSpoolBytes = 256 << 20

// DefaultPreviewBytes is the memory for samples of subjects.
const DefaultPreviewBytes = 32 << 20

// minSpoolBytes is a few of the segments that the spool is made of.
const minSpoolBytes = 1 << 20

// Options of a Relay.
type Options struct {
	// Upstreams are gRPC addresses of servers or other relays, tried in turn. Either they
	// or Files are required.
	Upstreams []string
	// Files are files and folders, served as one environment without an upstream.
	Files []string
	// Environments to follow; required. The first is the default of evaluation requests.
	// With Files, the name of the one that they are. Default then: DefaultEnvironment.
	Environments []string
	// GRPCAddr serves evaluation, telemetry and sync, HTTPAddr the first two with JSON, and OFREP,
	// ManagementAddr /healthz, /readyz and /metrics. FlagdSyncAddr, where flagd's in-process
	// providers look, serves the same as GRPCAddr. Port 0 picks a free one.
	GRPCAddr, HTTPAddr, ManagementAddr, FlagdSyncAddr string
	// CORSOrigins are the web origins whose pages may use HTTPAddr, such as
	// https://shop.example; "*" is any. Default: none.
	CORSOrigins []string
	// OFREPRateLimit is how many OFREP requests a second one client address may make.
	// 0: any number.
	OFREPRateLimit int
	// StateDir keeps the snapshots over restarts. Empty: memory only.
	StateDir string
	// SpoolBytes bounds the telemetry that waits in StateDir for the upstream to take it; in
	// memory, without a StateDir, it is at most 32 MiB. Default: DefaultSpoolBytes.
	SpoolBytes int64
	// PreviewBytes is the memory for samples of the subjects that were answered, with their
	// contexts: from them it is told what a change would do. Default: DefaultPreviewBytes;
	// negative: no samples.
	PreviewBytes int64
	// Region is where this relay runs: rules may use it, and the upstream is told.
	Region string
	// Key is what this relay presents to its upstreams: a secret ('tidegate key create').
	// KeyFile names a file that holds one; when that holds another, the other is presented at once. At
	// most one of them; without TLS, whoever sees the traffic sees the secret.
	Key, KeyFile string
	// TLS that all addresses but ManagementAddr serve with; empty: none.
	TLS tlsfiles.ServerFiles
	// UpstreamTLS is what the upstreams are connected to with; empty: no TLS.
	UpstreamTLS tlsfiles.ClientFiles
	// RequireKeys: who follows this relay, evaluates here or tells of it must present a key that
	// opens the environment. Without it, a key that is presented must be good all the same.
	RequireKeys bool
	// InstanceID is stable over restarts, and unique. Default: the one kept in StateDir,
	// else a random one.
	InstanceID string
	// MaxStale is the age of a snapshot from which the relay reports that it is not
	// ready; it answers all the same. 0: any age is ready.
	MaxStale time.Duration
	// StreamLog is a file in which all that is shown is written down, for tests and the
	// analysis of incidents; see package streamlog. Empty: none.
	StreamLog string
	// Drain bounds the wait for calls in flight at shutdown. Default: DefaultDrain.
	Drain time.Duration
	// Loaded, if not nil, is called once: when every environment has its first snapshot,
	// and the garbage of loading them is gone.
	Loaded func()
	// DialOptions for the upstreams. Default: as UpstreamTLS says.
	DialOptions []grpc.DialOption
	Logger      zerolog.Logger
	// Registry gets the relay's metrics and is served at /metrics. Default: its own.
	Registry *prometheus.Registry
}

// EnsureDefaults fills in what is unset and returns o.
func (o *Options) EnsureDefaults() *Options {
	setDefault(&o.GRPCAddr, DefaultGRPCAddr)
	setDefault(&o.HTTPAddr, DefaultHTTPAddr)
	setDefault(&o.ManagementAddr, DefaultManagementAddr)
	setDefault(&o.FlagdSyncAddr, DefaultFlagdSyncAddr)
	setDefault(&o.Drain, DefaultDrain)
	setDefault(&o.SpoolBytes, DefaultSpoolBytes)
	setDefault(&o.PreviewBytes, DefaultPreviewBytes)
	if len(o.Files) > 0 && len(o.Environments) == 0 {
		o.Environments = []string{DefaultEnvironment}
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return o
}

// Validate reports everything that is wrong, one error each.
func (o *Options) Validate() error {
	errs := append(o.validateOrigin(), o.validateKeys()...)
	errs = append(errs, validateList("environment", "a name such as production", o.Environments)...)
	for _, l := range []struct{ name, addr string }{
		{"gRPC address", o.GRPCAddr},
		{"HTTP address", o.HTTPAddr},
		{"management address", o.ManagementAddr},
		{"flagd sync address", o.FlagdSyncAddr},
	} {
		if _, _, err := net.SplitHostPort(l.addr); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: want HOST:PORT, such as 127.0.0.1:8013", l.name, l.addr))
		}
	}
	for _, origin := range o.CORSOrigins {
		if err := rpc.ValidateOrigin(origin); err != nil {
			errs = append(errs, err)
		}
	}
	if o.OFREPRateLimit < 0 {
		errs = append(errs, fmt.Errorf("OFREP rate limit %d: want requests a second, or 0 for no limit", o.OFREPRateLimit))
	}
	if o.SpoolBytes < minSpoolBytes {
		errs = append(errs, fmt.Errorf("spool bytes %d: want at least %d, which is 1 MiB", o.SpoolBytes, minSpoolBytes))
	}
	if o.MaxStale < 0 {
		errs = append(errs, fmt.Errorf("max stale %v: want a positive duration, or 0 for no limit", o.MaxStale))
	}
	if o.Drain < 0 {
		errs = append(errs, fmt.Errorf("drain %v: want a positive duration", o.Drain))
	}
	return errors.Join(errs...)
}

// secureUpstreams makes the dial options that there are unless others were given.
func (o *Options) secureUpstreams() error {
	if o.DialOptions != nil {
		return nil
	}
	c, err := o.UpstreamTLS.Credentials(o.Logger)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	o.DialOptions = []grpc.DialOption{grpc.WithTransportCredentials(c)}
	return nil
}

// validateOrigin checks that there is one origin, and that it makes sense.
func (o *Options) validateOrigin() []error {
	switch {
	case len(o.Upstreams) == 0 && len(o.Files) == 0:
		return []error{errors.New("no upstream and no file: want HOST:PORT of a tidegate server or relay to follow, or a file or folder to serve")}
	case len(o.Upstreams) > 0 && len(o.Files) > 0:
		return []error{errors.New("upstream and file: want one of the two; what is served comes from an upstream or from files")}
	case len(o.Files) == 0:
		errs := validateList("upstream", "HOST:PORT of a tidegate server or relay", o.Upstreams)
		for _, u := range o.Upstreams {
			if u != "" && !isTarget(u) {
				errs = append(errs, fmt.Errorf("upstream %q: want HOST:PORT, such as control-1:7013", u))
			}
		}
		return errs
	}
	var errs []error
	for i, path := range o.Files {
		switch {
		case path == "":
			errs = append(errs, errors.New(`file "": want the path of a file or folder`))
		case slices.Contains(o.Files[:i], path):
			errs = append(errs, fmt.Errorf("file %q is named twice", path))
		}
	}
	if len(o.Environments) > 1 {
		errs = append(errs, fmt.Errorf("environments %s: want one name, as files are one environment", strings.Join(o.Environments, ", ")))
	}
	return errs
}

func (o *Options) validateKeys() []error {
	var errs []error
	if o.Key != "" && o.KeyFile != "" {
		errs = append(errs, errors.New("key and key file: want one of the two"))
	}
	if o.Key != "" {
		if _, err := accesskey.Parse(o.Key); err != nil {
			errs = append(errs, fmt.Errorf("key: %w", err))
		}
	}
	if len(o.Files) > 0 && (o.RequireKeys || o.Key != "" || o.KeyFile != "") {
		errs = append(errs, errors.New("file, and a key or required keys: files have neither an upstream nor keys"))
	}
	return errs
}

// validateList checks that a list is not empty and has neither blanks nor duplicates.
func validateList(what, want string, values []string) []error {
	if len(values) == 0 {
		return []error{fmt.Errorf("no %s: want at least one, %s", what, want)}
	}
	var errs []error
	seen := make(map[string]bool, len(values))
	for _, v := range values {
		switch {
		case v == "" || strings.TrimSpace(v) != v:
			errs = append(errs, fmt.Errorf("%s %q: want %s, without spaces", what, v, want))
		case seen[v]:
			errs = append(errs, fmt.Errorf("%s %q is named twice", what, v))
		}
		seen[v] = true
	}
	return errs
}

// isTarget tells whether gRPC can dial it: HOST:PORT, or a resolver's URL such as
// dns:///control:7013. Without a port gRPC would take 443.
func isTarget(upstream string) bool {
	if scheme, _, ok := strings.Cut(upstream, "://"); ok {
		return scheme != "http" && scheme != "https"
	}
	_, port, err := net.SplitHostPort(upstream)
	return err == nil && port != ""
}

func setDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
